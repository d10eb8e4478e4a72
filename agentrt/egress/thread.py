"""One blocking call in a daemon thread of its own.

Not the loop's default executor: that one is joined when the loop and the process end, so a name server that does
not answer would hold the process for as long as it likes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def aside(call: Callable[[], T]) -> T:
    """What `call` returns or raises. Cancelling lets go of the thread, which ends when its call does."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(set_it: Callable[[Any], None], value: object) -> None:
        if not future.done():
            set_it(value)

    def work() -> None:
        try:
            said: tuple[Callable[[Any], None], object] = (future.set_result, call())
        except BaseException as error:  # noqa: BLE001 - it is raised again where `aside` is awaited
            said = (future.set_exception, error)
        with suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            loop.call_soon_threadsafe(settle, *said)

    threading.Thread(target=work, name="agentrt-aside", daemon=True).start()
    return await future
