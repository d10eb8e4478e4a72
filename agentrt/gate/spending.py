"""What a key may spend on retries, so that an outage does not multiply the calls that it meets.

Retries cost points, successes earn them, and there are never more than a full purse: while all is well there is
plenty for the odd failure, and in an outage the purse is soon empty, and what fails fails at once. The
purse is that of the AWS SDKs' standard retry mode, the share Finagle's and Envoy's retry budgets.
"""

from __future__ import annotations

TRANSIENT_COST = 14
THROTTLED_COST = 5

_FULL = 500
_EARNED = 1
_SHARE = 10
"""One in so many active requests may be a retry."""
_ALWAYS = 10
"""So many may be, however few are active: the fault that breaks all the connections of a handful of runs is over in a
moment, and a purse and a breaker are there for the one that is not."""


class RetryBudget:
    """The points of one key; full at first."""

    __slots__ = ("points",)

    def __init__(self) -> None:
        self.points = _FULL

    def may(self, cost: int, *, retrying: int, active: int) -> bool:
        """Whether one more retry of that cost may be made.

        `active` counts the key's requests that are under way, resting before a retry or in flight; `retrying` those
        of them that are retries of transient failures, this one not yet. The share holds for such retries only:
        what was throttled was not served, and leaves as the rate allows.
        """
        if cost > self.points:
            return False
        return cost <= THROTTLED_COST or retrying < max(_ALWAYS, active // _SHARE)

    def spend(self, cost: int) -> None:
        """A retry is made, `may` having said so."""
        self.points -= cost

    def earn(self) -> None:
        """A call succeeded."""
        self.points = min(_FULL, self.points + _EARNED)
