"""At whatever step of the loop a run is cut short, its conversation is valid and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from agentrt import Limits
from agentrt.errors import JournalFailed, RunCancelled, RunFailed
from agentrt.events import RunEnded
from agentrt.journal.memory import MemoryJournal
from agentrt.runs.owner import Run
from agentrt.testing import ScriptedModel, assert_no_leaks, call, reply, run_virtual
from tests.runs.world import CLERK, LateJournal, assert_valid, assert_whole, virtual_loop, world

TEXT = reply("It is done.", pieces=3, pause=0.01)
CALLS = reply("Let me see.", calls=[call("wait", seconds=0.01), call("wait", seconds=0.02)], pieces=2, pause=0.01)


@dataclass(frozen=True)
class Scene:
    """What goes on: `runs` runs side by side, of which `victim` is the one that is cancelled."""

    script: tuple[Any, ...]
    runs: int = 1
    victim: int = 0
    limits: Limits | None = None
    journal: Callable[[], MemoryJournal] = MemoryJournal


SCENES = {
    "text streams": Scene((TEXT,)),
    "two tools run side by side": Scene((CALLS, TEXT)),
    "the journal is slow": Scene((CALLS, TEXT), journal=lambda: LateJournal(0.004)),
    "somebody waits for its permit": Scene((TEXT, TEXT), runs=2, limits=Limits(concurrency=1)),
    "it waits for a permit": Scene((TEXT, TEXT), runs=2, victim=1, limits=Limits(concurrency=1)),
}


def cut_at(n: int, scene: Scene, *, behind: bool) -> tuple[bool, str]:
    """Cancel the victim at the n-th step, in front of or behind what is ready then.

    Returns whether that step came before all runs had ended, and how the victim ended.
    """
    model, journal, mishaps, came = ScriptedModel(scene.script), scene.journal(), list[object](), list[int]()

    async def outcome(run: Run) -> str:
        try:
            answer = await run.answer()
        except RunCancelled as failed:
            answer = failed.answer
        assert_valid(answer.messages)
        assert_whole(await journal.read(run.run_id))
        (ended,) = [event async for event in run.events() if isinstance(event, RunEnded)]
        return ended.outcome

    async def main() -> tuple[bool, str]:
        loop = virtual_loop()
        loop.set_exception_handler(lambda _, mishap: mishaps.append(mishap))
        async with world(model, scene.limits, journal=journal, random=Random(1)) as runtime:
            runs = [runtime.start(CLERK, "Wait.") for _ in range(scene.runs)]

            def cut() -> None:
                came.append(n)
                runs[scene.victim].cancel()

            loop.at_step(n, (lambda: loop.call_soon(cut)) if behind else cut)
            outcomes = [await outcome(run) for run in runs]
            in_time = bool(came)
        assert all(one == "success" for run, one in enumerate(outcomes) if run != scene.victim)
        return in_time, outcomes[scene.victim]

    told = run_virtual(main())
    assert mishaps == []
    return told


@pytest.mark.parametrize("behind", [False, True], ids=["in front", "behind"])
@pytest.mark.parametrize("scene", SCENES)
def test_a_cancel_at_any_step_leaves_a_valid_conversation_and_nothing_else(scene: str, behind: bool) -> None:
    outcomes: list[str] = []
    in_time = True
    while in_time:
        in_time, outcome = cut_at(len(outcomes) + 1, SCENES[scene], behind=behind)
        outcomes.append(outcome)
    assert outcomes.count("cancelled") > 10
    assert outcomes[0] == "cancelled"
    assert outcomes == sorted(outcomes)  # from some step on it is too late, and the run succeeds
    assert outcomes[-1] == "success"


def everything_cancelled_at(n: int) -> bool:
    """What Ctrl-C and a server's shutdown do: cancel all tasks at once, whatever they are."""
    model, came = ScriptedModel([CALLS, TEXT, TEXT, TEXT]), list[bool]()

    async def main() -> bool:
        loop, runs, me = virtual_loop(), list[Run](), asyncio.current_task()

        async def life() -> None:
            async with world(model) as runtime:
                runs.extend(runtime.start(CLERK, "Wait.", thread="t1") for _ in range(2))
                for run in runs:
                    await run.wait()

        def cut() -> None:
            came.append(not living.done())
            for task in asyncio.all_tasks(loop) - {me}:
                task.cancel()

        async with assert_no_leaks():
            living = loop.create_task(life())
            loop.at_step(n, cut)
            await asyncio.wait([living])
            in_time = came == [True]
            assert living.cancelled() == in_time
            for run in runs:
                try:
                    assert_valid((await run.answer()).messages)
                except RunFailed as failed:
                    assert_valid(failed.answer.messages)
                except JournalFailed as failed:
                    assert "given up" in str(failed)  # noqa: PT017
        return in_time

    return run_virtual(main())


def test_whatever_step_everything_is_cancelled_at_nobody_hangs() -> None:
    n = 1
    while everything_cancelled_at(n):
        n += 1
    assert n > 50
