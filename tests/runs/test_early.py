"""Reads begin while the model still writes; identical reads share one execution; what nobody asked for is let go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agentrt import Agent, Budget, Context, Limits, tool
from agentrt.errors import RunCancelled
from agentrt.events import ArgumentsDelta, ModelReplied, Rewound, ToolProgress, ToolReturned, ToolStarted
from agentrt.local.handler import Request, Response
from agentrt.messages import ToolCall
from agentrt.runs.early import LONGEST
from agentrt.testing import ScriptedModel, call, faults, reply, run_virtual
from agentrt.toolbox.define import Effect
from tests.runs.world import LateJournal, assert_valid, assert_whole, clerk, now, results, world


class Library:
    """Tools that tell when they ran."""

    def __init__(self) -> None:
        self.began: list[tuple[float, str]] = []
        self.stopped = 0

        @tool(effect="read")
        async def find(ctx: Context, words: str, seconds: float = 1.0) -> str:
            """Find."""
            return await self._work(ctx, words, seconds)

        @tool(effect="egress")
        async def fetch(ctx: Context, words: str, seconds: float = 1.0) -> str:
            """Fetch."""
            return await self._work(ctx, words, seconds)

        @tool(effect="read", needs_approval=True)
        async def peek(words: str) -> str:
            """Peek."""
            self.began.append((now(), words))
            return words

        self.find = find
        self.agent: Agent[Any] = clerk(find, fetch, peek)

    async def _work(self, ctx: Context, words: str, seconds: float) -> str:
        self.began.append((now(), words))
        await ctx.emit({"looking for": words})
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        if words == "nothing":
            raise LookupError(words)
        return f"found {words} for {ctx.call_id}"


def tail(*calls: Any, pause: float = 0.1) -> Any:
    """A reply that says its calls and then goes on for a while: each chunk takes `pause` seconds."""
    return reply(calls=calls, pause=pause)


TWO = (call("find", words="a"), call("find", words="b", seconds=2.0))


def test_a_read_begins_when_its_arguments_are_there_and_not_when_the_reply_is() -> None:
    async def main() -> None:
        library = Library()
        async with world(ScriptedModel([tail(*TWO), "Done."])) as runtime:
            run = runtime.start(library.agent, "Find.")
            whole = 0.0
            async for event in run.events():
                if isinstance(event, ArgumentsDelta) and event.text:
                    assert len(library.began) == len({at for at, _ in library.began})
                if isinstance(event, ModelReplied) and not whole:
                    whole = now()
            assert [words for _, words in library.began] == ["a", "b"]
            assert library.began[0][0] < library.began[1][0] < whole
            assert results((await run.answer()).messages) == ["found a for call_1", "found b for call_2"]
            facts = [e async for e in run.events() if isinstance(e, ModelReplied | ToolStarted | ToolReturned)]
            assert [type(fact).__name__ for fact in facts] == [
                *("ModelReplied", "ToolStarted", "ToolStarted", "ToolReturned", "ToolReturned", "ModelReplied")
            ]

    run_virtual(main())


def raw(*lines: Any) -> bytes:
    return b"".join(
        b"data: " + (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n\n" for line in lines
    )


def delta(**said: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": said, "finish_reason": None}]}


@pytest.mark.parametrize(("effect", "ends"), [("read", 1.0), ("egress", 2.0)])
def test_a_turn_with_a_tail_of_a_second_behind_its_arguments_ends_a_second_sooner(effect: Effect, ends: float) -> None:
    @tool(effect=effect)
    async def slow() -> str:
        """Takes a second."""
        await asyncio.sleep(1.0)
        return "done"

    async def body() -> AsyncIterator[bytes]:
        function = {"name": "slow", "arguments": "{}"}
        yield raw(delta(tool_calls=[{"index": 0, "id": "c1", "type": "function", "function": function}]))
        await asyncio.sleep(1.0)
        yield raw({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}, b"[DONE]")

    async def main() -> None:
        model = ScriptedModel(["Done."])

        async def says_so_first(_request: Request) -> Response:
            return Response(200, {"content-type": "text/event-stream"}, body())

        model.faults.then(lambda _: says_so_first)
        async with world(model) as runtime:
            assert (await runtime.start(clerk(slow), "Go.").answer()).output == "Done."
            assert now() == pytest.approx(ends)

    run_virtual(main())


def test_only_reads_that_need_nobodys_approval_begin_early() -> None:
    async def main() -> None:
        library = Library()
        model = ScriptedModel(
            [tail(call("fetch", words="a"), call("peek", words="b"), call("find", words="c")), "Done."]
        )
        async with world(model) as runtime:
            run = runtime.start(library.agent, "Find.")
            async for event in run.events():
                if isinstance(event, ModelReplied):
                    assert [words for _, words in library.began] == ["c"]
                    break
            assert [one.name for one in (await run.answer()).waiting] == ["peek"]

    run_virtual(main())


def test_no_read_begins_when_no_tools_were_offered_or_the_budget_has_no_call_left() -> None:
    async def main() -> None:
        library = Library()
        model = ScriptedModel([tail(*TWO, call("find", words="c")), "Done."])
        async with world(model) as runtime:
            run = runtime.start(library.agent, "Find.", budget=Budget(tool_calls=1))
            await run.wait()
            assert [words for _, words in library.began] == ["a"]
            assert library.stopped == 1
            run = runtime.start(library.agent, "Find.", budget=Budget(turns=1))
            await run.wait()
            assert len(library.began) == 1

    run_virtual(main())


def test_a_reply_that_breaks_off_and_comes_again_adopts_the_reads_that_have_begun() -> None:
    async def main() -> None:
        library = Library()
        model = ScriptedModel([tail(*TWO), tail(TWO[0], call("find", words="other")), "Done."])
        model.faults.then(faults.cut(after=500))
        async with world(model) as runtime:
            run = runtime.start(library.agent, "Find.")
            answer = await run.answer()
            assert [event async for event in run.events() if isinstance(event, Rewound)]
            assert [words for _, words in library.began].count("a") == 1
            assert results(answer.messages)[0].startswith("found a for")
            assert_valid(answer.messages)

    run_virtual(main())


def test_a_read_that_no_call_matches_in_the_end_is_cancelled_and_leaves_no_fact() -> None:
    async def main() -> None:
        library = Library()
        model = ScriptedModel([tail(*TWO), "Never mind."])
        model.faults.then(faults.cut(after=900))
        async with world(model) as runtime:
            run = runtime.start(library.agent, "Find.")
            assert (await run.answer()).output == "Never mind."
            assert library.began
            assert library.stopped == len(library.began)
            facts = await runtime.journal.read(run.run_id)
            assert not any(isinstance(fact, ToolStarted | ToolReturned) for fact in facts)
            assert not [event async for event in run.events() if isinstance(event, ToolProgress)]

    run_virtual(main())


def test_identical_reads_of_one_reply_share_one_execution_and_each_tells_its_progress() -> None:
    async def main() -> None:
        library = Library()
        same = [call("find", words="a"), call("find", seconds=1.0, words="a"), call("find", words="b")]
        async with world(ScriptedModel([reply(calls=same), "Done."])) as runtime:
            run = runtime.start(library.agent, "Find.")
            answer = await run.answer()
            assert sorted(words for _, words in library.began) == ["a", "b"]
            found = results(answer.messages)
            assert found[0] == found[1] == "found a for call_1"
            told = [(e.call_id, e.data) async for e in run.events() if isinstance(e, ToolProgress)]
            assert sorted(told, key=str) == [
                ("call_1", {"looking for": "a"}),
                ("call_2", {"looking for": "a"}),
                ("call_3", {"looking for": "b"}),
            ]

    run_virtual(main())


def test_one_of_two_that_share_a_read_is_stopped_and_the_other_still_has_it() -> None:
    async def main() -> None:
        library = Library()
        same = [call("find", words="a"), call("find", words="a")]
        async with world(ScriptedModel([reply(calls=same), "Done."])) as runtime:
            run = runtime.start(library.agent, "Find.")
            await asyncio.sleep(0.5)
            run.cancel_call("call_1", "enough")
            answer = await run.answer()
            assert results(answer.messages) == ["The call was stopped: enough.", "found a for call_1"]
            assert library.stopped == 0
            assert now() == pytest.approx(1.0)

    run_virtual(main())


def test_a_read_that_fails_early_is_an_outcome_like_any_other() -> None:
    async def main() -> None:
        library = Library()
        asked = tail(call("find", words="nothing", seconds=0.01), call("find", words="a"))
        async with world(ScriptedModel([asked, "Done."])) as runtime:
            answer = await runtime.start(library.agent, "Find.").answer()
            assert results(answer.messages) == ["LookupError: nothing", "found a for call_2"]

    run_virtual(main())


def test_a_read_of_the_models_own_provider_waits_for_its_place_and_nobody_for_ever() -> None:
    async def main() -> None:
        @tool(effect="read", provider="openai")
        async def look(words: str) -> str:
            """Look."""
            return words

        async with world(ScriptedModel([tail(call("look", words="a")), "Done."]), Limits(concurrency=1)) as runtime:
            answer = await runtime.start(clerk(look), "Look.").answer()
            assert results(answer.messages) == ["a"]

    run_virtual(main())


@pytest.mark.parametrize(
    "arguments",
    [
        '{"words": "a}"}',
        '{"words": "{"}',
        '{"words": "a"} ',
        '{"words": "' + "x" * (LONGEST + 1) + '"}',
        '{"words": 7}',
    ],
    ids=["a brace too many", "a brace too few", "space behind", "too long", "not fitting"],
)
def test_whatever_the_arguments_look_like_the_call_runs_once_and_as_the_reply_says(arguments: str) -> None:
    async def main() -> None:
        library = Library()
        async with world(ScriptedModel([tail(ToolCall("c", "find", arguments)), "Done."])) as runtime:
            answer = await runtime.start(library.agent, "Find.").answer()
            assert_valid(answer.messages)
            assert len(library.began) == ("7" not in arguments)

    run_virtual(main())


@pytest.mark.parametrize("behind", [False, True], ids=["in front", "behind"])
@pytest.mark.parametrize("late", [None, 0.004])
def test_a_cancel_at_any_step_leaves_no_early_read_behind(behind: bool, late: float | None) -> None:
    def cut_at(n: int) -> bool:
        async def main() -> bool:
            library, came = Library(), list[bool]()
            settings: dict[str, Any] = {} if late is None else {"journal": LateJournal(late)}
            model = ScriptedModel([tail(*TWO, TWO[0]), "Done."])
            async with world(model, **settings) as runtime:
                run = runtime.start(library.agent, "Find.")
                loop: Any = asyncio.get_running_loop()

                def cut() -> None:
                    came.append(run.state.ended is None)
                    run.cancel()

                loop.at_step(n, (lambda: loop.call_soon(cut)) if behind else cut)
                try:
                    messages = (await run.answer()).messages
                except RunCancelled as failed:
                    messages = failed.answer.messages
                assert_valid(messages)
                assert_whole(await runtime.journal.read(run.run_id))
            return came == [True]

        return run_virtual(main())

    n = 1
    while cut_at(n):
        n += 1
    assert n > 40
