"""One limit group of a key: its requests and its tokens, as configured and as the provider tells.

The provider's headers are believed as far as that cannot hurt:

- **A lower limit** holds at once. A higher one is approached by at most 10 % a minute and never above what is
  configured. A limit of less than a hundredth of the configured one counts as a hundredth: it would stop the key,
  and if it is true, the provider's 429s will say so. Five minutes after the provider fell silent, what it told wears
  off at the same pace.
- **Where nothing is configured**, a limit that is told makes a bucket as the provider has it: it holds a whole
  window's worth, for who configured no burst asked for none to be kept back. It goes when nothing has been told
  for five minutes.
- **What remains** never raises a level: the provider has not yet seen all that is on its way. It lowers
  ours to what remained plus what has come in since the call that carried it was sent. A call's answer
  tells of a moment between its sending and now; answers may come out of order, and the older one is, the more has
  come in since, so the weaker it speaks. The calls in flight are not taken off, for most of them it has counted
  already.
- **Nothing remains, until then**: nobody goes until then, though no longer than one window, for then there is a
  new one. A provider that refills continuously means another thing by its reset: the moment when everything is
  back. That moment lies just so far away as the rate needs to refill what is used; then the rate is all there is to
  keep.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import inf

from agentrt.gate.bucket import Bucket, keeping_below
from agentrt.gate.headers import Allowance
from agentrt.gate.limits import Limits

_RAISE = 0.1
"""Part of the limit by which it may rise in a minute."""
_RAISE_SPAN = 60.0
_STEP = 1.0
"""Seconds between two rises of a limit that nobody tells of any more. Where it rose at every look, a call that waits
for a full bucket would find it a little larger each time, and never full."""
_LEAST_SHARE = 0.01
_SILENCE = 300.0
"""Seconds after which a limit that only headers told is forgotten."""
_LONGEST_WINDOW = 86_400.0
"""Seconds; for longer than a day nobody is held, whatever is told."""
_LARGEST = 1e12
"""Units a window; what is more is no limit."""
_UNKNOWN_AGE = 5.0
_WHOLE = 0.9
"""A reset this near to refilling all that is used is a bucket's, and no window's end."""

_EXPECTED_OUTPUT = 500
_FEWEST_OUTPUTS = 20
_MOST_OUTPUTS = 200
_RECKONED_EVERY = 10


class Group:
    """The buckets of one limit group. `windows`: seconds that headers refer to, for "requests" and "tokens"."""

    def __init__(self, limits: Limits, windows: Mapping[str, float] | None = None) -> None:
        windows = windows or {}
        self._requests = _Side(limits.requests, limits, windows.get("requests", limits.per))
        self._tokens = _Side(limits.tokens, limits, windows.get("tokens", limits.per))
        self._outputs: deque[int] = deque(maxlen=_MOST_OUTPUTS)
        self._since_reckoned = 0
        self._p90 = _EXPECTED_OUTPUT

    def waits(self, tokens: float, now: float, ahead: tuple[float, float] = (0, 0)) -> tuple[float, float]:
        """Seconds until one request may be taken, and `tokens`; (requests, tokens) `ahead` go before it."""
        return self._requests.wait(1, now, ahead[0]), self._tokens.wait(tokens, now, ahead[1])

    def take(self, tokens: float, now: float) -> None:
        """One request goes with so many tokens, both waits having been 0."""
        self._requests.take(1, now)
        self._tokens.take(tokens, now)

    def give_back(self, requests: float, tokens: float, now: float) -> None:
        """Undo part of a `take`; negative tokens are taken on top."""
        self._requests.take(-requests, now)
        self._tokens.take(-tokens, now)

    def learn(self, allowances: Mapping[str, Allowance], now: float, began: float | None = None) -> None:
        """Heed what an answer's headers said; its call was let through at `began`, None where that is not known."""
        age = _UNKNOWN_AGE if began is None else max(0.0, now - began)
        for kind, side in (("requests", self._requests), ("tokens", self._tokens)):
            if (told := allowances.get(kind)) is not None:
                side.learn(told, now, age)

    def restart(self, at: float) -> None:
        """A pause ends at `at`: after it, calls leave one by one, and not as a burst."""
        bucket = self._requests.bucket or self._tokens.bucket
        if bucket is not None:
            bucket.restart(at)

    def produced(self, tokens: int) -> None:
        """A call's answer had so many output tokens."""
        self._outputs.append(tokens)
        self._since_reckoned += 1
        if len(self._outputs) >= _FEWEST_OUTPUTS and self._since_reckoned >= _RECKONED_EVERY:
            self._since_reckoned = 0
            self._p90 = sorted(self._outputs)[len(self._outputs) * 9 // 10]

    def expected_output(self) -> int:
        """Output tokens that nine in ten of the latest calls did not exceed; 500 before twenty are known."""
        return self._p90

    def levels(self, now: float) -> tuple[float | None, float | None]:
        """Requests and tokens that are there, None where they are not limited."""
        return self._requests.level(now), self._tokens.level(now)

    def in_force(self) -> tuple[float | None, float | None]:
        """Requests and tokens a second that are kept to now, None where they are not limited."""
        return self._requests.rate, self._tokens.rate


class _Side:
    """The requests or the tokens of a group. Rates are in units a second."""

    __slots__ = ("_burst", "_configured", "_held", "_raised_at", "_told_at", "_window", "bucket", "rate")

    def __init__(self, limit: float | None, limits: Limits, window: float) -> None:
        self._configured = None if limit is None else limit / limits.per
        self._burst = limits.burst
        self._window = window
        self._held = -inf
        self._told_at = -inf
        self._raised_at = -inf
        self.rate = self._configured
        self.bucket = None if limit is None else Bucket.within(limit, limits.per, limits.burst)

    def level(self, now: float) -> float | None:
        return None if self.bucket is None else self.bucket.level(now)

    def wait(self, amount: float, now: float, ahead: float) -> float:
        if self.rate != self._configured and now - self._told_at >= _SILENCE:
            self._wear_off(now)
        if self.bucket is None:
            return max(0.0, self._held - now)
        wait = max(self._held - now, self.bucket.wait(amount, now, ahead=ahead))
        if self._configured is None:
            wait = min(wait, max(0.0, self._told_at + _SILENCE - now))
        return wait

    def take(self, amount: float, now: float) -> None:
        if self.bucket is not None:
            self.bucket.take(amount, now)

    def learn(self, told: Allowance, now: float, age: float) -> None:
        window = min(told.window or self._window, _LONGEST_WINDOW)
        if told.limit is not None and 1 <= told.limit <= _LARGEST:
            self._heed_limit(told.limit / window, window, now)
        if told.remaining is None:
            return
        if self.bucket is not None and self.rate is not None:
            self.bucket.lower(told.remaining + self.rate * age, now)
        if told.remaining < 1 and told.reset is not None:
            self._hold(now + _until_some(told.reset, window), now)

    def _heed_limit(self, rate: float, window: float, now: float) -> None:
        self._told_at = now
        if self.rate is None:
            self.rate, self._burst, self._raised_at = rate, window, now
            self.bucket = Bucket.within(rate, per=1.0, burst=window)
        elif self._configured is None:
            self._approach(rate, now)
        else:
            self._approach(max(min(rate, self._configured), self._configured * _LEAST_SHARE), now)

    def _wear_off(self, now: float) -> None:
        """Nothing has been told for long."""
        if self._configured is None:
            self.rate = self.bucket = None
            self._held = -inf
        elif now - self._raised_at >= _STEP:
            self._approach(self._configured, now)

    def _approach(self, rate: float, now: float) -> None:
        """Fall to that rate at once, rise to it slowly."""
        assert self.rate is not None and self.bucket is not None
        span = min(_RAISE_SPAN, max(0.0, now - self._raised_at))
        rate = min(rate, self.rate * (1 + _RAISE) ** (span / 60))
        self._raised_at = max(self._raised_at, now)
        if rate != self.rate:
            self.rate = rate
            self.bucket.change(*keeping_below(rate, self._burst), now)

    def _hold(self, until: float, now: float) -> None:
        if until > max(now, self._held):
            self._held = until
            if self.bucket is not None:
                self.bucket.restart(until)


def _until_some(reset: float, window: float) -> float:
    """Seconds until something of a used-up limit is back: a window's end, or that of a refilling bucket's debt."""
    return min(reset if reset < _WHOLE * window else reset - window, window)
