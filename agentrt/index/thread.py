"""Blocking calls on one thread, one after another.

It is a daemon and no executor: an executor is joined when the process ends, and a call that hangs would hold it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


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
        return self._enqueue(work, cancellable=True)

    def close(self, last: Callable[[], None]) -> asyncio.Future[None]:
        """Do `last` after the calls made so far, whether or not anybody waits for it, then end the thread."""
        self.closed = True
        future = self._enqueue(last, cancellable=False)
        self._errands.put(None)
        return future

    def _enqueue(self, work: Callable[[], T], *, cancellable: bool) -> asyncio.Future[T]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(set_it: Callable[[Any], None], value: object) -> None:
            if not future.done():
                set_it(value)

        def errand() -> None:
            if cancellable and future.cancelled():
                return
            try:
                said: tuple[Callable[[Any], None], object] = (future.set_result, work())
            except BaseException as error:  # noqa: BLE001 - it is raised again where the future is awaited
                said = (future.set_exception, error)
            with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                loop.call_soon_threadsafe(settle, *said)

        self._errands.put(errand)
        if not self._started:
            self._started = True
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
        return future

    def _run(self) -> None:
        while (errand := self._errands.get()) is not None:
            errand()
