"""The journal: facts in the order in which they happened, kept before anybody acts on them."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from typing import Protocol

import msgspec

from agentrt.events import Fact


class RunRow(msgspec.Struct, frozen=True):
    """What a list of runs says of one. `ended` is None while the run lives."""

    run_id: str
    agent: str
    thread: str | None
    started_at: float
    ended: str | None


class Journal(Protocol):
    """Where facts are kept.

    Raises:
        JournalFailed: from the future of `append`, or from a read: the store failed, or the run was
            taken over by a younger epoch.
    """

    def append(self, run_id: str, epoch: int, fact: Fact) -> Future[None]:
        """Enqueue now, in the order of the calls; the future is done once the fact is kept.

        Cancelling who waits for the future does not take the fact back. An implementation raises nothing
        here, never cancels the future, and settles it in the end: a run waits for its last fact.
        """
        ...

    async def read(self, run_id: str, after: int = 0) -> Sequence[Fact]:
        """The facts of a run with `seq` above `after`, in order; none for an unknown run."""
        ...

    async def take(self, run_id: str) -> int:
        """Become the run's only writer: a new epoch, from 1; writers of older epochs fail from now on."""
        ...

    async def runs(self, *, thread: str | None = None, unfinished: bool = False) -> Sequence[RunRow]:
        """Runs in the order in which they started, all of them or one thread's."""
        ...

    async def aclose(self) -> None:
        """Keep what was enqueued, then let go of the store."""
        ...
