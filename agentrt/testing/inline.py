"""Plain functions on the virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class InlineThreads:
    """Runs plain functions where they are called, for `Runtime(threads=InlineThreads())` on a virtual clock.

    A virtual loop cannot wait for a thread. A function takes no virtual time then, and cannot time out.
    """

    def start(self, function: Callable[[], T], /) -> asyncio.Future[T | BaseException]:
        """See `Threads`: what the function raises is the future's result."""
        done: asyncio.Future[T | BaseException] = asyncio.get_running_loop().create_future()
        try:
            done.set_result(function())
        except BaseException as error:  # noqa: BLE001 - a user's callable, as in a thread
            done.set_result(error)
        return done

    def close(self) -> None:
        """Nothing is held."""
