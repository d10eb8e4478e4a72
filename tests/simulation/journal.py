"""A journal whose process may die at any append.

What is kept is one `MemoryJournal` for all lives of the process. Each life writes to it through a `Desk` of its own,
which acknowledges late, loses a fact if it is told to, and at the append it is told dies: some of what stood in line is
kept then, as of a commit that nobody was told of, nothing more is ever acknowledged, and all that comes later fails.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable, Collection, Sequence
from random import Random

from agentrt.errors import JournalFailed
from agentrt.events import Fact
from agentrt.journal.journal import ALL, AnyPrincipal, RunRow, ThreadRow
from agentrt.journal.memory import MemoryJournal


class Disk(MemoryJournal):
    """What outlives the process, and what it said of it: `acknowledged` facts, by run."""

    def __init__(self) -> None:
        super().__init__(loose=100_000)  # it forgets nothing
        self.acknowledged: dict[str, list[Fact]] = {}
        self.appends = 0

    def begin(self) -> None:
        """A process begins: whatever is kept it may know from now on."""
        self.acknowledged = {run_id: list(facts.values()) for run_id, facts in self._facts.items()}


class Desk:
    """One life's way to the disk.

    Args:
        delay: Seconds from an append to its acknowledgement; with 0 it is acknowledged at once.
        dies_at: The append, counted from 1, at which the process dies.
        loses: The append that fails, and with it all later ones of that run.
        on_death: Called in the moment of the death.
    """

    def __init__(
        self,
        disk: Disk,
        random: Random,
        *,
        delay: float = 0.0,
        dies_at: int | None = None,
        loses: int | None = None,
        on_death: Callable[[], object] = lambda: None,
    ) -> None:
        self.disk = disk
        self.dead = False
        self._random = random
        self._delay = delay
        self._dies_at = dies_at
        self._loses = loses
        self._on_death = on_death
        self._appends = 0
        self._lost: set[str] = set()
        self._line: list[tuple[str, int, Fact, Future[None]]] = []

    def append(self, run_id: str, epoch: int, fact: Fact) -> Future[None]:
        kept: Future[None] = asyncio.get_running_loop().create_future()
        if self.dead:
            kept.set_exception(JournalFailed("the process is dead"))
            return kept
        self._appends += 1
        self.disk.appends += 1
        if self._appends == self._loses or run_id in self._lost:
            self._lost.add(run_id)
            kept.set_exception(JournalFailed("disk full"))
            return kept
        self._line.append((run_id, epoch, fact, kept))
        if self._appends == self._dies_at:
            self.die()
        elif not self._delay:
            self._commit()
        elif len(self._line) == 1:
            asyncio.get_running_loop().call_later(self._delay, self._commit)
        return kept

    def die(self) -> None:
        """The process ends here. Whoever still runs learns only that nothing is kept any more."""
        if self.dead:
            return
        self.dead = True
        line, self._line = self._line, []
        committed = self._random.randint(0, len(line))
        for run_id, epoch, fact, _ in line[:committed]:
            self.disk.append(run_id, epoch, fact).exception()
        for *_, kept in line:
            if not kept.done():
                kept.set_exception(JournalFailed("the process is dead"))
                kept.exception()  # maybe nobody asks
        self._on_death()

    def _commit(self) -> None:
        """All that stands in line is one group, acknowledged in the order in which it came."""
        line, self._line = self._line, []
        for run_id, epoch, fact, kept in line:
            error = self.disk.append(run_id, epoch, fact).exception()
            if error is None:
                self.disk.acknowledged.setdefault(run_id, []).append(fact)
            if kept.done():
                continue
            if error is None:
                kept.set_result(None)
            else:
                kept.set_exception(error)

    async def _turn(self) -> None:
        """Stand in line behind what was appended."""
        await asyncio.sleep(self._delay)
        if self.dead:
            raise JournalFailed("the process is dead")
        self._commit()

    async def read(self, run_id: str, after: int = 0) -> Sequence[Fact]:
        await self._turn()
        return await self.disk.read(run_id, after)

    async def take(self, run_id: str) -> int:
        await self._turn()
        return await self.disk.take(run_id)

    async def runs(self, *, thread: str | None = None, unfinished: bool = False) -> Sequence[RunRow]:
        await self._turn()
        return await self.disk.runs(thread=thread, unfinished=unfinished)

    async def last(self, thread: str) -> str | None:
        await self._turn()
        return await self.disk.last(thread)

    async def threads(self, *, principal: AnyPrincipal = ALL, limit: int | None = None) -> Sequence[ThreadRow]:
        await self._turn()
        return await self.disk.threads(principal=principal, limit=limit)

    async def delete(self, run_ids: Collection[str]) -> None:
        await self._turn()
        await self.disk.delete(run_ids)

    async def aclose(self) -> None:
        if not self.dead:
            self._commit()
