"""A Runtime that leaves its runs unfinished: the next one goes on with them as if nothing had been."""

from __future__ import annotations

import asyncio

import pytest

from agentrt import Agent, Runtime, tool
from agentrt.errors import RunCancelled
from agentrt.events import CancelAsked, RunEnded, RunResumed, RunStarted
from agentrt.journal.memory import MemoryJournal
from agentrt.testing import ScriptedModel, assert_no_leaks, call, reply, run_virtual
from tests.runs.world import CLERK, assert_valid, assert_whole, kinds, wait

TURNS = [reply(calls=[call("wait", seconds=3), call("look", seconds=5)]), reply("a long story", pieces=12, pause=1.0)]


@tool(effect="read")
async def look(seconds: float) -> str:
    """Look."""
    await asyncio.sleep(seconds)
    return "seen"


BOTH = Agent(name="clerk", model="openai:scripted", tools=[wait, look])


def turns(asked: dict[str, object]) -> object:
    """The reply that the conversation is at."""
    messages = asked["messages"]
    assert isinstance(messages, list)
    return TURNS[messages[-1]["role"] == "tool"]


@pytest.mark.parametrize("seconds", [0, 0.01, 1, 3, 4, 5, 6, 10, 16, 30])
def test_whenever_it_is_left_the_run_goes_on_and_ends_once(seconds: float) -> None:
    async def main() -> None:
        journal = MemoryJournal()
        model = ScriptedModel(turns)  # type: ignore[arg-type]
        async with assert_no_leaks():
            async with Runtime(providers=[model.provider("openai")], journal=journal, on_exit="suspend") as runtime:
                first = runtime.start(BOTH, "Tell.", thread="t1", run_id="r1")
                await asyncio.sleep(seconds)
        facts = await journal.read("r1")
        assert kinds(facts)[0] is RunStarted
        assert not any(isinstance(fact, CancelAsked) for fact in facts)
        assert isinstance(facts[-1], RunEnded) == (seconds > 17)
        if seconds < 17:
            with pytest.raises(RunCancelled, match="left unfinished"):
                await first.answer()
            async with Runtime(providers=[model.provider("openai")], journal=journal) as runtime:
                (left,) = await runtime.unfinished()
                answer = await (await runtime.resume(left.run_id, BOTH)).answer()
            assert answer.output == "a long story"
            assert_valid(answer.messages)
            assert RunResumed in kinds(await journal.read("r1"))
        assert_whole(await journal.read("r1"))

    run_virtual(main())


def test_a_run_that_waits_for_its_turn_is_not_forgotten() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        model = ScriptedModel([reply("One.", pieces=4, pause=1), "One.", "Two."])
        async with Runtime(providers=[model.provider("openai")], journal=journal, on_exit="suspend") as runtime:
            runtime.start(CLERK, "Say one.", thread="t1", run_id="r1")
            runtime.start(CLERK, "Say two.", thread="t1", run_id="r2")
            await asyncio.sleep(2)
        async with Runtime(providers=[model.provider("openai")], journal=journal) as runtime:
            left = await runtime.unfinished()
            assert [one.run_id for one in left] == ["r1", "r2"]
            runs = [await runtime.resume(one.run_id, CLERK) for one in left]
            answers = [await run.answer() for run in runs]
        assert [answer.output for answer in answers] == ["One.", "Two."]
        assert [m["content"] for m in model.requests[2]["messages"]] == ["Say one.", "One.", "Say two."]

    run_virtual(main())


def test_a_run_that_was_cancelled_before_ends_so() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        model = ScriptedModel([reply("a long story", pieces=12, pause=1.0)])
        async with Runtime(providers=[model.provider("openai")], journal=journal, on_exit="suspend") as runtime:
            run = runtime.start(CLERK, "Tell.", run_id="r1")
            await asyncio.sleep(2)
            run.cancel("enough")
        ended = (await journal.read("r1"))[-1]
        assert isinstance(ended, RunEnded) and (ended.outcome, ended.message) == ("cancelled", "enough")

    run_virtual(main())


def test_a_runtime_that_is_cancelled_on_its_way_out_leaves_them_too() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        model = ScriptedModel([reply("a long story", pieces=12, pause=1.0)])

        async def serve() -> None:
            async with Runtime(providers=[model.provider("openai")], journal=journal, on_exit="suspend") as runtime:
                runtime.start(CLERK, "Tell.", run_id="r1")
                await asyncio.sleep(60)

        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve())
            await asyncio.sleep(2)
            serving.cancel()
            await asyncio.sleep(0)
            serving.cancel()
        assert kinds(await journal.read("r1")) == [RunStarted]

    run_virtual(main())
