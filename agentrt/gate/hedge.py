"""Hedging: a second request for one that is slow; the first answer counts (Dean, Barroso, "The Tail at Scale", 2013).

Only for what may be asked twice. The second is made when the first has taken longer than 95 of 100 calls do,
and for one call in twenty at most, so that a provider that has become slow is not asked twice as often.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agentrt.errors import ProviderError

T = TypeVar("T")
Attempt = Callable[[], Awaitable[T]]

_SHARE = 0.05
_MOST_SAVED = 5.0
"""Hedges that may be made at once after a quiet time."""
_FEWEST_KNOWN = 20
_MOST_KNOWN = 200
_RECKONED_EVERY = 10


class Hedging:
    """What is known of how long calls take, and how many hedges are left."""

    __slots__ = ("_left", "_p95", "_seconds", "_since_reckoned", "made")

    def __init__(self) -> None:
        self.made = 0
        self._left = 0.0
        self._seconds: deque[float] = deque(maxlen=_MOST_KNOWN)
        self._since_reckoned = 0
        self._p95: float | None = None

    def begun(self) -> float | None:
        """A call begins that may be hedged: after so many seconds, or None while too little is known."""
        self._left = min(_MOST_SAVED, self._left + _SHARE)
        return self._p95

    def may(self) -> bool:
        """Whether one more is within the share."""
        return self._left >= 1

    def spend(self) -> None:
        """One is made."""
        self._left -= 1
        self.made += 1

    def answered(self, seconds: float) -> None:
        """A call had its answer so long after its attempt began, be it by a hedge."""
        self._seconds.append(seconds)
        self._since_reckoned += 1
        if len(self._seconds) >= _FEWEST_KNOWN and (self._p95 is None or self._since_reckoned >= _RECKONED_EVERY):
            self._since_reckoned = 0
            self._p95 = sorted(self._seconds)[len(self._seconds) * 95 // 100]


async def race(first: Attempt[T], second: Callable[[], Attempt[T] | None], after: float | None) -> T:
    """The first answer of two: after so many seconds `second` is asked for another attempt, and may have none to
    give; None is never.

    The one that lost has been cancelled and has ended when this returns. Where one fails by a `ProviderError`, the
    other's answer counts; where both do, the later error. Any other exception ends both.
    """
    try:
        async with asyncio.TaskGroup() as group:
            done, running = await asyncio.wait({group.create_task(_outcome(first))}, timeout=after)
            if running and (other := second()) is not None:
                running.add(group.create_task(_outcome(other)))
            while running and all(isinstance(task.result(), ProviderError) for task in done):
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in running:
                task.cancel()
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    outcomes = sorted((task.result() for task in done), key=_failed)
    if isinstance(outcomes[0], ProviderError):
        raise outcomes[0]
    return outcomes[0]


async def _outcome(attempt: Attempt[T]) -> T | ProviderError:
    """How an attempt ended, where its failure is the provider's: that does not end the other."""
    try:
        return await attempt()
    except ProviderError as error:
        return error


def _failed(outcome: object) -> bool:
    return isinstance(outcome, ProviderError)
