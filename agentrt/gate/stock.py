"""What this process holds of a limit that it shares with others, and what it should ask for next.

A **block** is so many requests and tokens that nobody else will use. It may be used from its start on, which
lies ahead where others were first, and for a quarter of a second; what is left of it then goes back. So a process
that slept or died keeps nothing from the others, and what leaves in any stretch of time was handed out in it or
at most a quarter of a second before.

The stock asks when somebody wants more than there is, for all of it in one block: two that begin at different
times might never be there together. What it holds goes back with that, in the same round trip. Where blocks are
large it asks as soon as half of one is gone, so that the next is there in time.

What calls did not need after all, or needed on top, is told with the next asking, or after a quarter of a second.

While the backend is **down** the stock is open: it holds nobody up, and this process keeps to its own
buckets alone, as without a backend.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import msgspec

from agentrt.gate.bucket import keeping_below

KEPT = 0.25
"""Seconds that a block may be used."""
_LARGEST = 25
"""Calls of a block, and ..."""
_SPAN = 0.05
"""... seconds of the rate that it is worth at most, if one call is not more than that."""
_TRIPS = 2
"""Where the backend is far away a block is worth so many round trips, lest one process alone be held up by them."""
_AHEAD_FROM = 8
"""Blocks of so many calls are asked for ahead; of a slow rate, what one of several does not use is missed."""
_ROUND_TRIP = 0.005
_WEIGHT = 0.1
"""Of the latest in a mean."""


class Pool(msgspec.Struct, frozen=True):
    """A limit that is shared: units it gains a second, and units it holds. A rate of 0 is no limit."""

    rate: float = 0.0
    capacity: float = 0.0

    @classmethod
    def within(cls, rate: float | None, burst: float) -> Pool:
        """For `rate` units a second, None for no limit, and `burst` seconds of it at once.

        What is handed out may leave later, and meet what is handed out then: the burst is smaller by that time.
        """
        return cls() if rate is None else cls(*keeping_below(rate, burst - KEPT))


class Ask(msgspec.Struct, frozen=True):
    """What is asked of the backend: a block of `requests` and `tokens`, all of it or none.

    `back_requests` and `back_tokens` go back before; negative where more was used than was handed out.
    """

    request_pool: Pool
    token_pool: Pool
    requests: float = 0.0
    tokens: float = 0.0
    back_requests: float = 0.0
    back_tokens: float = 0.0


class Stock:
    """The blocks that one limit group of this process holds.

    `wake` is called when there may be something to `ask` for, or something is to go back after `due` seconds.
    """

    def __init__(self, burst: float, wake: Callable[[], None]) -> None:
        self.down = False
        self._burst = burst
        self._wake = wake
        self._rates: tuple[float | None, float | None] = (None, None)
        self._requests = self._tokens = Pool()
        self._blocks: list[_Block] = []  # by their starts
        self._lacking: float | None = None  # tokens of a call that could not go
        self._low = False  # half of a large block is gone
        self._mean = 0.0  # tokens of a call
        self._trip = 0.0  # seconds
        self._asked_at = 0.0
        self._back = _Back()

    def limit(self, requests: float | None, tokens: float | None) -> None:
        """Units a second that all processes together may use, None where there is no limit."""
        if (requests, tokens) != self._rates:
            self._rates = (requests, tokens)
            self._requests = Pool.within(requests, self._burst)
            self._tokens = Pool.within(tokens, self._burst)

    # ---- for the gate ------------------------------------------------------------------------------------

    def wait(self, tokens: float, now: float, ahead: tuple[float, float] = (0, 0)) -> float:
        """Seconds until a call with so many tokens may go, (requests, tokens) `ahead` going before it.

        That is exact where it has been handed out, and else what it takes at least.
        """
        if self._open:
            return 0.0
        self._drop(now)
        requests, tokens = 1 + ahead[0], tokens + ahead[1]
        ready = [block for block in self._blocks if block.start <= now]
        lacks = (requests - sum(block.requests for block in ready), tokens - sum(block.tokens for block in ready))
        if max(lacks) <= 0:
            return 0.0
        for block in self._blocks:
            if block.start > now and block.covers(requests, tokens):
                return block.start - now
        if not any(ahead):
            self._lacking = max(tokens, self._lacking or 0.0)
            self._wake()
        by_rate = [
            lack / pool.rate for lack, pool in zip(lacks, (self._requests, self._tokens), strict=True) if pool.rate
        ]
        return max(_ROUND_TRIP, *by_rate)

    def take(self, tokens: float, now: float) -> None:
        """A call goes, `wait` having said 0."""
        if self._open:
            return
        self._mean += (tokens - self._mean) * _WEIGHT
        requests = 1.0
        for block in self._blocks:
            if block.start <= now:
                requests, tokens = block.spend(requests, tokens)
        calls = self._calls()
        if calls >= _AHEAD_FROM and not self._holds(calls / 2, calls / 2 * self._mean):
            self._low = True
            self._wake()

    def give_back(self, requests: float, tokens: float, now: float) -> None:
        """What was taken was not needed; negative tokens were needed on top."""
        if self._open or not (requests or tokens):
            return
        if self._back.at == inf:
            self._wake()
        self._back.add(requests, tokens, now + KEPT)

    # ---- for who carries it to the backend -----------------------------------------------------------------

    def ask(self, now: float) -> Ask | None:
        """What to ask for now; None where there is nothing to ask for, and nothing to give back at once."""
        self._drop(now)
        requests, tokens = self._wanted()
        self._lacking, self._low = None, False
        if not (requests or tokens) and self._back.at > now:
            return None
        self._asked_at = now
        back, self._back = self._back, _Back()
        return Ask(self._requests, self._tokens, requests, tokens, back.requests, back.tokens)

    def came(self, ask: Ask, wait: float, now: float) -> None:
        """What was asked for is ours from `wait` seconds from now on."""
        self._trip += (now - self._asked_at - self._trip) * _WEIGHT
        if ask.requests or ask.tokens:
            start = now + wait
            requests = ask.requests if self._requests.rate else inf
            self._blocks.append(_Block(requests, ask.tokens if self._tokens.rate else inf, start))
            self._blocks.sort(key=_start)

    def failed(self) -> None:
        """The backend does not answer: open the stock, and forget what cannot be settled."""
        self.down = True
        self._blocks.clear()
        self._back = _Back()

    def due(self, now: float) -> float:
        """Seconds until something is to go back, infinite for nothing."""
        first = min((block.until for block in self._blocks), default=inf)
        return max(0.0, min(first, self._back.at) - now)

    # ---- within --------------------------------------------------------------------------------------------

    @property
    def _open(self) -> bool:
        return self.down or self._rates == (None, None)

    def _calls(self) -> float:
        """How many calls a block is for."""
        calls = inf
        if self._requests.rate:
            calls = self._requests.rate
        if self._tokens.rate and self._mean:
            calls = min(calls, self._tokens.rate / self._mean)
        return max(1.0, min(calls * _SPAN, _LARGEST) // 1, min(calls, 1e6) * min(_TRIPS * self._trip, KEPT) // 1)

    def _holds(self, requests: float, tokens: float) -> bool:
        """Whether that much is handed out, for now or for later."""
        return (
            sum(block.requests for block in self._blocks) >= requests
            and sum(block.tokens for block in self._blocks) >= tokens
        )

    def _wanted(self) -> tuple[float, float]:
        """Requests and tokens of the next block."""
        lacking, calls = self._lacking, self._calls()
        if lacking is not None and not any(block.covers(1, lacking) for block in self._blocks):
            self._return()
        elif not self._low or self._holds(calls / 2, calls / 2 * self._mean):
            return 0.0, 0.0
        tokens = max(lacking or 0.0, calls * self._mean if calls > 1 else 0.0)
        return calls if self._requests.rate else 0.0, tokens if self._tokens.rate else 0.0

    def _drop(self, now: float) -> None:
        """What may no longer be used goes back."""
        for block in self._blocks:
            if block.until <= now:
                self._back.add(*block.left(), now)
        self._blocks = [block for block in self._blocks if block.until > now and not block.empty]

    def _return(self) -> None:
        """What is too little goes back with the next asking."""
        for block in self._blocks:
            self._back.add(*block.left(), -inf)
        self._blocks.clear()


class _Block:
    """So much is ours from `start` to `until`; infinite is what is not limited."""

    __slots__ = ("requests", "start", "tokens", "until")

    def __init__(self, requests: float, tokens: float, start: float) -> None:
        self.requests = requests
        self.tokens = tokens
        self.start = start
        self.until = start + KEPT

    @property
    def empty(self) -> bool:
        return not any(self.left())

    def covers(self, requests: float, tokens: float) -> bool:
        return self.requests >= requests and self.tokens >= tokens

    def spend(self, requests: float, tokens: float) -> tuple[float, float]:
        """Take what is there of that; what is still needed comes back."""
        used, spent = min(requests, self.requests), min(tokens, self.tokens)
        self.requests -= used
        self.tokens -= spent
        return requests - used, tokens - spent

    def left(self) -> tuple[float, float]:
        """What can go back."""
        return (0.0 if self.requests == inf else self.requests), (0.0 if self.tokens == inf else self.tokens)


class _Back:
    """What goes back, and when at the latest."""

    __slots__ = ("at", "requests", "tokens")

    def __init__(self) -> None:
        self.requests = self.tokens = 0.0
        self.at = inf

    def add(self, requests: float, tokens: float, at: float) -> None:
        if requests or tokens:
            self.requests += requests
            self.tokens += tokens
            self.at = min(self.at, at)


def _start(block: _Block) -> float:
    return block.start
