"""The journal of a process that keeps nothing on disk: facts in memory.

A process may run for months, so it forgets: of the runs that have ended, belong to no thread, and are gone on from by
no other run, only the newest stay. Threads stay until they are deleted.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections import Counter
from collections.abc import Collection, Sequence

from agentrt.errors import JournalFailed, SettingInvalid
from agentrt.events import Fact, RunEnded, RunStarted
from agentrt.journal.journal import ALL, AnyPrincipal, RunRow, ThreadRow, excerpt, needed_by, not_the_writer


class MemoryJournal:
    """Keeps facts as long as it lives; an append is kept at once.

    Args:
        loose: How many runs are remembered that have ended and that no thread and no other run needs.
    """

    def __init__(self, loose: int = 1_000) -> None:
        self._room = loose
        self._facts: dict[str, dict[int, Fact]] = {}  # by seq
        self._epochs: dict[str, int] = {}
        self._threads: dict[str, list[str]] = {}
        self._followers = Counter[str]()  # how many runs go on from one
        self._loose: dict[str, None] = {}  # the oldest first

    def append(self, run_id: str, epoch: int, fact: Fact) -> Future[None]:
        kept: Future[None] = asyncio.get_running_loop().create_future()
        current = self._epochs.get(run_id, 0)
        if epoch != current:
            kept.set_exception(JournalFailed(not_the_writer(run_id, epoch, current)))
            return kept
        facts = self._facts.setdefault(run_id, {})
        if fact.seq in facts:
            kept.set_exception(JournalFailed(f"fact {fact.seq} of run {run_id} is there already"))
            return kept
        facts[fact.seq] = fact
        if isinstance(fact, RunStarted):
            self._list(run_id, fact)
        elif isinstance(fact, RunEnded):
            self._let_go(run_id)
        kept.set_result(None)
        return kept

    async def read(self, run_id: str, after: int = 0) -> Sequence[Fact]:
        return [fact for fact in self._facts.get(run_id, {}).values() if fact.seq > after]

    async def take(self, run_id: str) -> int:
        self._epochs[run_id] = self._epochs.get(run_id, 0) + 1
        return self._epochs[run_id]

    async def runs(self, *, thread: str | None = None, unfinished: bool = False) -> Sequence[RunRow]:
        ids = self._facts if thread is None else self._threads.get(thread, ())
        rows = [_row(tuple(self._facts[run_id].values())) for run_id in ids]
        return [row for row in rows if row is not None and not (unfinished and row.ended)]

    async def last(self, thread: str) -> str | None:
        return self._threads[thread][-1] if thread in self._threads else None

    async def threads(self, *, principal: AnyPrincipal = ALL, limit: int | None = None) -> Sequence[ThreadRow]:
        rows = [_thread(await self.runs(thread=thread)) for thread in self._threads]
        rows = [row for row in rows if principal is ALL or row.principal == principal]
        place = {run_id: place for place, run_id in enumerate(self._facts)}
        return sorted(rows, key=lambda row: place[row.last], reverse=True)[:limit]

    async def delete(self, run_ids: Collection[str]) -> None:
        going = set(run_ids)
        for run_id, facts in self._facts.items():
            started = next(iter(facts.values()))
            if isinstance(started, RunStarted) and started.previous in going and run_id not in going:
                raise SettingInvalid(needed_by(run_id, started.thread, started.previous))
        for run_id in going:
            self._forget(run_id)

    async def aclose(self) -> None:
        pass

    def _list(self, run_id: str, started: RunStarted) -> None:
        if started.thread is not None:
            self._threads.setdefault(started.thread, []).append(run_id)
        if started.previous is not None:
            self._followers[started.previous] += 1
            self._loose.pop(started.previous, None)

    def _let_go(self, run_id: str) -> None:
        """The run has ended, or is not gone on from any more: forget it in its turn, unless somebody needs it."""
        facts = tuple(self._facts.get(run_id, {}).values())
        row = _row(facts) if facts else None
        if row is None or row.ended is None or row.thread is not None or self._followers[run_id]:
            return
        self._loose[run_id] = None
        while len(self._loose) > self._room:
            self._forget(next(iter(self._loose)))

    def _forget(self, run_id: str) -> None:
        self._loose.pop(run_id, None)
        self._epochs.pop(run_id, None)
        facts = self._facts.pop(run_id, {})
        started = next(iter(facts.values()), None)
        if not isinstance(started, RunStarted):
            return
        if started.thread is not None:
            self._threads[started.thread].remove(run_id)
            if not self._threads[started.thread]:
                del self._threads[started.thread]
        if started.previous is not None:
            self._followers[started.previous] -= 1
            if not self._followers[started.previous]:
                del self._followers[started.previous]
                self._let_go(started.previous)


def _row(facts: Sequence[Fact]) -> RunRow | None:
    started, last = facts[0], facts[-1]
    if not isinstance(started, RunStarted):
        return None
    ended = last.outcome if isinstance(last, RunEnded) else None
    return RunRow(
        started.run_id,
        started.agent,
        started.thread,
        started.at,
        ended,
        started.previous,
        started.principal,
        excerpt(started),
    )


def _thread(runs: Sequence[RunRow]) -> ThreadRow:
    first, last = runs[0], runs[-1]
    assert first.thread is not None
    unfinished = sum(run.ended is None for run in runs)
    return ThreadRow(
        first.thread,
        len(runs),
        unfinished,
        first.started_at,
        last.started_at,
        last.run_id,
        first.principal,
        first.asked,
    )
