"""The gate before one provider key: who may knock now, who waits, who knocks again.

A call is in one of three places, and each move between them is one synchronous step:

- **in line**: it holds nothing. It leaves by a grant, by its deadline, by being refused or cancelled.
- **in flight**: it holds a permit and has taken a request and its tokens (see `turnstile.py`). When the work
  ends, however it ends, the permit comes back, the tokens are settled, and the breaker hears how it went.
- **resting** before a retry: it holds nothing, and then stands in line again.

The lines move when a call leaves one, when a call leaves the gate, and when the gate's one timer fires, which
is set to the moment at which somebody can be granted as far as the clock decides that. A grant reaches its
waiter one step of the loop later; who was cancelled in that very step gives it back.

Three things concern everybody at once. After a throttled answer nobody knocks until the pause is over: the
whole key is on hold, not one call. While the breaker is open nobody knocks, and then one. When
quota or money is used up, whoever waits or comes is refused for a minute. Each time the waiters who cannot be
served any more in time are told so at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from math import inf
from random import Random
from typing import TypeVar

from agentrt.errors import AgentrtError, ProviderError
from agentrt.events import GateWaited, Retrying, WaitReason
from agentrt.gate.backoff import Decision, decide
from agentrt.gate.fair import NOTHING
from agentrt.gate.grant import Grant, Knock, Statistics
from agentrt.gate.headers import read_limits
from agentrt.gate.hedge import race
from agentrt.gate.leases import Leases, Share
from agentrt.gate.limits import Limits
from agentrt.gate.spending import THROTTLED_COST, RetryBudget
from agentrt.gate.turnstile import Room, Turnstile
from agentrt.gate.visit import Visit, Waiter, exhausted, passed, too_late, turned_away

T = TypeVar("T")

EXHAUSTED = 60.0
"""Seconds for which a key without quota or money is not asked."""

_LATE = 2e-6
"""Seconds a timer is set behind its moment: a loop may fire it up to its clock's resolution early, and a
bucket asked that much too early would have it set anew, on a clock that does not move."""

_ANYBODY = Knock()


class Gate:
    """Keeps one provider key's limits for everybody who calls through it. Lives on one event loop.

    Args:
        key: Its name in events and errors.
        limits: What the key may be asked for.
        random: Source of jitter.
        wall: Seconds since 1970, for headers that name a moment; without it those say nothing.
        groups: Models, by a pattern of their names, that have requests and tokens of their own. Their concurrency
            is within that of `limits`.
        windows: Seconds that the provider's headers refer to, for "requests" and "tokens"; by default the
            period of the limits.
        hedge: Make a second attempt for a call that may be asked twice and is slow.
        leases: Who hands out limits that are shared with other processes; somebody must `tend` the gate then.
        account: Whose limits they are. Only gates of one key and account share them.
    """

    def __init__(  # noqa: PLR0913 - what is to be known of one provider
        self,
        key: str,
        limits: Limits,
        *,
        random: Random,
        wall: Callable[[], float] | None = None,
        groups: Mapping[str, Limits] | None = None,
        windows: Mapping[str, float] | None = None,
        hedge: bool = False,
        leases: Leases | None = None,
        account: str = "",
    ) -> None:
        self.key = key
        self.limits = limits
        self._random = random
        self._wall = wall
        self._hedge = hedge
        self._turnstile: Turnstile[Waiter] = Turnstile(limits, groups or {}, windows or {}, random)
        self._budget = RetryBudget()
        self._resting = 0
        self._retrying = 0
        self._retried = 0
        self._exhausted_until = -inf
        self._timer: asyncio.TimerHandle | None = None
        self._shares = [self._share(room, leases, account) for room in self._turnstile.rooms] if leases else []

    async def tend(self) -> None:
        """Fetch what this process needs of shared limits, until cancelled; without leases there is nothing to do.

        With leases, calls wait until somebody does; afterwards the gate keeps to its limits by itself.
        """
        async with asyncio.TaskGroup() as group:
            for share in self._shares:
                group.create_task(share.tend())

    async def call(self, work: Callable[[Grant], Awaitable[T]], knock: Knock = _ANYBODY) -> T:
        """Do the work once the limits let it, and again where the provider's failure says that may help.

        `work` makes exactly one attempt and runs only while the permit is held. Only a `ProviderError`
        leads to another attempt; the last one, every other exception and a cancel pass through untouched.

        Raises:
            GateTimeout: the wait, before the first attempt or a later one, cannot end before the deadline; or the
                breaker is open and the knock says to turn away.
            ProviderExhausted: the provider said so, to this call or to another in the last minute. `retry_after`
                is when it is asked again.
        """
        visit = Visit(knock, self._turnstile.room(knock.model))
        try:
            while True:
                grant = await self._enter(visit)
                try:
                    if self._hedge and knock.idempotent:
                        return await self._hedged(work, visit, grant)
                    return await self._attempt(work, visit, grant)
                except ProviderError as error:
                    if not self._tries_again(visit):
                        raise
                    code = error.code
                delay = visit.decision.delay
                knock.watch(
                    Retrying(provider=self.key, attempt=visit.attempts, delay=delay, error=code, call_id=knock.call_id)
                )
                if not visit.decision.hold:
                    await asyncio.sleep(delay)
        finally:
            self._resting -= visit.resting
            self._retrying -= visit.retrying

    def counts_tokens(self, model: str) -> bool:
        """Whether a call of that model waits for tokens, so that its `Knock.tokens` must be counted."""
        return self._turnstile.room(model).counts_tokens

    def statistics(self) -> Statistics:
        """How it stands now. To be asked on the gate's loop."""
        now = asyncio.get_running_loop().time()
        turnstile = self._turnstile
        return Statistics(
            key=self.key,
            in_flight=turnstile.permits.in_flight,
            concurrency=turnstile.permits.allowed,
            waiting=sum(len(room.line) for room in turnstile.rooms),
            background=sum(room.line.waiting_in("background") for room in turnstile.rooms),
            granted=turnstile.granted,
            retried=self._retried,
            retry_points=self._budget.points,
            cooling_until=turnstile.cooling_until if turnstile.cooling_until > now else None,
            exhausted_until=self._exhausted_until if self._exhausted_until > now else None,
            breaker=turnstile.breaker.state(now),
            groups=tuple(room.statistics(now) for room in turnstile.rooms),
        )

    # ---- in ----------------------------------------------------------------------------------------------

    async def _enter(self, visit: Visit) -> Grant:
        """Let a call through, at once or from the line."""
        time = asyncio.get_running_loop().time
        knock, room, turnstile = visit.knock, visit.room, self._turnstile
        came = time()
        visit.tokens = room.reservation(knock)
        while True:
            now = time()
            if knock.deadline is not None and knock.deadline <= now:
                raise passed(self.key, now - knock.deadline)
            if self._exhausted_until > now:
                raise exhausted(self.key, self._exhausted_until - now)
            if not room.line and turnstile.wait(room, visit.tokens, now) <= 0:
                return self._granted(visit, now, now - came, probe=turnstile.take(room, visit.tokens, now))
            waiter = Waiter(visit, now, asyncio.get_running_loop().create_future())
            started = await self._stand_in_line(waiter)
            if self._exhausted_until <= started and turnstile.still_open(started, probe=waiter.probe):
                return self._granted(visit, started, started - came, probe=waiter.probe)
            # It was granted, and in the same step it turned out that nobody may knock.
            visit.returned = True
            self._give_up(waiter)

    def _granted(self, visit: Visit, now: float, queued: float, *, probe: bool) -> Grant:
        visit.attempts += 1
        self._resting -= visit.resting
        visit.resting = False
        if probe:
            self._turn_away(now)
        learn = partial(self._learn, visit.room, now)
        return Grant(attempt=visit.attempts, tokens=visit.tokens, queued=queued, started=now, probe=probe, learn=learn)

    async def _stand_in_line(self, waiter: Waiter) -> float:
        """Wait for a grant; what comes back is the moment at which it was taken up."""
        loop, now = asyncio.get_running_loop(), waiter.since
        knock, line = waiter.visit.knock, waiter.visit.room.line
        ahead = line.before(waiter.path, waiter.tokens, returned=waiter.returned)
        reason, eta = self._turnstile.forecast(waiter.visit.room, waiter.tokens, ahead, now)
        if knock.turn_away and (ill := self._turnstile.breaker.wait(now)) > 0:
            raise turned_away(self.key, ill)
        if eta is not None and waiter.misses(now + eta):
            raise too_late(self.key, waiter, reason, eta, self._crowd())
        expiry = None if knock.deadline is None else loop.call_at(knock.deadline, self._expire, waiter)
        kept = False
        try:
            line.join(waiter, returned=waiter.returned)
            self._move(now)
            if not waiter.done():
                self._tell_wait(knock, reason, 0.0, eta)
                try:
                    await waiter.future
                finally:
                    self._tell_wait(knock, reason, loop.time() - now, 0.0)
            if (refusal := waiter.future.result()) is not None:
                raise refusal
            kept = True
            return loop.time()
        finally:
            if expiry is not None:
                expiry.cancel()
            if not kept:
                self._give_up(waiter)

    def _tell_wait(self, knock: Knock, reason: WaitReason, waited: float, eta: float | None) -> None:
        knock.watch(GateWaited(provider=self.key, reason=reason, waited=waited, eta=eta, call_id=knock.call_id))

    # ---- the lines move ------------------------------------------------------------------------------------

    def _move(self, now: float) -> None:
        """Let through whoever can go, and set the timer for the next."""
        turnstile, wait = self._turnstile, inf
        while turnstile.anybody:
            room, waiter, wait = turnstile.next(now)
            if room is None or waiter is None:
                break
            waiter.grant(probe=turnstile.grant(room, waiter, now))
        self._set_timer(now + wait + _LATE if turnstile.anybody else inf)

    def _share(self, room: Room[Waiter], leases: Leases, account: str) -> Share:
        name = (f"{self.key} {account}".strip(), room.pattern)
        share = Share(leases, name, room.limits.burst, self._moved)
        room.stock = share.stock
        return share

    def _moved(self) -> None:
        self._move(asyncio.get_running_loop().time())

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= at < inf:
                return  # It fires too early at worst, and is set anew then.
            self._timer.cancel()
        self._timer = None if at == inf else asyncio.get_running_loop().call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._moved()

    def _give_up(self, waiter: Waiter) -> None:
        """A waiter goes without an attempt; what it may have been granted in this very step comes back."""
        now = asyncio.get_running_loop().time()
        waiter.visit.room.line.leave(waiter)
        if waiter.granted():
            self._turnstile.undo(waiter.visit.room, waiter.tokens, now, probe=waiter.probe)
        self._move(now)

    def _expire(self, waiter: Waiter) -> None:
        now = asyncio.get_running_loop().time()
        reason, eta = self._turnstile.forecast(waiter.visit.room, waiter.tokens, NOTHING, now)
        waiter.refuse(too_late(self.key, waiter, reason, eta, self._crowd()))

    # ---- attempts and their end ----------------------------------------------------------------------------

    async def _attempt(self, work: Callable[[Grant], Awaitable[T]], visit: Visit, grant: Grant) -> T:
        """Let the work run once, and settle it."""
        ill = False
        try:
            reply = await work(grant)
            grant.error = None
            return reply
        except ProviderError as error:
            grant.failed(error)
            ill = self._heed(error, visit, grant).ill
            raise
        except asyncio.CancelledError:
            grant.error = "cancelled"
            raise
        except AgentrtError as error:
            grant.error = error.code
            raise
        finally:
            self._leave(visit, grant, ill=ill)

    async def _hedged(self, work: Callable[[Grant], Awaitable[T]], visit: Visit, first: Grant) -> T:
        """The same, with a second attempt beside the first where that is slow and another can go at once.

        Each is settled by its own task, which has begun before a cancel can reach it: the loop keeps their order.
        """
        room, hedging, time = visit.room, visit.room.hedging, asyncio.get_running_loop().time

        def another() -> Callable[[], Awaitable[T]] | None:
            now = time()
            if room.line or not hedging.may() or self._turnstile.wait(room, visit.tokens, now) > 0:
                return None
            hedging.spend()
            second = self._granted(visit, now, 0.0, probe=self._turnstile.take(room, visit.tokens, now))
            return partial(self._attempt, work, visit, second)

        reply = await race(partial(self._attempt, work, visit, first), another, hedging.begun())
        hedging.answered(time() - first.started)
        return reply

    def _heed(self, error: ProviderError, visit: Visit, grant: Grant) -> Decision:
        """Judge a failure, and put on hold or refuse whom it concerns besides this call."""
        now = asyncio.get_running_loop().time()
        left = None if visit.knock.deadline is None else visit.knock.deadline - now
        visit.decision = decision = decide(error, visit.retries, left, self._random, most=visit.knock.retries)
        if error.headers:
            self._learn(visit.room, grant.started, error.headers)
        self._turnstile.throttled(error)
        if decision.exhausted:
            self._exhausted_until = now + EXHAUSTED
            for waiter in self._turnstile:
                waiter.refuse(exhausted(self.key, EXHAUSTED))
        if decision.hold and self._turnstile.cool(now + decision.delay):
            self._turn_away(now)
        return decision

    def _leave(self, visit: Visit, grant: Grant, *, ill: bool) -> None:
        """An attempt is over: everything comes back, and the event tells of it."""
        now = asyncio.get_running_loop().time()
        room, knock = visit.room, visit.knock
        if grant.error is None:
            self._budget.earn()
        if self._turnstile.leave(room, grant, now, ill=ill):
            self._turn_away(now)
        if knock.output is None and grant.output_tokens is not None:
            room.group.produced(grant.output_tokens)
        if self._turnstile.anybody:
            self._move(now)
        knock.watch(grant.attempted(self.key, knock, now))

    def _tries_again(self, visit: Visit) -> bool:
        """Whether a failed call is made again, by the table and by what is left; if so, it is paid for."""
        knock, decision, spare = visit.knock, visit.decision, visit.knock.spare
        self._retrying -= visit.retrying
        visit.retrying = False
        if not decision.again or (spare is not None and spare.left <= 0):
            return False
        if knock.turn_away and self._turnstile.breaker.wait(asyncio.get_running_loop().time()) > 0:
            return False
        active = self._turnstile.permits.in_flight + self._resting + 1  # itself, which is neither now
        if not self._budget.may(decision.cost, retrying=self._retrying, active=active):
            return False
        self._budget.spend(decision.cost)
        if spare is not None:
            spare.left -= 1
        visit.returned = visit.resting = True
        visit.retries += 1
        visit.retrying = decision.cost > THROTTLED_COST
        self._retrying += visit.retrying
        self._resting += 1
        self._retried += 1
        return True

    def _learn(self, room: Room[Waiter], began: float, headers: Mapping[str, str]) -> None:
        """Heed what an answer's headers say of limits."""
        now = asyncio.get_running_loop().time()
        room.group.learn(read_limits(headers, inf if self._wall is None else self._wall()), now, began)

    def _turn_away(self, now: float) -> None:
        """The whole key waits: who cannot wait so long, or will not wait for a breaker, is told so now."""
        reason, eta = self._turnstile.held_up(now)
        ill, crowd = self._turnstile.breaker.wait(now), self._crowd()
        for waiter in self._turnstile:
            if ill > 0 and waiter.visit.knock.turn_away:
                waiter.refuse(turned_away(self.key, ill))
            elif reason and eta is not None and waiter.misses(now + eta):
                waiter.refuse(too_late(self.key, waiter, reason, eta, crowd))

    def _crowd(self) -> str:
        permits, waiting = self._turnstile.permits, sum(len(room.line) for room in self._turnstile.rooms)
        return f"{permits.in_flight} of {permits.allowed} in flight, {waiting} in line"
