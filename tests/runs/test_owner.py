"""Ending a run before its time: whatever is cut short, its conversation stays valid and nothing is left behind."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from agentrt import Agent, Context, Provider, Runtime, run, stream, tool
from agentrt.errors import RunCancelled, RunFailed
from agentrt.events import CancelAsked, ModelReplied, RunEnded, RunStarted, TextDelta
from agentrt.journal.memory import MemoryJournal
from agentrt.messages import ToolMessage
from agentrt.testing import ScriptedModel, assert_no_leaks, call, reply, run_virtual
from tests.runs.world import CLERK, assert_valid, clerk, world

LONG = reply("a long story", pieces=12, pause=1.0)


@pytest.mark.smoke
def test_a_cancel_in_mid_answer_keeps_the_text_that_was_shown() -> None:
    model = ScriptedModel([LONG, reply("Go on with what?")])

    async def main() -> None:
        async with world(model):
            shown = ""
            async with stream(CLERK, "Tell.", thread="t1") as running:
                async for event in running:
                    if isinstance(event, TextDelta):
                        shown += event.text
                        if len(shown) >= 5:
                            running.cancel("enough")
                with pytest.raises(RunCancelled, match="enough") as failed:
                    await running.answer()
            assert failed.value.answer.output == shown
            assert model.cut == 1
            answer = await run(CLERK, "Go on.", thread="t1")
        assert [m.content for m in answer.messages] == ["Tell.", shown, "Go on.", "Go on with what?"]

    run_virtual(main())


def test_a_cancel_while_tools_run_gives_every_call_a_result() -> None:
    model = ScriptedModel([reply(calls=[call("wait", seconds=1), call("wait", seconds=60), call("wait", seconds=90)])])

    async def main() -> None:
        async with world(model) as runtime:
            running = runtime.start(CLERK, "Wait.")
            await asyncio.sleep(5)
            await running.stop("enough")
            with pytest.raises(RunCancelled) as failed:
                await running.answer()
            messages = failed.value.answer.messages
            assert_valid(messages)
            assert [m.content for m in messages if isinstance(m, ToolMessage)] == [
                "waited 1.0",
                "The call was stopped: enough.",
                "The call was stopped: enough.",
            ]
            facts = [event async for event in running.events() if not isinstance(event, TextDelta)]
            assert len([fact for fact in facts if isinstance(fact, RunEnded)]) == 1
            assert isinstance(facts[-1], RunEnded)

    run_virtual(main())


def test_a_run_may_be_cancelled_before_its_first_step() -> None:
    model = ScriptedModel([])

    async def main() -> None:
        async with world(model) as runtime:
            running = runtime.start(CLERK, "Wait.")
            running.cancel("never mind")
            with pytest.raises(RunCancelled, match="never mind"):
                await running.answer()
            facts = [type(event) async for event in running.events()]
        assert facts == [RunStarted, RunEnded]
        assert model.requests == []

    run_virtual(main())


def test_cancelling_who_awaits_run_cancels_the_run_and_sees_it_end() -> None:
    model = ScriptedModel([LONG])

    async def main() -> None:
        async with world(model):
            task = asyncio.get_running_loop().create_task(run(CLERK, "Tell."))
            await asyncio.sleep(3.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert model.cut == 1

    run_virtual(main())


def test_leaving_a_stream_early_cancels_its_run() -> None:
    model = ScriptedModel([LONG])

    async def main() -> None:
        async with world(model) as runtime:
            async with stream(CLERK, "Tell.") as running:
                async for event in running:
                    if isinstance(event, TextDelta):
                        break
            assert model.cut == 1
            with pytest.raises(RunCancelled):
                await running.answer()
            assert runtime.statistics()["openai"].in_flight == 0

    run_virtual(main())


def test_closing_the_runtime_ends_its_runs_in_order() -> None:
    model = ScriptedModel([LONG, LONG])

    async def main() -> None:
        journal = MemoryJournal()
        async with assert_no_leaks():
            async with Runtime(providers=[model.provider("openai")], journal=journal) as runtime:
                runs = [runtime.start(CLERK, "Tell.") for _ in range(2)]
                await asyncio.sleep(3.5)
            for one in runs:
                facts = await journal.read(one.run_id)
                assert [type(fact) for fact in facts] == [RunStarted, CancelAsked, ModelReplied, RunEnded]
                with pytest.raises(RunCancelled, match="the runtime closed"):
                    await one.answer()

    run_virtual(main())


def test_an_error_in_the_runtimes_block_is_raised_as_it_is() -> None:
    async def main() -> None:
        with pytest.raises(KeyError, match="mine"):  # noqa: PT012 - the block is what is tested
            async with Runtime(providers=[ScriptedModel([LONG]).provider("openai")]) as runtime:
                runtime.start(CLERK, "Tell.")
                await asyncio.sleep(2)
                raise KeyError("mine")

    run_virtual(main())


def test_a_tool_that_will_not_stop_is_named_and_holds_nobody() -> None:
    let_go = asyncio.Event()

    @tool
    async def stubborn() -> str:
        """Does not listen."""
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return "at last"

    agent: Agent[Any] = Agent(name="clerk", model="openai:scripted", tools=[stubborn])
    model = ScriptedModel([reply(calls=[call("stubborn")])])

    async def main() -> None:
        async with Runtime(providers=[model.provider("openai")], grace=0.5) as runtime:
            running = runtime.start(agent, "Try.")
            await asyncio.sleep(1)
            before = asyncio.get_running_loop().time()
            await running.stop()
            assert asyncio.get_running_loop().time() - before == pytest.approx(0.5, abs=1e-3)
            with pytest.raises(RunCancelled) as failed:
                await running.answer()
            assert_valid(failed.value.answer.messages)
            ended = [event async for event in running.events()][-1]
            assert isinstance(ended, RunEnded)
            assert ended.stragglers == ("stubborn",)
            assert list(runtime.stragglers) == ["stubborn"]
            let_go.set()
            await asyncio.sleep(0.1)
            assert not runtime.stragglers

    run_virtual(main())


def test_a_cancel_that_nobody_asked_for_is_a_failure() -> None:
    class Confused(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise asyncio.CancelledError("by nobody")

    async def main() -> None:
        provider = Provider(name="openai", base_url="http://confused.invalid/v1", transport=Confused())
        async with assert_no_leaks(), Runtime(providers=[provider]):
            with pytest.raises(RunFailed, match="nobody asked for that") as failed:
                await run(CLERK, "Try.")
            assert not isinstance(failed.value, RunCancelled)
            assert failed.value.reason == "internal"

    run_virtual(main())


def test_the_metadata_of_a_run_are_those_it_was_started_with() -> None:
    seen: list[dict[str, str]] = []

    @tool
    async def look(ctx: Context[None]) -> str:
        """Look."""
        seen.append(dict(ctx.metadata))
        return "seen"

    async def main() -> None:
        metadata = {"user": "ada"}
        async with world(ScriptedModel([reply(calls=[call("look")]), reply("done")])) as runtime:
            running = runtime.start(clerk(look), "Look.", metadata=metadata)
            metadata["user"] = "eve"
            await running.answer()
            started = await anext(running.events())
        assert isinstance(started, RunStarted)
        assert [started.metadata, *seen] == [{"user": "ada"}] * 2

    run_virtual(main())
