"""Room for so many bytes: who wants some stands in line until there is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class Room:
    """First come, first served. What is larger than the whole gets in when it is alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, amount: int) -> None:
        """Wait until there is room for `amount` bytes, and have it."""
        async with self._turn:
            while self._used and self._used + amount > self._size:
                self._freed.clear()
                await self._freed.wait()
            self._used += amount

    def give(self, amount: int) -> None:
        """Give back what was taken."""
        self._used -= amount
        self._freed.set()

    @asynccontextmanager
    async def held(self, amount: int) -> AsyncGenerator[None]:
        """Wait until there is room for `amount` bytes, and have it to the end of the block."""
        await self.take(amount)
        try:
            yield
        finally:
            self.give(amount)
