"""The journal of a process that keeps nothing: lists in memory."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Sequence

from agentrt.errors import JournalFailed
from agentrt.events import Fact, RunEnded, RunStarted
from agentrt.journal.journal import RunRow


class MemoryJournal:
    """Keeps facts as long as it lives; an append is kept at once."""

    def __init__(self) -> None:
        self._facts: dict[str, dict[int, Fact]] = {}  # by seq
        self._epochs: dict[str, int] = {}
        self._threads: dict[str, list[str]] = {}

    def append(self, run_id: str, epoch: int, fact: Fact) -> Future[None]:
        kept: Future[None] = asyncio.get_running_loop().create_future()
        current = self._epochs.get(run_id, 0)
        if epoch != current:
            kept.set_exception(
                JournalFailed(f"run {run_id} belongs to epoch {current}, not {epoch}: it was taken over")
            )
            return kept
        facts = self._facts.setdefault(run_id, {})
        if fact.seq in facts:
            kept.set_exception(JournalFailed(f"fact {fact.seq} of run {run_id} is there already"))
            return kept
        facts[fact.seq] = fact
        if isinstance(fact, RunStarted) and fact.thread is not None:
            self._threads.setdefault(fact.thread, []).append(run_id)
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

    async def aclose(self) -> None:
        pass


def _row(facts: Sequence[Fact]) -> RunRow | None:
    started, last = facts[0], facts[-1]
    if not isinstance(started, RunStarted):
        return None
    ended = last.outcome if isinstance(last, RunEnded) else None
    return RunRow(started.run_id, started.agent, started.thread, started.at, ended)
