"""Threads for plain functions.

A function in a thread cannot be stopped. What can be promised all the same: it never runs on the
loop; there are never more than `size` at once, counting those nobody waits for any more; and none
keeps the process from ending. The last is why these are daemon threads of our own: the threads of
`concurrent.futures`, and with them `asyncio.to_thread`, are joined at exit.

All bookkeeping is done in the loop's thread, so there is no lock. A call is *waiting* until a slot
is free, then *begun*, and holds its slot until its function has returned. Only a waiting call can
be cancelled.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from agentrt.offloop import daemon

T = TypeVar("T")


class Threads(Protocol):
    """Where plain functions run."""

    def start(self, function: Callable[[], T], /) -> asyncio.Future[T | BaseException]:
        """Run the function with the caller's context variables; what it raises is the future's result.

        Cancelling the future takes the call back if it has not begun, and does nothing otherwise.
        """
        ...

    def close(self) -> None:
        """Begin nothing more, and wait for nothing."""
        ...


class _Call(asyncio.Future[T | BaseException], Generic[T]):
    """One call, waiting or begun."""

    def __init__(self, function: Callable[[], T], taken_back: Callable[[_Call[Any]], None]) -> None:
        super().__init__()
        self._function = function
        self._taken_back = taken_back
        self._variables = contextvars.copy_context()
        self.begun = False

    def cancel(self, msg: Any | None = None) -> bool:
        if self.begun:
            return False
        self._taken_back(self)
        return super().cancel(msg)

    def perform(self) -> T | BaseException:
        try:
            return self._variables.run(self._function)
        except BaseException as error:  # noqa: BLE001 - a user's callable; not even sys.exit() may lose the slot
            return error


class DaemonThreads:
    """At most `size` daemon threads, started when first needed and kept for the next call.

    It belongs to the loop in which it is first used.
    """

    def __init__(self, size: int = 64) -> None:
        self._size = size
        self._begun: int = 0
        self._started: int = 0
        self._closed = False
        self._waiting: dict[_Call[Any], None] = {}  # a queue from which any call can be taken back at once
        self._inbox: queue.SimpleQueue[_Call[Any] | None] = queue.SimpleQueue()

    @property
    def busy(self) -> int:
        """Slots taken by functions that have not returned."""
        return self._begun

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return len(self._waiting)

    def start(self, function: Callable[[], T], /) -> asyncio.Future[T | BaseException]:
        if self._closed:
            raise RuntimeError("these threads are closed: the Runtime that owns them has ended")
        call = _Call(function, self._take_back)
        self._waiting[call] = None
        self._begin_next()
        return call

    def close(self) -> None:
        self._closed = True
        for call in list(self._waiting):
            call.cancel()
        for _ in range(self._started):
            self._inbox.put(None)

    def _take_back(self, call: _Call[Any]) -> None:
        self._waiting.pop(call, None)

    def _begin_next(self) -> None:
        if not self._waiting or self._begun == self._size:
            return
        if self._begun == self._started:
            loop = asyncio.get_running_loop()
            name = f"agentrt-tool-{self._started + 1}"
            daemon(partial(self._serve, loop), name, loop)
            self._started += 1
        call = next(iter(self._waiting))
        del self._waiting[call]
        call.begun = True
        self._begun += 1
        self._inbox.put(call)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """The life of one thread."""
        while (call := self._inbox.get()) is not None:
            result = call.perform()
            try:
                loop.call_soon_threadsafe(self._finish, call, result)
            except RuntimeError:  # the loop has closed: nobody waits any more
                return
            del call, result  # an idle thread keeps nothing alive

    def _finish(self, call: _Call[T], result: T | BaseException) -> None:
        self._begun -= 1
        call.set_result(result)
        self._begin_next()
