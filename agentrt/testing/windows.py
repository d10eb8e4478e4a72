"""What a provider allows, enforced: windows of requests and tokens, and a record of all that came.

Pure: told the time, in seconds of any one clock. Providers count in three ways, and each lets something
else through: a fixed window begins anew at every multiple of its length, so that twice its limit may pass
around that moment; a sliding window counts the last so many seconds at every moment; a bucket refills
evenly and lets its whole content out at once. A request that is larger than a window will ever have room
for passes where the window is empty, and the next one waits until that is paid for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from math import ceil, floor, isfinite
from typing import Literal, Protocol

import msgspec

from agentrt.errors import SettingInvalid

Unit = Literal["requests", "tokens"]
Kind = Literal["fixed", "sliding", "bucket"]

_ROUNDING = 1e-9
"""Part of an amount by which sums of floating-point numbers may be off."""

_TICK = 1e-6
"""Seconds by which a loop may fire a timer early."""


class Window(msgspec.Struct, frozen=True):
    """One limit: so many per so many seconds.

    Attributes:
        limit: How many.
        per: In how many seconds.
        of: Of what.
        kind: How the provider counts.
        burst: What a bucket holds; None is the whole limit. The other kinds have none.

    Raises:
        SettingInvalid: a limit or a length that lets nothing through, or a burst where there is none.
    """

    limit: float
    per: float = 60.0
    of: Unit = "requests"
    kind: Kind = "bucket"
    burst: float | None = None

    def __post_init__(self) -> None:
        for name in ("limit", "per", "burst"):
            value = getattr(self, name)
            if value is not None and not (isfinite(value) and value > 0):
                raise SettingInvalid(f"Window({name}={value!r}): expected a number above 0")
        if self.burst is not None and self.kind != "bucket":
            raise SettingInvalid(f"Window(burst={self.burst:g}, kind={self.kind!r}): only a bucket has a burst")

    @property
    def room(self) -> float:
        """How much may pass at one moment, at most."""
        return self.limit if self.burst is None else self.burst


class Seen(msgspec.Struct, frozen=True):
    """One request as the provider met it.

    Attributes:
        at: When it came.
        tokens: What it was counted for.
        refused: The window that had no room for it; None where it was let through.
        until: When its Retry-After is over; `at` where it was let through, or nothing was said.
    """

    at: float
    tokens: int
    refused: Window | None
    until: float


class Standing(msgspec.Struct, frozen=True):
    """How full one window is: what is left of it now, and in how many seconds all of it will be."""

    window: Window
    left: float
    full_in: float


class Quota:
    """Some windows, all of which a request must fit into, and what has come so far.

    Args:
        windows: At least one.
        grain: Seconds to whose multiple a Retry-After is rounded up; 0 where the provider says none.

    Attributes:
        seen: Every request, in the order of their coming.
    """

    def __init__(self, *windows: Window, grain: float = 0.001) -> None:
        if not windows:
            raise SettingInvalid("Quota(): expected at least one Window")
        self.seen: list[Seen] = []
        self._grain = grain
        self._meters: list[_Meter] = [_METERS[window.kind](window) for window in windows]

    def knock(self, tokens: int, now: float) -> Seen:
        """Let a request through or refuse it: all windows count it, or none does."""
        amounts = [tokens if meter.window.of == "tokens" else 1 for meter in self._meters]
        waits = [meter.wait(amount, now) for meter, amount in zip(self._meters, amounts, strict=True)]
        wait = max(waits)
        if wait > 0:
            refused = self._meters[waits.index(wait)].window
            seen = Seen(now, tokens, refused, now + self._rounded(wait))
        else:
            for meter, amount in zip(self._meters, amounts, strict=True):
                meter.take(amount, now)
            seen = Seen(now, tokens, None, now)
        self.seen.append(seen)
        return seen

    def standings(self, now: float) -> list[Standing]:
        """How full each window is."""
        return [Standing(meter.window, meter.left(now), meter.full_in(now)) for meter in self._meters]

    @property
    def passed(self) -> list[Seen]:
        """What was let through."""
        return [seen for seen in self.seen if seen.refused is None]

    @property
    def refused(self) -> list[Seen]:
        """What was not."""
        return [seen for seen in self.seen if seen.refused is not None]

    def most(self, seconds: float, of: Unit = "requests") -> float:
        """The most that was let through in any stretch of so many seconds, wherever it begins."""
        return most_within(((seen.at, seen.tokens if of == "tokens" else 1) for seen in self.passed), seconds)

    def early(self, grace: float = 0.0) -> list[Seen]:
        """What came before the Retry-After of an earlier refusal was over.

        What was on its way when that was said cannot know of it: it is forgiven for `grace` seconds.
        """
        early: list[Seen] = []
        pauses: deque[Seen] = deque()  # said, and not yet known to everybody
        away_until = float("-inf")
        for seen in self.seen:
            while pauses and pauses[0].at + grace < seen.at:
                away_until = max(away_until, pauses.popleft().until)
            if seen.at < away_until - _TICK:
                early.append(seen)
            if seen.refused is not None:
                pauses.append(seen)
        return early

    def _rounded(self, wait: float) -> float:
        return max(1, ceil(wait / self._grain - _ROUNDING)) * self._grain if self._grain else 0.0


def most_within(amounts: Iterable[tuple[float, float]], seconds: float) -> float:
    """The largest sum of `(at, amount)`, in order of time, over any stretch of so many seconds, its begin excluded."""
    held: deque[tuple[float, float]] = deque()
    total = most = 0.0
    for at, amount in amounts:
        held.append((at, amount))
        total += amount
        while held[0][0] + seconds <= at:
            total -= held.popleft()[1]
        most = max(most, total)
    return most


class _Meter(Protocol):
    """One window being counted; what the three ways have in common."""

    window: Window

    def wait(self, amount: float, now: float) -> float:
        """Seconds until there is room for so much; 0 is now."""
        ...

    def take(self, amount: float, now: float) -> None:
        """Count it, whether or not there is room."""
        ...

    def left(self, now: float) -> float:
        """What there is room for, never below 0."""
        ...

    def full_in(self, now: float) -> float:
        """Seconds until nothing is counted any more."""
        ...


class _Fixed:
    """Counts from each multiple of the window's length to the next."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self._period = 0
        self._used = 0.0

    def wait(self, amount: float, now: float) -> float:
        self._turn(now)
        if self._used <= 0 or self._used + amount <= self.window.limit:
            return 0.0
        periods = 1 if self._used <= self.window.limit else ceil(self._used / self.window.limit) - 1
        return (self._period + periods) * self.window.per - now

    def take(self, amount: float, now: float) -> None:
        self._turn(now)
        self._used += amount

    def left(self, now: float) -> float:
        self._turn(now)
        return max(0.0, self.window.limit - self._used)

    def full_in(self, now: float) -> float:
        self._turn(now)
        return (self._period + ceil(self._used / self.window.limit)) * self.window.per - now if self._used else 0.0

    def _turn(self, now: float) -> None:
        """Begin a new period if it is time; more than a limit was used only by one large request, which is paid off."""
        period = floor(now / self.window.per)
        self._used = max(0.0, self._used - (period - self._period) * self.window.limit)
        self._period = period


class _Sliding:
    """Counts the last `per` seconds at every moment."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self._taken: deque[tuple[float, float]] = deque()
        self._used = 0.0

    def wait(self, amount: float, now: float) -> float:
        self._forget(now)
        used = self._used
        leaving = now
        for until, taken in self._taken:
            if used + amount <= self.window.limit:
                break
            leaving = until
            used -= taken
        return leaving - now

    def take(self, amount: float, now: float) -> None:
        self._forget(now)
        # What is larger than the window stays until it is paid for.
        self._taken.append((now + self.window.per * max(1.0, amount / self.window.limit), amount))
        self._used += amount

    def left(self, now: float) -> float:
        self._forget(now)
        return max(0.0, self.window.limit - self._used)

    def full_in(self, now: float) -> float:
        self._forget(now)
        return max((until for until, _ in self._taken), default=now) - now

    def _forget(self, now: float) -> None:
        while self._taken and self._taken[0][0] <= now:
            self._used -= self._taken.popleft()[1]


class _Bucket:
    """Holds the burst, and gains `limit` every `per` seconds."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self._rate = window.limit / window.per
        self._level = window.room
        self._at = 0.0

    def wait(self, amount: float, now: float) -> float:
        short = min(amount, self.window.room) - self._now(now)
        return short / self._rate if short > _ROUNDING * self.window.room else 0.0

    def take(self, amount: float, now: float) -> None:
        self._level, self._at = self._now(now) - amount, now

    def left(self, now: float) -> float:
        return max(0.0, self._now(now))

    def full_in(self, now: float) -> float:
        return (self.window.room - self._now(now)) / self._rate

    def _now(self, now: float) -> float:
        return min(self.window.room, self._level + (now - self._at) * self._rate)


_METERS: dict[Kind, type[_Fixed] | type[_Sliding] | type[_Bucket]] = {
    "fixed": _Fixed,
    "sliding": _Sliding,
    "bucket": _Bucket,
}
