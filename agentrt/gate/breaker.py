"""The breaker: whether a provider is so ill that asking it is useless.

It is in one of three states, and is told the time:

- **closed**: calls go. Their ends are counted over the last 20 s, in slots of one second; when at least ten
  have ended and half of them or more have failed, it opens.
- **open**: nobody goes, for 5 s at first.
- **half open**: one call goes, the probe, and nobody else until its end is known. Two probes that succeed
  close it; one that fails opens it again, for twice as long, up to 60 s. A probe that is cancelled, or whose
  end says nothing about the provider's health, gives its slot back: the next call is the probe then.

What ends while it is open, and is no probe, began before it opened: it says nothing new and does not count,
else the timeouts of an outage would keep it open long after. The same holds for what began before it closed.

The three states are M. Nygard's ("Release It!", 2007); that exactly one call probes is ours.
"""

from __future__ import annotations

from math import inf
from random import Random
from typing import Literal

State = Literal["closed", "open", "half_open"]

_WINDOW = 20
"""Seconds, and slots of one second."""
_FEWEST_CALLS = 10
_FAILED_SHARE = 0.5
_SUCCESSES_TO_CLOSE = 2
_SPREAD = 0.2


class Breaker:
    """Opens when half of the calls fail. `first` and `longest` are the seconds it stays open, +-20 %."""

    __slots__ = (
        "_closed_at", "_ends", "_first", "_longest", "_pause", "_probing", "_random", "_state", "_successes", "_until",
    )  # fmt: skip

    def __init__(self, random: Random, *, first: float = 5.0, longest: float = 60.0) -> None:
        self._random = random
        self._first = first
        self._longest = longest
        self._pause = first
        self._state: State = "closed"
        self._ends = _Ends()
        self._until = -inf
        self._closed_at = -inf
        self._probing = False
        self._successes = 0

    def state(self, now: float) -> State:
        """Where it stands; an open one becomes half open by the clock."""
        return "half_open" if self._state == "open" and now >= self._until else self._state

    def wait(self, now: float) -> float:
        """Seconds until a call may go: 0 is now, infinite while a probe is out, for nobody knows its end."""
        if self._state == "closed":
            return 0.0
        if self._state == "open":
            return max(0.0, self._until - now)
        return inf if self._probing else 0.0

    def let(self, now: float) -> bool:
        """A call goes, `wait` having said 0. True: it is the probe, and its end must be told, whatever it is."""
        if self._state == "closed":
            return False
        if self.state(now) == "open" or self._probing:
            raise RuntimeError("the breaker was told of a call that it would not let through")
        if self._state == "open":
            self._state = "half_open"
            self._successes = 0
        self._probing = True
        return True

    def succeeded(self, now: float, probe: bool, *, began: float = inf) -> None:
        """A call came back and the provider is well. `began` is when it was let through, where that is known."""
        if probe:
            self._probing = False
            self._successes += 1
            if self._successes >= _SUCCESSES_TO_CLOSE:
                self._close(now)
        elif self._counts(began):
            self._ends.add(now, failed=False)

    def failed(self, now: float, probe: bool, *, began: float = inf) -> None:
        """A call failed because the provider is ill; see `succeeded`."""
        if probe:
            self._probing = False
            self._pause = min(self._longest, self._pause * 2)
            self._open(now)
        elif self._counts(began):
            self._ends.add(now, failed=True)
            if self._ends.calls >= _FEWEST_CALLS and self._ends.failures >= _FAILED_SHARE * self._ends.calls:
                self._pause = self._first
                self._open(now)

    def withdrawn(self, probe: bool) -> None:
        """A call was cancelled, or its end says nothing about the provider's health: there is no verdict."""
        if probe:
            self._probing = False

    def _counts(self, began: float) -> bool:
        return self._state == "closed" and began >= self._closed_at

    def _open(self, now: float) -> None:
        self._state = "open"
        self._until = now + self._pause * self._random.uniform(1 - _SPREAD, 1 + _SPREAD)

    def _close(self, now: float) -> None:
        self._state = "closed"
        self._closed_at = now
        self._ends = _Ends()


class _Ends:
    """How the calls of the last 20 s ended, to the second. Adding one is O(1)."""

    __slots__ = ("_at", "_calls", "_failures", "calls", "failures")

    def __init__(self) -> None:
        self._calls = [0] * _WINDOW
        self._failures = [0] * _WINDOW
        self._at: int | None = None
        self.calls = 0
        self.failures = 0

    def add(self, now: float, *, failed: bool) -> None:
        self._forget(int(now // 1))
        slot = int(now // 1) % _WINDOW
        self._calls[slot] += 1
        self._failures[slot] += failed
        self.calls += 1
        self.failures += failed

    def _forget(self, second: int) -> None:
        """Empty the slots that have come round again since the last end."""
        first = second if self._at is None else self._at + 1
        for at in range(max(first, second - _WINDOW + 1), second + 1):
            slot = at % _WINDOW
            self.calls -= self._calls[slot]
            self.failures -= self._failures[slot]
            self._calls[slot] = self._failures[slot] = 0
        self._at = second if self._at is None else max(self._at, second)
