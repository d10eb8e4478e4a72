"""Can the simulation see? Bugs are planted in the real code, and each must be found within a few seeds or steps."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from agentrt.errors import AgentrtError
from agentrt.events import AnyEvent, Fact, RunEnded, ToolReturned, ToolStarted
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant
from agentrt.gate.visit import Visit, Waiter
from agentrt.messages import ToolMessage
from agentrt.runs import ask, carry, perform, state
from agentrt.runs.ask import Turn
from agentrt.runs.feed import Feed
from agentrt.runs.record import Record
from agentrt.runs.state import RunState
from agentrt.testing.virtual import Deadlock
from bench.soak_steps import WAYS
from tests.simulation.journal import Disk
from tests.simulation.plan import Plan, plan_of
from tests.simulation.scenes import SCENES
from tests.simulation.simulation import lived

Patch = pytest.MonkeyPatch

SEEDS = 200
"""Worlds within which a bug must be found; without one none has a complaint."""


def found(plans: Iterable[Plan]) -> str:
    """The first complaint about any of these worlds, or how the first of them came to a standstill."""
    for plan in plans:
        try:
            world = lived(plan)
        except (Deadlock, AssertionError, AgentrtError, ExceptionGroup) as error:
            return repr(error)
        if world.complaints:
            return world.complaints[0]
    return ""


def in_seeds(seeds: int = SEEDS) -> str:
    return found(map(plan_of, range(seeds)))


def in_steps(scene: str, way: str, steps: int = 120) -> str:
    return found(WAYS[way](SCENES[scene], step) for step in range(1, steps))


# ---- the five -----------------------------------------------------------------------------------------------


def test_a_permit_that_is_kept_on_a_cancel_is_found(monkeypatch: Patch) -> None:
    leave = Gate._leave

    def keep(self: Gate, visit: Visit, grant: Grant, *, ill: bool) -> None:
        if grant.error != "cancelled":
            leave(self, visit, grant, ill=ill)

    monkeypatch.setattr(Gate, "_leave", keep)
    assert "1 in flight" in in_steps("text", "cancelled in front")


def test_a_permit_that_is_kept_where_grant_and_cancel_meet_is_found(monkeypatch: Patch) -> None:
    def keep(self: Gate, waiter: Waiter) -> None:
        waiter.visit.room.line.leave(waiter)
        self._move(asyncio.get_running_loop().time())

    monkeypatch.setattr(Gate, "_give_up", keep)
    assert "1 in flight" in in_steps("it waits for a permit", "cancelled in front")


def test_a_fact_after_its_deed_is_found(monkeypatch: Patch) -> None:
    kept = Record.keep

    async def hasty(self: Record, fact: Fact) -> None:
        if isinstance(fact, ToolStarted):
            self.happened(fact)
        else:
            await kept(self, fact)

    monkeypatch.setattr(Record, "keep", hasty)
    assert "before its intent was kept" in in_seeds()


def test_a_swallowed_cancel_is_found(monkeypatch: Patch) -> None:
    ask_model = ask.ask_model

    async def deaf(*given: Any, **said: Any) -> None:
        asking = asyncio.create_task(ask_model(*given, **said))
        while not asking.done():
            try:
                await asyncio.shield(asking)
            except asyncio.CancelledError:
                continue
        asking.result()

    monkeypatch.setattr(carry, "ask_model", deaf)
    assert "after it was told to stop" in in_steps("it is silent", "cancelled in front")


def test_a_call_id_that_is_used_twice_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Turn, "_id_of", lambda _, given: given)
    assert "is used for two calls" in in_seeds()


def test_a_fold_out_of_order_is_found(monkeypatch: Patch) -> None:
    returned = state._returned

    def as_they_land(before: RunState, fact: ToolReturned) -> RunState:
        after = returned(before, fact)
        landed = (*before.landed, ToolMessage(fact.call_id, fact.name, fact.content))
        return after if after.calls else replace(after, messages=(*before.messages, *landed))

    monkeypatch.setattr(state, "_returned", as_they_land)
    assert "is not the next that is due" in in_seeds()


# ---- and more ------------------------------------------------------------------------------------------------


def test_a_state_that_is_folded_late_is_found(monkeypatch: Patch) -> None:
    happened = Record.happened

    def late(self: Record, fact: Fact) -> Future[None]:
        before = self.state
        kept = happened(self, fact)
        if isinstance(fact, ToolReturned) and not kept.done():
            after, self.state = self.state, before
            kept.add_done_callback(lambda _: setattr(self, "state", after))
        return kept

    monkeypatch.setattr(Record, "happened", late)
    assert in_seeds()


def test_a_write_that_runs_again_after_a_crash_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(perform, "may_run_again", lambda _: True)
    assert "took effect 2 times" in in_seeds()


def test_a_fact_that_is_shown_too_early_is_found(monkeypatch: Patch) -> None:
    tell = Feed.tell

    def early(self: Feed, event: AnyEvent, kept: Future[None] | None = None) -> None:
        tell(self, event)

    monkeypatch.setattr(Feed, "tell", early)
    assert "before it was acknowledged" in in_seeds()


def test_a_second_end_is_found(monkeypatch: Patch) -> None:
    happened = Record.happened

    def twice(self: Record, fact: Fact) -> Future[None]:
        if isinstance(fact, RunEnded):
            happened(self, fact)
        return happened(self, fact)

    monkeypatch.setattr(Record, "happened", twice)
    assert "2 RunEnded" in in_seeds()


def test_a_result_that_is_lost_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(RunState, "open_calls", property(lambda _: ()))
    assert "have no result" in in_steps("a write", "cancelled in front")


def test_an_acknowledged_fact_that_is_gone_after_a_crash_is_found(monkeypatch: Patch) -> None:
    taken = Disk.take

    async def forgetful(self: Disk, run_id: str) -> int:
        if len(facts := self._facts.get(run_id, {})) > 1:
            facts.popitem()
        return await taken(self, run_id)

    monkeypatch.setattr(Disk, "take", forgetful)
    assert in_seeds()


def test_without_a_bug_nothing_is_found() -> None:
    assert in_seeds(40) == ""
    assert in_steps("side by side", "cancelled behind") == ""
