"""Many calls at once, so many in flight at most: the first thing one reaches for against 429s."""

from __future__ import annotations

import asyncio

from openai import AsyncOpenAI

from bench.reference.openai_retries import Retries


class Semaphore:
    """The openai package with its own retries, behind a semaphore."""

    def __init__(self, client: AsyncOpenAI, at_once: int) -> None:
        self._calls = Retries(client)
        self._semaphore = asyncio.Semaphore(at_once)

    async def ask(self, tokens: int) -> str:
        """One call that may use so many tokens."""
        async with self._semaphore:
            return await self._calls.ask(tokens)
