"""A bucket: how much of a rate is there to take, now.

It refills continuously and is told the time (seconds, of any one clock). It knows no waiters: their
order is the line's, and the gate grants by the clock at the moment of granting. A pacer that promises
future instants would let all of them out at once after the loop was held up.

The level lies between minus infinity and the capacity. It sinks below zero when more is taken than is
there: by a request larger than the capacity, or by a call that used more than it had reserved. Whoever
comes next waits until that debt is paid, so the rate holds over time all the same.
"""

from __future__ import annotations

_RATE_SHARE = 0.99
"""The provider's clock and ours differ; without this margin a full load draws 429s."""
_BURST_MARGIN = 1.0
_STALL = 0.1
"""Seconds for which a loop may be held up between a grant and its request: what the clock adds meanwhile arrives with
the burst. Measured: 500 calls that begin at once hold it for 30 to 50 ms."""


class Bucket:
    """Holds up to `capacity` units and gains `rate` units a second; full at first."""

    __slots__ = ("_at", "_level", "capacity", "rate")

    def __init__(self, rate: float, capacity: float) -> None:
        self.rate = rate
        self.capacity = capacity
        self._level = capacity
        self._at = 0.0

    @classmethod
    def within(cls, limit: float, per: float, burst: float) -> Bucket:
        """A bucket that stays within `limit` units per `per` seconds, plus `burst` seconds of that rate at once.

        It keeps a little below, in both: a hundredth of the rate; of the burst a tenth of a second, one unit at least.
        Where that leaves less than one unit, single units leave evenly.
        """
        return cls(*keeping_below(limit / per, burst))

    def level(self, now: float) -> float:
        """What is there; negative while a debt is open."""
        return min(self.capacity, self._level + max(0.0, now - self._at) * self.rate)

    def wait(self, amount: float, now: float, *, ahead: float = 0.0) -> float:
        """Seconds until `amount` may be taken, `ahead` having been taken by others before it; 0 is now.

        More than the capacity can never be there at once: such an amount waits for a full bucket.
        """
        short = ahead + min(amount, self.capacity) - self.level(now)
        return max(0.0, self._at - now) + short / self.rate if short > 0 else 0.0

    def take(self, amount: float, now: float) -> None:
        """Take, whether or not there is enough; who takes only after `wait` said 0 keeps the limit."""
        self._level = self.level(now) - amount
        self._at = max(self._at, now)

    def give_back(self, amount: float, now: float) -> None:
        """Undo part of a `take`, never above the capacity; a negative amount is taken on top."""
        self.take(-amount, now)

    def restart(self, at: float) -> None:
        """Have one unit at most when a pause ends at `at`: after it, calls leave one by one and not as a burst."""
        self._level = min(self.level(at), 1.0)
        self._at = max(self._at, at)

    def change(self, rate: float, capacity: float, now: float) -> None:
        """Have another rate and capacity from now on: what is there, or owed, stays, as far as it holds that much."""
        self._level = min(self.level(now), capacity)
        self._at = max(self._at, now)
        self.rate = rate
        self.capacity = capacity

    def lower(self, level: float, now: float) -> None:
        """Have no more than `level`: somebody knows better."""
        self.take(max(0.0, self.level(now) - level), now)


def keeping_below(rate: float, burst: float) -> tuple[float, float]:
    """The rate and the capacity of a bucket that stays within `rate` and `burst` seconds of it; see `Bucket.within`."""
    return rate * _RATE_SHARE, max(0.0, rate * burst - max(_BURST_MARGIN, rate * _STALL))
