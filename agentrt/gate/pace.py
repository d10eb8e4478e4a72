"""Pace: calls of equal cost begin at a rate, first come, first served.

For politeness, where nobody counts tokens, gives anything back or changes the rate meanwhile: a tool of its own
rate, a host that documents come from. What a provider really limits belongs into its gate.

`aiolimiter` counts. Its own line would let whoever comes at the right moment overtake those who wait; here one at
a time stands in it, and the others stand behind, in order.
"""

from __future__ import annotations

import asyncio
from math import isfinite
from typing import Any

Rate = float | tuple[float, float]
"""Calls a second, or (calls, seconds): 5, (30, 60)."""


def as_rate(rate: Rate) -> tuple[float, float]:
    """Calls and seconds.

    Raises:
        ValueError: it is no rate; the text says, as the end of a sentence, what is needed.
    """
    given: tuple[Any, ...] = rate if isinstance(rate, tuple) else (rate, 1.0)
    if len(given) != 2 or not all(_positive(number) for number in given):
        raise ValueError("it needs calls a second, e.g. 5, or (calls, seconds), e.g. (30, 60), all above 0")
    calls, seconds = map(float, given)
    if calls < 1:
        raise ValueError(f"it needs 1 call or more in a period; write (1, {seconds / calls:g})")
    return calls, seconds


class Pace:
    """Lets calls begin at a rate. Lives on one event loop.

    After a pause, the calls of a whole period may begin at once, so that up to twice as many, less one, may fall into
    one period: with (30, 60) up to 59 in the first minute, and 30 a minute from then on. (1, 2) has no such burst:
    one call every 2 s.

    Raises:
        ValueError: it is no rate.
    """

    def __init__(self, rate: Rate) -> None:
        from aiolimiter import AsyncLimiter  # noqa: PLC0415 - slow: 25 ms, to find its own version

        self._limiter = AsyncLimiter(*as_rate(rate))
        self._head = asyncio.Lock()

    def free(self) -> bool:
        """Whether the next call may begin at once."""
        return not self._head.locked() and self._limiter.has_capacity()

    async def wait(self) -> None:
        """Until the caller's turn. Who is cancelled meanwhile has taken nothing."""
        async with self._head:
            await self._limiter.acquire()


def _positive(number: Any) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and isfinite(number) and number > 0
