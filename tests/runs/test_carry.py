"""A run from end to end on the virtual clock: the real runtime, gate and client over a scripted provider."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from agentrt import Budget, Context, Limits, ToolError, run, stream, tool
from agentrt.errors import BudgetExceeded, DeadlineExceeded, ProviderFailed
from agentrt.events import (
    AnyEvent,
    CallAttempted,
    GateWaited,
    ModelReplied,
    Retrying,
    Rewound,
    RunEnded,
    RunStarted,
    TextDelta,
    ToolProgress,
    ToolReturned,
    ToolStarted,
)
from agentrt.messages import AssistantMessage, UserMessage
from agentrt.testing import ScriptedModel, call, faults, reply, run_virtual
from tests.runs.world import clerk, now, results, wait, world


@tool
async def broken() -> str:
    """Fails."""
    raise ValueError("out of paper")


def virtually(main: Coroutine[Any, Any, None]) -> None:
    run_virtual(main)


@pytest.mark.smoke
def test_ten_calls_of_one_turn_take_as_long_as_one() -> None:
    model = ScriptedModel([reply(calls=[call("wait", seconds=0.1) for _ in range(10)]), reply("done")])

    async def main() -> None:
        async with world(model):
            before = now()
            answer = await run(clerk(wait), "Wait.")
            assert now() - before == pytest.approx(0.1, abs=1e-6)
            assert answer.output == "done"
            assert results(answer.messages) == ["waited 0.1"] * 10

    virtually(main())


def test_the_model_reads_results_in_the_order_of_its_calls_whatever_order_they_land_in() -> None:
    model = ScriptedModel([reply(calls=[call("wait", seconds=s) for s in (0.3, 0.1, 0.2)]), reply("done")])

    async def main() -> None:
        async with world(model):
            await run(clerk(wait), "Wait.")
        sent = [m["content"] for m in model.requests[1]["messages"] if m["role"] == "tool"]
        assert sent == ["waited 0.3", "waited 0.1", "waited 0.2"]

    virtually(main())


def test_a_tool_that_fails_is_told_to_the_model_and_stops_nobody() -> None:
    model = ScriptedModel([
        reply(calls=[call("broken"), call("wait", seconds=1.0), call("missing"), call("wait", seconds="soon")]),
        reply("done"),
    ])  # fmt: skip

    async def main() -> None:
        async with world(model):
            answer = await run(clerk(wait, broken), "Try.")
        failed, waited, missing, invalid = results(answer.messages)
        assert "ValueError: out of paper" in failed
        assert waited == "waited 1.0"
        assert '"missing"' in missing
        assert "wait, broken" in missing
        assert "seconds" in invalid

    virtually(main())


def test_facts_come_in_order_and_the_run_ends_once() -> None:
    model = ScriptedModel(
        [reply("Let me see.", calls=[call("wait", seconds=0.5)]), reply("Three are left.", pause=0.1)]
    )

    async def main() -> None:
        seen: list[AnyEvent] = []
        async with world(model), stream(clerk(wait), "How many?", metadata={"user": "ada"}) as running:
            seen = [event async for event in running]
        kinds = [type(event) for event in seen if not isinstance(event, TextDelta | CallAttempted)]
        kinds = [kind for kind in kinds if kind.__name__ != "ArgumentsDelta"]
        assert kinds == [RunStarted, ModelReplied, ToolStarted, ToolReturned, ModelReplied, RunEnded]
        assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
        assert [event.at for event in seen] == sorted(event.at for event in seen)
        started, ended = seen[0], seen[-1]
        assert isinstance(started, RunStarted)
        assert started.metadata == {"user": "ada"}
        assert isinstance(ended, RunEnded)
        assert (ended.outcome, ended.code) == ("success", None)

    virtually(main())


def test_text_streams_as_it_comes() -> None:
    model = ScriptedModel([reply("one two three", pieces=3, pause=1.0)])

    async def main() -> None:
        async with world(model), stream(clerk(), "Count.") as running:
            arrived = [(event.text, event.at) async for event in running if isinstance(event, TextDelta)]
            assert (await running.answer()).output == "one two three"
        assert "".join(text for text, _ in arrived) == "one two three"
        assert len(arrived) == 3
        assert arrived[-1][1] - arrived[0][1] == pytest.approx(2.0, abs=1e-6)

    virtually(main())


def test_usage_adds_up_over_turns() -> None:
    model = ScriptedModel([
        reply(calls=[call("wait", seconds=0.1)], usage=(100, 10)),
        reply("done", usage=(150, 5)),
    ])  # fmt: skip

    async def main() -> None:
        async with world(model):
            usage = (await run(clerk(wait), "Wait.")).usage
        assert (usage.input_tokens, usage.output_tokens, usage.requests, usage.estimated) == (250, 15, 2, False)

    virtually(main())


def test_usage_that_the_provider_does_not_send_is_estimated_and_marked() -> None:
    model = ScriptedModel([reply("Three are left.", usage=None)])

    async def main() -> None:
        async with world(model):
            usage = (await run(clerk(), "How many are left?")).usage
        assert usage.estimated
        assert usage.input_tokens > 3
        assert usage.output_tokens >= 4

    virtually(main())


def test_a_tool_gets_its_deps_its_metadata_and_a_stable_key_and_shows_progress() -> None:
    seen: list[tuple[Any, ...]] = []

    @tool
    async def look(ctx: Context[dict[str, int]], sku: str) -> int:
        """Look."""
        await ctx.emit({"shelf": 7})
        seen.append((ctx.metadata["user"], ctx.idempotency_key, ctx.remaining() <= 60.0))
        if sku not in ctx.deps:
            raise ToolError(f"no article {sku}", code="sku_unknown")
        return ctx.deps[sku]

    model = ScriptedModel([reply(calls=[call("look", sku="A"), call("look", sku="B")]), reply("done")])

    async def main() -> None:
        async with world(model), stream(clerk(look), "Look.", deps={"A": 3}, metadata={"user": "ada"}) as running:
            events = [event async for event in running]
            answer = await running.answer()
        assert results(answer.messages) == ["3", "no article B"]
        assert [event.data for event in events if isinstance(event, ToolProgress)] == [{"shelf": 7}] * 2
        codes = [event.code for event in events if isinstance(event, ToolReturned)]
        assert sorted(codes, key=str) == [None, "sku_unknown"]
        assert {user for user, _, _ in seen} == {"ada"}
        assert len({key for _, key, _ in seen}) == 2
        assert all(key.startswith(answer.run_id) for _, key, _ in seen)
        assert all(bounded for _, _, bounded in seen)

    virtually(main())


def test_a_tool_that_takes_too_long_is_stopped_and_its_sibling_is_not() -> None:
    @tool(timeout=1.0)
    async def slow() -> str:
        """Slow."""
        await asyncio.sleep(3600)
        return "never"

    model = ScriptedModel([reply(calls=[call("slow"), call("wait", seconds=2.0)]), reply("done")])

    async def main() -> None:
        async with world(model):
            before = now()
            answer = await run(clerk(slow, wait), "Wait.")
            assert now() - before == pytest.approx(2.0, abs=1e-6)
        timed_out, waited = results(answer.messages)
        assert "1 s" in timed_out
        assert waited == "waited 2.0"

    virtually(main())


def test_the_deadline_ends_the_run_with_what_there_is() -> None:
    model = ScriptedModel([reply("Let me see.", calls=[call("wait", seconds=50)]), reply("never")])

    async def main() -> None:
        async with world(model):
            before = now()
            with pytest.raises(DeadlineExceeded) as failed:
                await run(clerk(wait), "Wait.", deadline=10.0)
            assert now() - before == pytest.approx(10.0, abs=1e-3)
        assert failed.value.reason == "run_timeout"
        assert results(failed.value.answer.messages) == ["The call was stopped: the run's deadline passed."]

    virtually(main())


def test_tools_are_withheld_on_the_last_turn() -> None:
    model = ScriptedModel([reply(calls=[call("wait", seconds=0.1)]), reply("as far as I got")])

    async def main() -> None:
        async with world(model):
            answer = await run(clerk(wait, budget=Budget(turns=2)), "Wait.")
        assert answer.output == "as far as I got"
        assert "tools" in model.requests[0]
        assert "tools" not in model.requests[1]

    virtually(main())


@pytest.mark.parametrize("budget", [Budget(tool_calls=2), Budget(tokens=50), Budget(turns=1)])
def test_a_budget_that_is_used_up_ends_the_run_without_running_the_calls(budget: Budget) -> None:
    model = ScriptedModel([reply(calls=[call("wait", seconds=1) for _ in range(3)], usage=(60, 10))])

    async def main() -> None:
        async with world(model):
            before = now()
            with pytest.raises(BudgetExceeded) as failed:
                await run(clerk(wait, budget=budget), "Wait.")
            assert now() == before
        assert len(results(failed.value.answer.messages)) == 3

    virtually(main())


def test_a_provider_that_is_ill_is_asked_again_and_both_are_told() -> None:
    model = ScriptedModel([reply("done")])
    model.faults.then(faults.status(503))

    async def main() -> None:
        async with world(model), stream(clerk(), "Try.") as running:
            events = [event async for event in running]
            assert (await running.answer()).output == "done"
        assert [event.error for event in events if isinstance(event, CallAttempted)] == ["provider_unavailable", None]
        assert len([event for event in events if isinstance(event, Retrying)]) == 1

    virtually(main())


def test_text_of_a_reply_that_broke_off_is_rewound_and_the_answer_has_it_once() -> None:
    model = ScriptedModel([reply("one two three four", pieces=4), reply("one two three four", pieces=4)])
    model.faults.then(faults.cut(after=600))

    async def main() -> None:
        async with world(model), stream(clerk(), "Count.") as running:
            shown: dict[str, str] = {}
            async for event in running:
                if isinstance(event, TextDelta):
                    shown[event.message_id] = shown.get(event.message_id, "") + event.text
                elif isinstance(event, Rewound):
                    assert shown.pop(event.message_id)
            answer = await running.answer()
        assert list(shown.values()) == [answer.output] == ["one two three four"]

    virtually(main())


def test_a_request_the_provider_refuses_fails_the_run_with_the_providers_words() -> None:
    model = ScriptedModel([])
    model.faults.afterwards(faults.status(404))

    async def main() -> None:
        async with world(model):
            with pytest.raises(ProviderFailed) as failed:
                await run(clerk(), "Try.")
        assert failed.value.reason == "provider_refused"
        assert failed.value.answer.messages == (UserMessage("Try."),)

    virtually(main())


def test_a_wait_at_the_gate_is_told() -> None:
    model = ScriptedModel([reply("one"), reply("two")])

    async def main() -> None:
        async with world(model, Limits(requests=1, per=10.0, burst=0)) as runtime:
            await run(clerk(), "First.")
            before = now()
            async with stream(clerk(), "Second.") as running:
                waits = [event async for event in running if isinstance(event, GateWaited)]
            assert now() - before >= 9.9
            assert {wait.reason for wait in waits} == {"rate"}
            assert runtime.statistics()["openai"].granted == 2

    virtually(main())


@pytest.mark.smoke
def test_a_thread_remembers() -> None:
    model = ScriptedModel([reply("Ada, then."), reply("Ada.")])

    async def main() -> None:
        async with world(model):
            await run(clerk(), "I am Ada.", thread="t1")
            answer = await run(clerk(), "Who am I?", thread="t1")
        assert [message.content for message in answer.messages] == ["I am Ada.", "Ada, then.", "Who am I?", "Ada."]
        assert answer.usage.requests == 1

    virtually(main())


def test_a_second_message_into_a_busy_thread_waits_for_the_first() -> None:
    model = ScriptedModel([reply("first", pause=1.0), reply("second", pause=1.0)])

    async def main() -> None:
        async with world(model) as runtime:
            runs = [runtime.start(clerk(), text, thread="t1") for text in ("one", "two")]
            last = await runs[1].answer()
        assert [message.content for message in last.messages] == ["one", "first", "two", "second"]

    virtually(main())


def test_two_threads_do_not_wait_for_each_other() -> None:
    model = ScriptedModel([reply("x", pause=1.0), reply("x", pause=1.0)])

    async def main() -> None:
        async with world(model) as runtime:
            ended: list[float] = []
            for running in [runtime.start(clerk(), "go", thread=thread) for thread in ("t1", "t2")]:
                await running.answer()
                ended.append(now())
            assert ended[0] == ended[1] > 0.0

    virtually(main())


def test_a_conversation_may_be_handed_in() -> None:
    model = ScriptedModel([reply("Ada.")])
    before = (UserMessage("I am Ada."), AssistantMessage("Hello, Ada."))

    async def main() -> None:
        async with world(model):
            answer = await run(clerk(), "Who am I?", messages=before)
        assert answer.messages[:2] == before

    virtually(main())
