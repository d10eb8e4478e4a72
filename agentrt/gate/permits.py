"""How many calls may be in flight: fewer after a throttled answer that names no time, then slowly more.

Additive increase, multiplicative decrease, as in TCP (Chiu and Jain, 1989). All the calls that were out when
it shrank may come back throttled; they tell of the same moment, and one moment is one reason to shrink.
"""

from __future__ import annotations

_DECREASE = 0.7


class Permits:
    """Permits for calls in flight, `limit` at most."""

    __slots__ = ("_successes", "_told", "allowed", "in_flight", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.allowed = limit
        self.in_flight = 0
        self._successes = 0
        self._told = 0  # calls still out of those that were out when it shrank

    @property
    def free(self) -> int:
        """How many more may go now; 0 as well while more are out than are allowed since it shrank."""
        return max(0, self.allowed - self.in_flight)

    def take(self) -> None:
        """A call goes."""
        self.in_flight += 1

    def give_back(self) -> None:
        """A call is over, however it ended."""
        self.in_flight -= 1
        self._told = max(0, self._told - 1)

    def throttled(self) -> None:
        """A call that still holds its permit was told that we are too fast, and not for how long."""
        if self._told:
            return
        self._told = self.in_flight
        self._successes = 0
        self.allowed = max(1, int(self.allowed * _DECREASE))

    def succeeded(self) -> None:
        """A call succeeded: after as many successes as are allowed at once, one more is."""
        if self.allowed >= self.limit:
            return
        self._successes += 1
        if self._successes >= self.allowed:
            self._successes = 0
            self.allowed += 1
