"""One stage of the pipeline: so many documents are worked on at once, the others stand in line before it.

A stage does nothing by itself; a document's own task comes by. Its clock is that of the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

import msgspec


class StageCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How a stage stands.

    Attributes:
        places: How much can be worked on at once: documents or, where the stage works in batches, batches.
        queued: Documents that wait here; in a stage that works in batches also those in a batch.
        busy: Places in use.
        done: Documents that went on from here.
        failed: Documents that ended here because something went wrong.
        retries: Attempts that were made again.
        waited: Seconds that documents have spent queued, in all.
        worked: Seconds that places were in use, in all.
    """

    name: str
    places: int
    queued: int
    busy: int
    done: int
    failed: int
    retries: int
    waited: float
    worked: float


class Left(Exception):
    """A document goes away unserved, for it will come again: neither done nor failed."""


class Stage:
    """Counts who is here. `changed` is called whenever a count changes."""

    def __init__(self, name: str, places: int, changed: Callable[[], None], *, batches: bool = False) -> None:
        self.name = name
        self.places = places
        self.present = 0
        self.in_a_row = 0
        self.retries = 0
        self._changed = changed
        self._batches = batches
        self._free = asyncio.Semaphore(places)
        self._busy = self._done = self._failed = 0
        self._waited = self._worked = 0.0
        self._now = asyncio.get_running_loop().time
        self._at = self._now()

    @property
    def counts(self) -> StageCounts:
        self._pass_time()
        return StageCounts(
            name=self.name,
            places=self.places,
            queued=self._queued,
            busy=self._busy,
            done=self._done,
            failed=self._failed,
            retries=self.retries,
            waited=self._waited,
            worked=self._worked,
        )

    @contextmanager
    def visit(self) -> Generator[None]:
        """A document is here: it goes on at the end of the block, or it has failed if an error leaves the block."""
        self._move(present=1)
        try:
            yield
        except BaseException as error:
            self._failed += isinstance(error, Exception) and not isinstance(error, Left)
            self._move(present=-1)
            raise
        self._done += 1
        self.in_a_row = 0
        self._move(present=-1)

    @asynccontextmanager
    async def place(self) -> AsyncGenerator[None]:
        """One of the places, in the order of asking."""
        async with self._free:
            self.begin()
            try:
                yield
            finally:
                self.finish()

    def begin(self) -> None:
        """A place is taken into use."""
        self._move(busy=1)

    def finish(self) -> None:
        """It is free again."""
        self._move(busy=-1)

    @property
    def _queued(self) -> int:
        return self.present if self._batches else self.present - self._busy

    def _move(self, *, present: int = 0, busy: int = 0) -> None:
        self._pass_time()
        self.present += present
        self._busy += busy
        self._changed()

    def _pass_time(self) -> None:
        now = self._now()
        self._waited += self._queued * (now - self._at)
        self._worked += self._busy * (now - self._at)
        self._at = now
