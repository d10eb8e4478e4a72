"""The record of one run: state, journal and feed, moved together.

`happened` stamps, folds and enqueues without awaiting, so nothing can come between; only then does
anybody wait for the journal. A waiter that is cancelled takes nothing back.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from agentrt.errors import AgentrtError, JournalFailed
from agentrt.events import Fact, Passing
from agentrt.journal.journal import Journal
from agentrt.runs.feed import Feed
from agentrt.runs.state import RunState, apply, fold


class Record:
    """Only the run's owner, and the carrier it started, write here."""

    def __init__(self, run_id: str, journal: Journal, now: Callable[[], float], failed: Callable[[], None]) -> None:
        self.feed = Feed()
        self.state = RunState(run_id=run_id)
        self.epoch = 0
        self.failure: AgentrtError | None = None
        self._run_id = run_id
        self._journal = journal
        self._now = now
        self._failed = failed
        self._seq = 0
        self._last: Future[None] | None = None

    @property
    def deadline(self) -> float:
        """When the run must be over, on the loop's clock. Waiting for people puts it off."""
        return self.state.ends_at - self._now() + asyncio.get_running_loop().time()

    def go_on(self, epoch: int, facts: Sequence[Fact]) -> None:
        """Begin where the facts of older epochs end."""
        self.epoch = epoch
        self.state = fold(facts)
        self._seq = facts[-1].seq
        for fact in facts:
            self.feed.tell(fact)

    def tell(self, event: Passing) -> None:
        """Show a passing event."""
        self._seq += 1
        self.feed.tell(replace(event, epoch=self.epoch, seq=self._seq, at=self._now()))

    def happened(self, fact: Fact) -> Future[None]:
        """Let a fact happen; the future is done once the journal has kept it."""
        if self.failure is not None:
            raise self.failure
        self._seq += 1
        fact = replace(fact, epoch=self.epoch, seq=self._seq, at=self._now())
        self.state = apply(self.state, fact)
        kept = self._last = self._journal.append(self._run_id, self.epoch, fact)
        self.feed.tell(fact, kept)
        if kept.done():
            self._judge(kept)
        else:
            kept.add_done_callback(self._judge)
        return kept

    def fail(self, error: BaseException) -> None:
        """Nothing more can be kept."""
        if self.failure is None:
            told = f"{type(error).__name__}: {error}"
            self.failure = error if isinstance(error, AgentrtError) else JournalFailed(told)
            self._failed()

    def _judge(self, kept: Future[None]) -> None:
        error = asyncio.CancelledError("the journal let go of a fact") if kept.cancelled() else kept.exception()
        if error is not None:
            self.fail(error)

    async def keep(self, fact: Fact) -> None:
        """Let a fact happen and wait until it is kept.

        Raises:
            JournalFailed: it could not be; nothing may be done upon it.
        """
        await self.acknowledged(self.happened(fact))

    async def settled(self) -> None:
        """Wait until all that happened is kept; raises as `keep` does."""
        if self._last is not None:
            await self.acknowledged(self._last)

    async def acknowledged(self, kept: Future[None]) -> None:
        """Wait until a fact that happened is kept; raises as `keep` does."""
        if not kept.done():
            await asyncio.shield(kept)
        if self.failure is not None:
            raise self.failure
