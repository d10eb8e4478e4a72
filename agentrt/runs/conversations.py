"""The threads that have runs here: who waits for whom, and what was said before.

The runs of a thread that live here stand in a row in the order in which they came; each begins when all in front of it
have ended, and knows what they said. A thread may be held, so that none begins while it is deleted.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Generator, Iterable
from contextlib import contextmanager

from agentrt.events import RunStarted
from agentrt.journal.journal import Journal
from agentrt.runs.chain import Chain, Fork
from agentrt.runs.owner import Run
from agentrt.runs.past import Past


class Conversations:
    """The rows of runs that live, by thread. A run without a thread stands in none."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.chain = Chain(journal)
        self._rows: dict[str, list[Run]] = {}
        self._jumped: dict[str, set[str]] = {}  # the runs of a row that began before those in front of them
        self._held: dict[str, Future[None]] = {}

    def past(
        self, thread: str | None, run_id: str, *, fork: Fork | None = None, taken: RunStarted | None = None
    ) -> Past:
        """What a run has to wait for that joins the thread now, and what it then goes on with."""
        past = Past(self._journal, self.chain, thread, run_id, fork=fork, taken=taken)
        if thread is not None:
            past.stand_in_line(self._rows.get(thread, ()), self._jumped.setdefault(thread, set()), self._held)
        return past

    def join(self, thread: str | None, run: Run) -> None:
        """The run stands at the end of the row."""
        if thread is not None:
            self._rows.setdefault(thread, []).append(run)

    def leave(self, thread: str | None, run: Run) -> None:
        """The run is over."""
        if thread is not None:
            self._rows[thread].remove(run)
            if not self._rows[thread]:
                del self._rows[thread], self._jumped[thread]

    def living(self, thread: str) -> Run | None:
        """The first run of the thread that lives here."""
        return self._rows[thread][0] if thread in self._rows else None

    @contextmanager
    def held(self, threads: Iterable[str]) -> Generator[None]:
        """No run of these threads begins inside; one that comes waits until then."""
        until: Future[None] = asyncio.get_running_loop().create_future()
        mine = dict.fromkeys(threads, until)
        self._held |= mine
        try:
            yield
        finally:
            for thread in mine:
                if self._held.get(thread) is until:
                    del self._held[thread]
            until.set_result(None)
