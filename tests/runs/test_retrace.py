"""A run gone through once more: what follows from what, and the first fact that does not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from agentrt.agent import Budget
from agentrt.events import Fact, ModelReplied, RunEnded, RunStarted, ToolReturned
from agentrt.journal.memory import MemoryJournal
from agentrt.runs.moves import End
from agentrt.runs.retrace import Step, named, retraced
from agentrt.runs.state import RunState
from agentrt.testing import ScriptedModel, call, reply, run_virtual
from tests.runs.world import CLERK, world

CALLS = reply(calls=[call("wait", call_id="c1", seconds=1), call("wait", call_id="c2", seconds=2)])


async def lived(*turns: object, deadline: float | None = None, cancel_at: float | None = None) -> Sequence[Fact]:
    """The facts of a run that really ran."""
    journal = MemoryJournal()
    async with world(ScriptedModel(list(turns)), journal=journal) as runtime:  # type: ignore[arg-type]
        run = runtime.start(CLERK, "Go.", run_id="r1", deadline=deadline)
        if cancel_at is not None:
            await asyncio.sleep(cancel_at)
            run.cancel("enough")
        await run.wait()
    return await journal.read("r1")


def retrace(facts: Sequence[Fact], budget: Budget | None = None) -> list[Step]:
    return list(retraced(facts, budget or Budget(), RunState()))


def doubts(facts: Sequence[Fact]) -> list[str]:
    return [step.doubt for step in retrace(facts) if step.doubt is not None]


def test_each_fact_leads_to_the_next_move() -> None:
    async def main() -> None:
        steps = retrace(await lived(CALLS, reply("done")))
        assert [named(step.move) for step in steps if step.move is not None] == [
            "ask the model",
            "call wait, wait",
            "call wait, wait",
            "call wait, wait",
            "call wait",
            "ask the model",
            "end: success",
        ]
        assert steps[-1].move is None
        assert isinstance(steps[-1].fact, RunEnded)
        assert [step.doubt for step in steps] == [None] * 8

    run_virtual(main())


def test_the_last_turn_of_a_budget_is_asked_for_without_tools() -> None:
    async def main() -> None:
        steps = retrace(await lived(CALLS, reply("done")), Budget(turns=2))
        assert steps[5].move is not None
        assert named(steps[5].move) == "ask the model, without tools"

    run_virtual(main())


@pytest.mark.parametrize("cancel_at", [0, 0.5, 1.5, 2.5, 4.5])
def test_a_run_that_was_cut_short_follows_too(cancel_at: float) -> None:
    async def main() -> None:
        slow = reply("a long story", pieces=5, pause=1.0)
        assert doubts(await lived(CALLS, slow, cancel_at=cancel_at)) == []
        if cancel_at:
            assert doubts(await lived(CALLS, slow, deadline=cancel_at)) == []

    run_virtual(main())


def test_what_does_not_follow_is_named() -> None:
    async def main() -> None:
        facts = await lived(CALLS, reply("done"))
        started, called, *rest = facts
        assert isinstance(rest[2], ToolReturned) and isinstance(rest[-2], ModelReplied)
        assert doubts([started, called, rest[-2]]) == ["the model replied, where the next move was to call wait, wait"]
        assert doubts([started, *rest[:1]]) == ["no call c1 of wait was open"]
        assert doubts([*facts[:6], rest[2], *facts[6:]]) == ["no call c1 of wait was open"]
        assert doubts([started, called, *rest[:-2], rest[-1]]) == [
            "the run ended in success, where the next move was to ask the model"
        ]
        assert isinstance(facts[-1], RunEnded)
        assert doubts([*facts[:-1], replace(facts[-1], outcome="cancelled")]) == [
            "the run ended in cancelled, where the next move was to end: success"
        ]

    run_virtual(main())


def test_a_run_that_has_not_ended_has_a_next_move_behind_its_last_fact() -> None:
    async def main() -> None:
        facts = await lived(reply("done"))
        assert retrace(facts[:-1])[-1].move == End("success")

    run_virtual(main())


def test_a_reply_that_came_as_the_deadline_passed_follows() -> None:
    async def main() -> None:
        started, replied, _ = await lived(reply("done"))
        assert isinstance(started, RunStarted)
        assert doubts([started, replace(replied, at=started.ends_at + 1)]) == []

    run_virtual(main())
