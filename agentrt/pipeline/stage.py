"""One stage: some workers between a bounded queue and whatever comes next.

Its queue is what holds back a fast stage before a slow one: `put` waits while the queue is full. The end of the work
travels through the queues behind the last item; the worker that meets it leaves it for its siblings, and when all of
them have met it the next stage is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from agentrt.errors import AgentrtError
from agentrt.pipeline.document import Failed

In_contra = TypeVar("In_contra", contravariant=True)


class Item(Protocol):
    """What passes a stage can be named when it fails."""

    @property
    def url(self) -> str: ...


class Next(Protocol[In_contra]):
    """What a stage hands on to."""

    async def put(self, item: In_contra) -> None: ...
    async def end(self) -> None: ...


class _End:
    """Behind the last item."""


_END: Final = _End()
In = TypeVar("In", bound=Item)
Out = TypeVar("Out")


class StageCounts(msgspec.Struct, frozen=True):
    """Documents at one stage: waiting before it, being worked on, handed on, ended here."""

    name: str
    queued: int
    busy: int
    done: int
    failed: int


class Stage(Generic[In, Out]):
    """`workers` at a time do `work`, `queue_size` documents may wait; `changed` is called whenever a count changes."""

    def __init__(
        self,
        name: str,
        work: Callable[[In], Awaitable[Out]],
        *,
        workers: int,
        queue_size: int,
        changed: Callable[[], None],
    ) -> None:
        self._name = name
        self._work = work
        self._workers = workers
        self._changed = changed
        self._queue: asyncio.Queue[In | _End] = asyncio.Queue(queue_size)
        self._queued = self._busy = self._done = self._failed = 0

    @property
    def counts(self) -> StageCounts:
        return StageCounts(self._name, self._queued, self._busy, self._done, self._failed)

    async def put(self, item: In) -> None:
        """Hand over an item; waits while the queue is full."""
        await self._queue.put(item)
        self._count(queued=1)

    async def end(self) -> None:
        """Say that there will be no more items."""
        await self._queue.put(_END)

    async def run(self, then: Next[Out] | None, fail: Callable[[Failed], None]) -> None:
        """Work until the end has come and every item has been handed on to `then` or has failed."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._serve(then, fail))
        if then is not None:
            await then.end()

    async def _serve(self, then: Next[Out] | None, fail: Callable[[Failed], None]) -> None:
        while not isinstance(item := await self._queue.get(), _End):
            self._count(queued=-1, busy=1)
            try:
                result = await self._work(item)
            except Exception as error:  # noqa: BLE001 - one document's trouble is not the others'
                self._count(busy=-1, failed=1)
                fail(Failed(item.url, self._name, _in_words(error)))
            else:
                self._count(busy=-1, done=1)
                if then is not None:
                    await then.put(result)
        self._queue.put_nowait(_END)

    def _count(self, *, queued: int = 0, busy: int = 0, done: int = 0, failed: int = 0) -> None:
        self._queued += queued
        self._busy += busy
        self._done += done
        self._failed += failed
        self._changed()


def _in_words(error: Exception) -> str:
    # Our own errors are sentences; of others the text alone may say nothing ("0").
    return str(error) if isinstance(error, AgentrtError) else f"{type(error).__name__}: {error}"
