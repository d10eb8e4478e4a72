"""Taking over a run whose process died, or that another process holds."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from agentrt.errors import JournalFailed, SettingInvalid
from agentrt.events import Fact, RunEnded, RunStarted
from agentrt.journal.journal import Journal
from agentrt.messages import ToolCall
from agentrt.runs.decisions import Decision, decided
from agentrt.runs.state import RunState, apply, fold

logger = logging.getLogger(__name__)


class Taken(msgspec.Struct, frozen=True):
    """A run that is ours from now on: its epoch, and all that happened before. Nobody else adds to that any more."""

    epoch: int
    started: RunStarted
    facts: Sequence[Fact]
    decisions: tuple[Decision, ...] = ()


async def take_over(journal: Journal, run_id: str, agent: str, decisions: Sequence[Decision] = ()) -> Taken:
    """Become the owner of an unfinished run of the agent with that name, about whose calls these decisions are.

    Raises:
        SettingInvalid: there is no such run, it has ended, it is another agent's, or it does not wait for one of the
            decisions; its owner keeps it.
        JournalFailed: it cannot be read or taken.
    """
    _check(run_id, await journal.read(run_id), agent, decisions)  # first: to take it is to stop whoever carries it
    epoch = await journal.take(run_id)
    facts = await journal.read(run_id)
    started = _check(run_id, facts, agent, ())
    return Taken(epoch, started, facts, _that_fit(fold(facts), decisions))


def _that_fit(state: RunState, decisions: Sequence[Decision]) -> tuple[Decision, ...]:
    """The decisions that nobody was faster to make, in the moment before the run was ours."""
    fit: list[Decision] = []
    for decision in decisions:
        with suppress(SettingInvalid):
            state = apply(state, decided(state, decision))
            fit.append(decision)
    return tuple(fit)


def _check(run_id: str, facts: Sequence[Fact], agent: str, decisions: Sequence[Decision]) -> RunStarted:
    started = facts[0] if facts else None
    if not isinstance(started, RunStarted):
        raise SettingInvalid(f'the journal has no run "{run_id}"')
    if isinstance(ended := facts[-1], RunEnded):
        raise SettingInvalid(f'run "{run_id}" has ended ({ended.outcome}): there is nothing to resume')
    if started.agent != agent:
        raise SettingInvalid(f'run "{run_id}" is of agent "{started.agent}"; the agent given is "{agent}"')
    state = fold(facts) if decisions else RunState()
    for decision in decisions:
        state = apply(state, decided(state, decision))
    return started


class Left(msgspec.Struct, frozen=True):
    """A run without an end: how it began, and the calls it waits for if it rests; none if it was cut off."""

    started: RunStarted
    calls: tuple[ToolCall, ...] = ()


async def left_in(journal: Journal) -> list[Left]:
    """The runs without an end, in the order in which they began. Those that cannot be read are left out."""
    found: list[Left] = []
    for row in await journal.runs(unfinished=True):
        try:
            facts = await journal.read(row.run_id)
        except JournalFailed:
            logger.warning("run %s is unfinished and cannot be read", row.run_id, exc_info=True)
            continue
        # It may have ended just now, or be deleted.
        if facts and isinstance(facts[0], RunStarted) and not isinstance(facts[-1], RunEnded):
            state = fold(facts)
            found.append(Left(facts[0], state.open_calls if state.resting else ()))
    return found
