"""A conversation is a chain of runs: each says in its first fact which one it goes on from.

So a thread can branch, or go back, without a copy: what was said is the fold of the chain, from its last run back to
its first, whichever threads they are of. What a conversation had come to is kept here as long as there is room, so
that its next run reads one run and not all of them. Only ended runs are kept: the others may still say more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import msgspec
from msgspec.structs import replace

from agentrt.errors import SettingInvalid
from agentrt.events import Fact, RunEnded, RunStarted
from agentrt.journal.journal import Journal
from agentrt.messages import AssistantMessage, Message, TextPart, ToolMessage, UserMessage, call_ids
from agentrt.runs.state import RunState, Summary, fold

ROOM = 64 * 1024 * 1024
"""Bytes, roughly, of conversations that are kept in memory."""

_MESSAGE = 200
"""Bytes that a message weighs besides its text."""


@dataclass(frozen=True)
class Fork:
    """Where a run goes on from that does not stand at the end of its thread: behind another run, or just before it."""

    run_id: str
    before: bool = False

    def __str__(self) -> str:
        return f'{"before" if self.before else "after"}="{self.run_id}"'


def as_fork(after: str | None, before: str | None) -> Fork | None:
    """The two options as one; None where neither is given.

    Raises:
        SettingInvalid: both are, or one names nothing.
    """
    if after is not None and before is not None:
        raise SettingInvalid("after= and before= together: a run goes on from one place; give one of them")
    for name, run_id in (("after", after), ("before", before)):
        if run_id == "":
            raise SettingInvalid(f'{name}="": expected the id of a run')
    if after is not None:
        return Fork(after)
    return None if before is None else Fork(before, before=True)


class Said(msgspec.Struct, frozen=True):
    """What a conversation had come to. `settled`: all its runs have ended."""

    messages: tuple[Message, ...] = ()
    summary: Summary | None = None
    settled: bool = True

    @property
    def state(self) -> RunState:
        """What the next run begins in."""
        return RunState(messages=self.messages, summary=self.summary)


class _Known(msgspec.Struct, frozen=True):
    said: Said
    thread: str | None
    weight: int


class Chain:
    """Conversations by their last run. `room` bounds what is kept of them, in bytes, roughly."""

    def __init__(self, journal: Journal, room: int = ROOM) -> None:
        self._journal = journal
        self._room = room
        self._known = OrderedDict[str, _Known]()
        self._weight = 0

    async def upto(self, run_id: str) -> Said:
        """What had been said when this run was over, or until now.

        Raises:
            JournalFailed: a run of the chain cannot be read.
        """
        said, unread = Said(), list[Sequence[Fact]]()
        at: str | None = run_id
        child: RunStarted | None = None
        seen = set[str]()
        while at is not None and at not in seen:
            seen.add(at)
            if at in self._known:
                said = self._known[at].said
                break
            facts = await self._journal.read(at)
            started = facts[0] if facts else None
            if isinstance(started, RunStarted):
                unread.append(facts)
                child, at = started, started.previous
            else:
                at = await self._listed_before(child)
        for facts in reversed(unread):
            state = fold(facts, said.state)
            own = apart(state.transcript[len(said.messages) :], call_ids(said.messages))
            said = Said((*said.messages, *own), state.summary, said.settled and state.ended is not None)
        if unread and said.settled:
            self._keep(run_id, said, unread[0], instead_of=at)
        elif at is not None and at in self._known:
            self._known.move_to_end(at)
        return said

    async def branching(self, fork: Fork, *, ended: bool = True) -> str | None:
        """The run that one goes on from which begins there; None for the beginning of all.

        Args:
            ended: Whether a run that is to be gone on from must have.

        Raises:
            SettingInvalid: there is no such run, or it has not ended.
            JournalFailed: it cannot be read.
        """
        facts = await self._journal.read(fork.run_id)
        if not facts or not isinstance(started := facts[0], RunStarted):
            raise SettingInvalid(f'{fork}: the journal has no run "{fork.run_id}"')
        if fork.before:
            return started.previous
        if ended and not isinstance(facts[-1], RunEnded):
            raise SettingInvalid(f"{fork}: that run has not ended; wait for it, or begin before it")
        return fork.run_id

    def forget(self, run_ids: Iterable[str]) -> None:
        """Keep nothing of what ended with these runs."""
        for run_id in run_ids:
            if (known := self._known.pop(run_id, None)) is not None:
                self._weight -= known.weight

    async def _listed_before(self, child: RunStarted | None) -> str | None:
        """In place of a run that never began, or is gone: the one that stands before `child` in its thread."""
        if child is None or child.thread is None:
            return None
        ids = [row.run_id for row in await self._journal.runs(thread=child.thread)]
        place = ids.index(child.run_id) if child.run_id in ids else 0
        return ids[place - 1] if place else None

    def _keep(self, run_id: str, said: Said, facts: Sequence[Fact], instead_of: str | None) -> None:
        """Keep it, in place of what the same thread had come to before."""
        started = facts[0]
        assert isinstance(started, RunStarted)
        before = None if instead_of is None else self._known.get(instead_of)
        if instead_of is not None and before is not None and before.thread == started.thread:
            self.forget([instead_of])
        self.forget([run_id])
        known = _Known(said, started.thread, sum(map(_weight, said.messages)))
        self._known[run_id] = known
        self._weight += known.weight
        while self._weight > self._room:
            self.forget([next(iter(self._known))])


def apart(messages: Sequence[Message], taken: set[str]) -> tuple[Message, ...]:
    """The messages with other ids for calls whose ids are taken.

    Runs that do not know of each other may name calls alike: one that began while the one before it rested, and that
    one once it goes on. Who comes after both would send two calls of one id, which providers refuse.
    """
    clashing = call_ids(messages) & taken
    if not clashing:
        return tuple(messages)
    known = taken | call_ids(messages)
    names: dict[str, str] = {}
    for given in sorted(clashing):
        names[given] = next(name for name in (f"{given}_{n}" for n in count(2)) if name not in known)
        known.add(names[given])
    return tuple(_renamed(message, names) for message in messages)


def _renamed(message: Message, names: Mapping[str, str]) -> Message:
    match message:
        case AssistantMessage(tool_calls=calls) if calls:
            renamed = tuple(replace(call, id=names.get(call.id, call.id)) for call in calls)
            return replace(message, tool_calls=renamed)
        case ToolMessage():
            return replace(message, call_id=names.get(message.call_id, message.call_id))
        case _:
            return message


def _weight(message: Message) -> int:
    """Bytes, roughly; what two conversations share is counted in each."""
    if isinstance(message, UserMessage) and not isinstance(message.content, str):
        parts = message.content
        return _MESSAGE + sum(len(p.text) if isinstance(p, TextPart) else len(p.data or p.url or "") for p in parts)
    weight = _MESSAGE + len(message.content)
    if isinstance(message, AssistantMessage):
        weight += len(message.extra or "") + sum(_MESSAGE + len(call.arguments) for call in message.tool_calls)
    return weight
