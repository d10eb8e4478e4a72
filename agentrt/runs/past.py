"""What stands before a run: those it has to wait for, and the conversation it goes on with."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Mapping, Sequence
from typing import Protocol

from agentrt.events import RunStarted
from agentrt.journal.journal import Journal
from agentrt.runs.chain import Chain, Fork, Said
from agentrt.runs.state import RunState


class Ahead(Protocol):
    """A run that stands in front in the same thread. Its `head` is 0 before its first fact is kept."""

    run_id: str

    @property
    def head(self) -> int: ...
    async def wait(self) -> None: ...


class Past:
    """Of one run. Who gets to its turn asks for the `history`, who leaves the line before for the `previous` only.

    Args:
        thread: None for a run of no thread.
        fork: Where the run goes on from, if not at the end of its thread.
        taken: How the run began, if it did so before.
    """

    def __init__(
        self,
        journal: Journal,
        chain: Chain,
        thread: str | None,
        run_id: str,
        *,
        fork: Fork | None = None,
        taken: RunStarted | None = None,
    ) -> None:
        self._journal = journal
        self._chain = chain
        self._thread = thread
        self._run_id = run_id
        self._fork = fork
        self._taken = taken
        self._ahead: tuple[Ahead, ...] = ()
        self._jumped = self._before_us = set[str]()
        self._held: Mapping[str, Future[None]] = {}

    def stand_in_line(self, ahead: Sequence[Ahead], jumped: set[str], held: Mapping[str, Future[None]]) -> None:
        """Take a place in the thread.

        Args:
            ahead: Runs that live here and joined the thread before.
            jumped: Those of the thread's runs here that began before it was their turn; `previous` adds this one.
            held: Threads in which no run may begin right now, and until when.
        """
        self._ahead, self._jumped, self._held = tuple(ahead), jumped, held
        self._before_us = {*jumped, *(one.run_id for one in ahead)}

    async def history(self) -> tuple[str | None, RunState]:
        """Wait for the runs ahead; the run before, and the state this one begins in.

        Raises:
            SettingInvalid: it is to go on from a run that does not exist, or has not ended.
            JournalFailed: a run of the conversation cannot be read.
        """
        for one in self._ahead:
            await one.wait()
        while self._thread is not None and (until := self._held.get(self._thread)) is not None:
            await asyncio.shield(until)
        previous = await self._before()
        said = Said() if previous is None else await self._chain.upto(previous)
        self._ahead = ()  # or each run would keep all before it alive
        return previous, said.state

    async def previous(self) -> str | None:
        """The run before, as far as one can know without waiting for the runs ahead.

        Raises:
            SettingInvalid: it is to go on from a run that does not exist.
            JournalFailed: the journal cannot be read.
        """
        self._jumped.add(self._run_id)
        if self._fork is not None:
            return await self._chain.branching(self._fork, ended=False)
        for one in reversed(self._ahead):
            if one.head:  # one that has not begun may never do so, and must not be named
                return one.run_id
        return None if self._thread is None else await self._last(self._thread)

    async def _before(self) -> str | None:
        """The run before, now that those ahead are over."""
        if self._taken is not None:
            return self._taken.previous
        if self._fork is not None:
            return await self._chain.branching(self._fork)
        return None if self._thread is None else await self._last(self._thread)

    async def _last(self, thread: str) -> str | None:
        """The run of the thread that started last, save those that stand behind this one and started all the same."""
        last = await self._journal.last(thread)
        behind = self._jumped - self._before_us
        if last not in behind:
            return last
        rows = await self._journal.runs(thread=thread)
        return next((row.run_id for row in reversed(rows) if row.run_id not in behind), None)
