"""Runs that are resumed take their place in their thread again: behind what was before them, before what comes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from msgspec.structs import replace

from agentrt import Runtime, tool
from agentrt.errors import RunCancelled, SettingInvalid
from agentrt.events import Fact, RunEnded, RunResumed, RunStarted
from agentrt.journal.memory import MemoryJournal
from agentrt.testing import ScriptedModel, call, reply, run_virtual
from tests.runs.world import CLERK, assert_valid, clerk, kinds, left_behind, world


async def cut_off(*runs: tuple[str, str]) -> list[Sequence[Fact]]:
    """Runs of thread t1, each (id, question), of which the last was cut off while its tool ran; the others answered."""
    journal = MemoryJournal()
    turns = [reply(f"answer of {run_id}") for run_id, _ in runs[:-1]]
    calls = reply(calls=[call("wait", call_id=f"call of {runs[-1][0]}", seconds=5)])
    async with world(ScriptedModel([*turns, calls]), journal=journal) as runtime:
        for run_id, question in runs:
            run = runtime.start(CLERK, question, thread="t1", run_id=run_id)
            await asyncio.sleep(1)
        left = [await journal.read(run_id) for run_id, _ in runs]
        await run.stop()
    return left


def test_a_resumed_run_knows_what_its_thread_had_come_to_and_the_next_run_waits_for_it() -> None:
    model = ScriptedModel([reply("answer of r2"), reply("answer of r3")])

    async def main() -> None:
        journal = await left_behind(*await cut_off(("r1", "one"), ("r2", "two")))
        async with world(model, journal=journal) as runtime:
            resumed = await runtime.resume("r2", CLERK)
            later = runtime.start(CLERK, "three", thread="t1")
            third, second = await later.answer(), await resumed.answer()
            started = (await journal.read(later.run_id))[0]
            assert isinstance(started, RunStarted)
            assert started.previous == "r2"
        said = [message.content for message in third.messages]
        unknown = second.messages[4].content
        assert "Nobody knows whether it took effect" in unknown
        assert said == ["one", "answer of r1", "two", "", unknown, "answer of r2", "three", "answer of r3"]
        assert second.messages == third.messages[:6]
        assert_valid(third.messages)
        assert [len(asked["messages"]) for asked in model.requests] == [5, 7]

    run_virtual(main())


def test_a_resumed_run_is_not_told_what_its_thread_said_after_it() -> None:
    async def main() -> None:
        first, second = await cut_off(("r1", "one"), ("r2", "two"))
        (gone,) = await cut_off(("r0", "nil"))
        journal = await left_behind(gone, first, second)  # r1 and r2 went on though r0 had not ended
        async with world(ScriptedModel([reply("answer of r0")]), journal=journal) as runtime:
            answer = await (await runtime.resume("r0", CLERK)).answer()
        assert [message.content for message in answer.messages][:1] == ["nil"]
        assert answer.output == "answer of r0"
        assert len(answer.messages) == 4

    run_virtual(main())


def test_unfinished_runs_of_one_thread_wait_for_one_another() -> None:
    def script(asked: dict[str, object]) -> object:
        return reply(f"answer {len(model.requests)}", pieces=3, pause=1.0)

    model = ScriptedModel(script)  # type: ignore[arg-type]

    async def main() -> None:
        left: list[Sequence[Fact]] = []
        previous: str | None = None
        for run_id in ("r1", "r2", "r3"):
            ((first, *facts),) = await cut_off((run_id, f"question of {run_id}"))
            assert isinstance(first, RunStarted)
            left.append([replace(first, previous=previous), *facts])
            previous = run_id
        journal = await left_behind(*left)
        async with world(model, journal=journal) as runtime:
            runs = [await runtime.resume(one.run_id, CLERK) for one in await runtime.unfinished()]
            assert [run.epoch for run in runs] == [2, 2, 2]  # nobody else has them while they wait
            last = runtime.start(CLERK, "the last", thread="t1")
            await runs[0].wait()
            assert kinds(runs[1].events().ready())[-1] is not RunEnded
            answers = [await run.answer() for run in (*runs, last)]
        assert [answer.output for answer in answers] == ["answer 1", "answer 2", "answer 3", "answer 4"]
        for before, after in pairwise(answers):
            assert after.messages[: len(before.messages)] == before.messages
        assert_valid(answers[-1].messages)

    run_virtual(main())


def test_a_resumed_run_that_is_cancelled_in_line_ends_and_keeps_its_place() -> None:
    async def main() -> None:
        left = [(await cut_off((run_id, run_id)))[0] for run_id in ("r1", "r2")]
        journal = await left_behind(*left)
        model = ScriptedModel([reply("answer of r1", pieces=4, pause=1.0)])
        async with world(model, journal=journal) as runtime:
            first, second = [await runtime.resume(run_id, CLERK) for run_id in ("r1", "r2")]
            await asyncio.sleep(1)
            await second.stop("enough")
            with pytest.raises(RunCancelled, match="enough"):
                await second.answer()
            assert first.state.ended is None
            assert kinds(second.events().ready()[3:4]) == [RunResumed]
            assert (await first.answer()).output == "answer of r1"

    run_virtual(main())


def test_a_tool_may_not_resume_a_run_of_the_thread_it_runs_in() -> None:
    refused: list[SettingInvalid] = []

    @tool
    async def revive() -> str:
        """Resume a colleague."""
        runtime = Runtime.current()
        assert runtime is not None
        with pytest.raises(SettingInvalid, match="would wait for itself") as caught:
            await runtime.resume("r1", CLERK)
        refused.append(caught.value)
        return "no"

    async def main() -> None:
        journal = await left_behind(*await cut_off(("r1", "one")))
        async with world(ScriptedModel([reply(calls=[call("revive")]), reply("done")]), journal=journal) as runtime:
            await runtime.start(clerk(revive), "Try.", thread="t1").answer()
        assert len(refused) == 1

    run_virtual(main())
