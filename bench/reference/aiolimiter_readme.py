"""Many calls at once, paced by `aiolimiter` as its README shows it: one limiter, `async with` around the call."""

from __future__ import annotations

from aiolimiter import AsyncLimiter
from openai import AsyncOpenAI

from bench.reference.openai_retries import Retries


class Limiter:
    """The openai package with its own retries, behind a limiter of requests or of tokens, so many `per` seconds."""

    def __init__(self, client: AsyncOpenAI, *, requests: float | None, tokens: float | None, per: float) -> None:
        self._calls = Retries(client)
        self._requests = None if requests is None else AsyncLimiter(requests, per)
        self._tokens = None if tokens is None else AsyncLimiter(tokens, per)

    async def ask(self, tokens: int) -> str:
        """One call that may use so many tokens."""
        if self._requests is not None:
            async with self._requests:
                return await self._calls.ask(tokens)
        if self._tokens is not None:
            await self._tokens.acquire(tokens)
        return await self._calls.ask(tokens)
