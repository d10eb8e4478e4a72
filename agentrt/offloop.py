"""Blocking calls, off the loop: one in a thread of its own, or many on one thread, one after another.

The threads are daemons of ours and no executor's: executors are joined when the loop and the process end,
so that a call that hangs - a name server, a disk - would hold the process for as long as it likes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def daemon(target: Callable[[], None], name: str, loop: asyncio.AbstractEventLoop) -> None:
    """Start a daemon thread that will report to `loop`.

    Raises:
        RuntimeError: the loop's clock is virtual; it would run away from the thread.
    """
    if getattr(loop, "virtual", False):
        raise RuntimeError(f"a virtual clock cannot wait for the thread {name!r}; run it inline or on a real loop")
    threading.Thread(target=target, name=name, daemon=True).start()


async def aside(call: Callable[[], T]) -> T:
    """What `call` returns or raises. Cancelling lets go of the thread, which ends when its call does."""
    errand = _Errand(call)
    daemon(errand, "agentrt-aside", asyncio.get_running_loop())
    return await errand.future


class OneThread:
    """The thread starts with the first call and ends with `close`; calls run in the order in which they were made."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._errands: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._started = False
        self.closed = False

    def call(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Enqueue now; the future has what `work` returns or raises. Cancelling it keeps work from beginning."""
        if self.closed:
            raise RuntimeError(f"{self._name} is closed")
        errand = _Errand(work)
        self._enqueue(lambda: None if errand.future.cancelled() else errand())
        return errand.future

    def close(self, last: Callable[[], None]) -> asyncio.Future[None]:
        """Do `last` after the calls made so far, whether or not anybody waits for it, then end the thread."""
        self.closed = True
        errand = _Errand(last)
        self._enqueue(errand)
        self._errands.put(None)
        return errand.future

    def _enqueue(self, errand: Callable[[], None]) -> None:
        if not self._started:
            daemon(self._run, self._name, asyncio.get_running_loop())
            self._started = True
        self._errands.put(errand)

    def _run(self) -> None:
        while (errand := self._errands.get()) is not None:
            errand()


class _Errand(Generic[T]):
    """One call that a thread makes, and the future that tells the loop what came of it."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self._loop.create_future()

    def __call__(self) -> None:
        try:
            said: tuple[Callable[[Any], None], object] = (self.future.set_result, self._work())
        except BaseException as error:  # noqa: BLE001 - it is raised again where the future is awaited
            said = (self.future.set_exception, error)
        with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._settle, *said)

    def _settle(self, set_it: Callable[[Any], None], value: object) -> None:
        if not self.future.done():
            set_it(value)
