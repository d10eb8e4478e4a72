"""Runs of one thread wait for one another, and the conversation stays valid whatever becomes of each."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from agentrt import run
from agentrt.errors import DeadlineExceeded, JournalFailed, RunCancelled, RunFailed
from agentrt.events import ToolReturned
from agentrt.messages import UserMessage
from agentrt.testing import ScriptedModel, call, reply, run_virtual
from tests.runs.world import CLERK, LateJournal, assert_valid, results, world


@pytest.mark.parametrize("early", [True, False], ids=["the third waits already", "the third comes after"])
@pytest.mark.parametrize(("deadline", "ends"), [(None, RunCancelled), (2.0, DeadlineExceeded)])
def test_a_run_that_gives_up_its_place_in_line_does_not_let_the_next_one_in(
    deadline: float | None, ends: type[RunFailed], early: bool
) -> None:
    model = ScriptedModel([reply(calls=[call("wait", seconds=10)]), reply("first"), reply("third")])

    async def main() -> None:
        async with world(model) as runtime:
            first = runtime.start(CLERK, "one", thread="t1")
            await asyncio.sleep(1)
            second = runtime.start(CLERK, "two", thread="t1", deadline=deadline)
            third = runtime.start(CLERK, "three", thread="t1") if early else None
            await asyncio.sleep(3)
            if deadline is None:
                second.cancel()
            with pytest.raises(ends):
                await second.answer()
            third = third or runtime.start(CLERK, "three", thread="t1")
            await asyncio.sleep(1)
            assert first.state.ended is None
            assert len(model.requests) == 1
            answer = await third.answer()
        assert_valid(answer.messages)
        said = [message.content for message in answer.messages]
        assert said == ["one", "", "waited 10.0", "first", "two", "three", "third"]

    run_virtual(main())


def test_a_thread_goes_on_validly_behind_a_run_whose_result_was_lost() -> None:
    model = ScriptedModel([reply(calls=[call("wait", seconds=1)]), reply("done")])

    async def main() -> None:
        async with world(model, journal=LateJournal(0.0, loses=ToolReturned)):
            with pytest.raises(JournalFailed, match="disk full"):
                await run(CLERK, "one", thread="t1")
            answer = await run(CLERK, "two", thread="t1")
        assert_valid(answer.messages)
        assert results(answer.messages) == ["The call was stopped: its result was lost."]
        assert answer.messages[-2:-1] == (UserMessage("two"),)
        assert [message["role"] for message in model.requests[-1]["messages"]] == ["user", "assistant", "tool", "user"]

    run_virtual(main())


def test_a_thread_that_is_never_idle_does_not_keep_its_ended_runs_alive() -> None:
    model = ScriptedModel(lambda _: reply("done", pieces=2, pause=1.0))

    async def main() -> None:
        async with world(model) as runtime:
            runs: list[weakref.ref[Any]] = []
            last = runtime.start(CLERK, "go", thread="t1")
            for _ in range(10):
                before, last = last, runtime.start(CLERK, "go", thread="t1")
                await before.answer()
                runs.append(weakref.ref(before))
            await last.answer()
            del before
            gc.collect()
            assert [alive for ended in runs if (alive := ended())] == []

    run_virtual(main())
