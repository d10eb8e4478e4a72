"""The journal: facts in the order in which they happened, kept before anybody acts on them."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Collection, Sequence
from enum import Enum
from typing import Final, Literal, Protocol

import msgspec

from agentrt.events import Fact, RunStarted
from agentrt.messages import text_of

_EXCERPT = 200
"""Characters of what a run was asked that lists show."""


class Principals(Enum):
    """In place of one principal: all of them, and nobody too."""

    ALL = "all"


ALL: Final = Principals.ALL

AnyPrincipal = str | None | Literal[Principals.ALL]


class RunRow(msgspec.Struct, frozen=True):
    """What a list of runs says of one.

    `ended` is its outcome, None while it has none. `previous` is the run that its conversation goes on from, `asked`
    the beginning of what it was asked.
    """

    run_id: str
    agent: str
    thread: str | None
    started_at: float
    ended: str | None
    previous: str | None = None
    principal: str | None = None
    asked: str = ""


class ThreadRow(msgspec.Struct, frozen=True):
    """What a list of threads says of one.

    `started_at` and `last_at` are when its first and its last run started; `last` is the latter's id. `principal` and
    `asked` are the first run's. `unfinished` counts runs without an end.
    """

    thread: str
    runs: int
    unfinished: int
    started_at: float
    last_at: float
    last: str
    principal: str | None
    asked: str


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

    async def last(self, thread: str) -> str | None:
        """The run of the thread that started last; None for an unknown thread."""
        ...

    async def threads(self, *, principal: AnyPrincipal = ALL, limit: int | None = None) -> Sequence[ThreadRow]:
        """Threads, those whose last run is the newest first; all of them, or those that one principal began."""
        ...

    async def delete(self, run_ids: Collection[str]) -> None:
        """Forget these runs, all or none: their facts, and that there were any. Unknown ones are forgotten already.

        Who still carries one of them is told by its next append, as if the run had been taken over.

        Raises:
            SettingInvalid: a run that is to stay goes on from one of them.
        """
        ...

    async def aclose(self) -> None:
        """Keep what was enqueued, then let go of the store."""
        ...


def excerpt(started: RunStarted) -> str:
    """The beginning of what a run was asked."""
    return text_of(started.messages[-1])[:_EXCERPT] if started.messages else ""


def not_the_writer(run_id: str, epoch: int, current: int) -> str:
    """Why a fact of an older epoch is not kept. `current` is 0 for a run that nobody has taken, or not since."""
    if current == 0:
        return f"run {run_id} was not taken, or was deleted since"
    return f"run {run_id} belongs to epoch {current}, not {epoch}: it was taken over"


def needed_by(follower: str, thread: str | None, run_id: str) -> str:
    """Why a run cannot be deleted."""
    of = "without a thread" if thread is None else f'of thread "{thread}"'
    return f'run "{run_id}" cannot be deleted: run "{follower}" {of} goes on from it; delete both at once'
