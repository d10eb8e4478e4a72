"""The gate before one provider key: who may knock now, who waits, who knocks again.

A call is in one of three places, and each move between them is one synchronous step:

- **in line**: it holds nothing. It leaves by a grant, by its deadline or by being cancelled.
- **in flight**: it holds a permit and has taken a request and its tokens. All of it is decided and
  taken at once or not at all: a permit held while waiting for tokens would block others, and rate held
  while waiting for a permit would become a burst. When the work ends, however it ends, the permit comes
  back and the tokens are settled.
- **resting** before a retry: it holds nothing, and then stands in line again.

The line moves when a call leaves it, when a call leaves the gate, and when the gate's one timer fires,
which is set to the moment at which its head can be granted as far as the clock decides that. A grant
reaches its waiter one step of the loop later; who was cancelled in that very step gives it back.

After a throttled answer nobody knocks until the pause is over: the whole key is on hold, not one call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from random import Random
from typing import TypeVar

from agentrt.errors import AgentrtError, GateTimeout, ProviderError
from agentrt.events import GateWaited, Retrying, WaitReason
from agentrt.gate.backoff import Decision, decide
from agentrt.gate.bucket import Bucket
from agentrt.gate.grant import Grant, Knock, Statistics
from agentrt.gate.limits import Limits
from agentrt.gate.queue import Line

T = TypeVar("T")

_LATE = 2e-6
"""Seconds a timer is set behind its moment: a loop may fire it up to its clock's resolution early, and a
bucket asked that much too early would have it set anew, on a clock that does not move."""

_ANYBODY = Knock()


class Gate:
    """Keeps one provider key's limits for everybody who calls through it. Lives on one event loop."""

    def __init__(self, key: str, limits: Limits, *, random: Random) -> None:
        self.key = key
        self.limits = limits
        self._random = random
        self._requests = _bucket(limits.requests, limits)
        self._tokens = _bucket(limits.tokens, limits)
        self._cooling_until = -inf
        self._in_flight = 0
        self._granted = 0
        self._line: Line[_Waiter] = Line()
        self._timer: asyncio.TimerHandle | None = None

    async def call(self, work: Callable[[Grant], Awaitable[T]], knock: Knock = _ANYBODY) -> T:
        """Do the work once the limits let it, and again where the provider's failure says that may help.

        `work` makes exactly one attempt and runs only while the permit is held. Only a `ProviderError`
        leads to another attempt; the last one, every other exception and a cancel pass through untouched.

        Raises:
            GateTimeout: the wait, before the first attempt or a later one, cannot end before the deadline.
        """
        time = asyncio.get_running_loop().time
        attempt = 0
        while True:
            attempt += 1
            grant = await self._enter(knock, attempt)
            try:
                reply = await work(grant)
                grant.error = None
                return reply
            except ProviderError as error:
                grant.failed(error)
                decision = self._judge(error, attempt, knock, time())
                if not decision.again:
                    raise
                retrying = Retrying(provider=self.key, attempt=attempt, delay=decision.delay, error=error.code)
            except asyncio.CancelledError:
                grant.error = "cancelled"
                raise
            except AgentrtError as error:
                grant.error = error.code
                raise
            finally:
                self._leave(grant, knock, time())
            knock.watch(retrying)
            if not decision.hold:
                await asyncio.sleep(decision.delay)

    def counts_tokens(self, model: str) -> bool:
        """Whether a call of that model waits for tokens, so that its `Knock.tokens` must be counted."""
        return self.limits.tokens is not None

    def statistics(self) -> Statistics:
        """How it stands now. To be asked on the gate's loop."""
        now = asyncio.get_running_loop().time()
        return Statistics(
            key=self.key,
            in_flight=self._in_flight,
            waiting=sum(not waiter.done() for waiter in self._line),
            granted=self._granted,
            requests=None if self._requests is None else self._requests.level(now),
            tokens=None if self._tokens is None else self._tokens.level(now),
            cooling_until=self._cooling_until if self._cooling_until > now else None,
        )

    # ---- in ----------------------------------------------------------------------------------------------

    async def _enter(self, knock: Knock, attempt: int) -> Grant:
        now = asyncio.get_running_loop().time()
        if knock.deadline is not None and knock.deadline <= now:
            raise GateTimeout(
                f"gate {self.key!r}: expected a deadline ahead; it passed {now - knock.deadline:.3f} s ago",
                eta=0.0,
                reason="deadline",
            )
        if not self._line and not self._wait(knock.tokens, now):
            self._take(knock.tokens, now)
            return Grant(attempt=attempt, tokens=knock.tokens, queued=0.0, started=now)
        started = await self._stand_in_line(knock, now, returned=attempt > 1)
        return Grant(attempt=attempt, tokens=knock.tokens, queued=started - now, started=started)

    async def _stand_in_line(self, knock: Knock, now: float, *, returned: bool) -> float:
        """Wait for a grant; what comes back is the moment at which it was taken up."""
        loop = asyncio.get_running_loop()
        reason, eta = self._forecast(knock.tokens, self._line.ahead(returned=returned), now)
        waiter = _Waiter(knock, loop.create_future())
        if eta is not None and waiter.misses(now + eta):
            raise self._timeout(knock, now, reason, eta)
        expiry = None if knock.deadline is None else loop.call_at(knock.deadline, waiter.refuse)
        kept = False
        try:
            self._line.join(waiter, returned=returned)
            if self._line.head() is waiter:
                self._move(now)
            if not waiter.done():
                self._tell_wait(knock, reason, 0.0, eta)
                try:
                    await waiter.future
                finally:
                    self._tell_wait(knock, reason, loop.time() - now, 0.0)
            if not waiter.granted():
                raise self._timeout(knock, now, *self._forecast(knock.tokens, (0, 0), loop.time()))
            kept = True
            return loop.time()
        finally:
            if expiry is not None:
                expiry.cancel()
            if not kept:
                self._give_up(waiter, loop.time())

    def _forecast(self, tokens: int, ahead: tuple[int, int], now: float) -> tuple[WaitReason, float | None]:
        """What a newcomer waits for and how long at least, None where that hangs on others' permits alone."""
        cooling = self._cooling_until - now
        rate = 0.0 if self._requests is None else self._requests.wait(1, now, ahead=ahead[0])
        budget = 0.0 if self._tokens is None else self._tokens.wait(tokens, now, ahead=ahead[1])
        eta = max(cooling, rate, budget)
        if eta <= 0:
            return "concurrency", None
        if cooling > 0:
            return "cooldown", eta
        return ("tokens" if budget > rate else "rate"), eta

    def _timeout(self, knock: Knock, since: float, reason: str, eta: float | None) -> GateTimeout:
        left = 0.0 if knock.deadline is None else knock.deadline - since
        end = "has no known end" if eta is None else f"takes {eta:.3f} s or more"
        return GateTimeout(
            f"gate {self.key!r}: expected a grant within {left:.3f} s, the time to the deadline; the wait for {reason} "
            f"{end} ({self._in_flight} of {self.limits.concurrency} in flight, {len(self._line)} in line)",
            eta=eta or 0.0,
            reason=reason,
        )

    def _tell_wait(self, knock: Knock, reason: WaitReason, waited: float, eta: float | None) -> None:
        knock.watch(GateWaited(provider=self.key, reason=reason, waited=waited, eta=eta, call_id=knock.call_id))

    # ---- the one decision, and who is let through by it --------------------------------------------------

    def _wait(self, tokens: int, now: float) -> float:
        """Seconds until the clock lets a request with so many tokens through; infinite where a permit is missing."""
        if self._in_flight >= self.limits.concurrency:
            return inf
        wait = max(0.0, self._cooling_until - now)
        if self._requests is not None:
            wait = max(wait, self._requests.wait(1, now))
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait(tokens, now))
        return wait

    def _take(self, tokens: int, now: float) -> None:
        self._in_flight += 1
        self._granted += 1
        if self._requests is not None:
            self._requests.take(1, now)
        if self._tokens is not None:
            self._tokens.take(tokens, now)

    def _move(self, now: float) -> None:
        """Let through from the head of the line whoever can go, and set the timer for the next."""
        wait = inf
        while (head := self._line.head()) is not None:
            wait = self._wait(head.tokens, now)
            if wait > 0:
                break
            self._line.leave(head)
            self._take(head.tokens, now)
            head.future.set_result(True)
        self._set_timer(inf if head is None else now + wait + _LATE)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= at < inf:
                return  # It fires too early at worst, and is set anew then.
            self._timer.cancel()
        self._timer = None if at == inf else asyncio.get_running_loop().call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._move(asyncio.get_running_loop().time())

    # ---- out ---------------------------------------------------------------------------------------------

    def _leave(self, grant: Grant, knock: Knock, now: float) -> None:
        """An attempt is over: the permit comes back, the tokens are settled."""
        self._in_flight -= 1
        if self._requests is not None and not grant.sent:
            self._requests.give_back(1, now)
        if self._tokens is not None:
            self._tokens.give_back(grant.unused, now)
        if self._line:
            self._move(now)
        knock.watch(grant.attempted(self.key, knock, now))

    def _give_up(self, waiter: _Waiter, now: float) -> None:
        """A waiter goes without an attempt; what it may have been granted in this very step comes back."""
        self._line.leave(waiter)
        if waiter.granted():
            self._in_flight -= 1
            self._granted -= 1
            if self._requests is not None:
                self._requests.give_back(1, now)
            if self._tokens is not None:
                self._tokens.give_back(waiter.tokens, now)
        self._move(now)

    def _judge(self, error: ProviderError, attempt: int, knock: Knock, now: float) -> Decision:
        left = None if knock.deadline is None else knock.deadline - now
        decision = decide(error, attempt - 1, left, self._random)
        if decision.hold:
            self._cool(now + decision.delay)
        return decision

    def _cool(self, until: float) -> None:
        """Put everybody on hold; who cannot wait that long is told so now."""
        if until <= self._cooling_until:
            return
        self._cooling_until = until
        if self._requests is not None:
            self._requests.restart(until)
        for waiter in self._line:
            if waiter.misses(until):
                waiter.refuse()


class _Waiter:
    """Somebody in line. The future says True for a grant, False where the deadline cannot be met."""

    __slots__ = ("deadline", "future", "tokens")

    def __init__(self, knock: Knock, future: asyncio.Future[bool]) -> None:
        self.tokens = knock.tokens
        self.deadline = knock.deadline
        self.future = future

    def done(self) -> bool:
        return self.future.done()

    def granted(self) -> bool:
        return self.future.done() and not self.future.cancelled() and self.future.result()

    def misses(self, moment: float) -> bool:
        """Whether a grant at that moment comes too late."""
        return self.deadline is not None and moment > self.deadline

    def refuse(self) -> None:
        if not self.future.done():
            self.future.set_result(False)


def _bucket(limit: float | None, limits: Limits) -> Bucket | None:
    return None if limit is None else Bucket.within(limit, limits.per, limits.burst)
