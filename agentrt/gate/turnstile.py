"""The one decision of a gate: who may go now, and everything that it takes along.

A call that goes takes a permit of the key, a request and its tokens of its limit group, and, while the
breaker is half open, the probe's slot. `Turnstile.next` and `wait` only look; `take` takes all of it; whoever
took gives back by `leave`, when an attempt has been made, or by `undo`, when none was. Nothing is ever
taken in part: a permit held while waiting for tokens would block others, and rate held while waiting for a
permit would become a burst. No step of this awaits, and all of it is told the time.

What holds for the **key**: permits, the pause that a provider asked for, the breaker. What holds for a
**room**, which is a limit group: its requests and tokens, its own concurrency, its line. So nobody
who waits for one group's tokens is in the way of another group; what they share are the permits, which go to the
rooms in turn, nine times as often to interactive calls as to background ones where both could go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from math import inf
from random import Random
from typing import Generic, TypeVar

from agentrt.errors import ProviderError
from agentrt.events import WaitReason
from agentrt.gate.breaker import Breaker
from agentrt.gate.fair import WEIGHTS, Amount, Waiting
from agentrt.gate.grant import Grant, GroupStatistics, Knock
from agentrt.gate.group import Group
from agentrt.gate.hedge import Hedging
from agentrt.gate.limits import Limits
from agentrt.gate.permits import Permits
from agentrt.gate.queue import Line
from agentrt.gate.stock import KEPT, Stock

W = TypeVar("W", bound=Waiting)

ANY_MODEL = "*"
_REFUSED = frozenset({400, 401, 403, 404, 413, 422})
"""Statuses by which a provider that is well finds fault with a request."""
_LONGEST_OPEN = 8.0
"""Seconds between probes of an ill provider: work is to flow again ten seconds after it is well, and one request in
eight seconds does it no harm."""
_A_PAUSE = 1.0
_MOST_MODELS = 1000


class Room(Generic[W]):
    """One limit group: what there is to take of it, who waits for it, and how many are in flight.

    Where other processes share the limit, `stock` is what this one holds of it.
    """

    __slots__ = ("group", "hedging", "in_flight", "limits", "line", "pattern", "stock", "turn")

    def __init__(self, pattern: str, limits: Limits, windows: Mapping[str, float]) -> None:
        self.pattern = pattern
        self.limits = limits
        self.group = Group(limits, windows)
        self.stock: Stock | None = None
        self.line: Line[W] = Line()
        self.hedging = Hedging()
        self.in_flight = 0
        self.turn = 0.0  # its tag in the order of the rooms; see `fair.py`

    def waits(self, tokens: int, now: float, ahead: tuple[float, float] = (0, 0)) -> tuple[float, float]:
        """Seconds until one request, and until so many tokens, may be taken from this group.

        Every question for a group's rate is asked here, every take and return goes through `take` and `give_back`.
        """
        waits = self.group.waits(tokens, now, ahead)
        if self.stock is None or max(waits) > KEPT:  # What is asked for too early would be of no use.
            return waits
        self.stock.limit(*self.group.in_force())
        return max(waits[0], self.stock.wait(tokens, now, ahead)), waits[1]

    def take(self, tokens: int, now: float) -> None:
        """One request goes with so many tokens, both waits having been 0."""
        self.group.take(tokens, now)
        if self.stock is not None:
            self.stock.take(tokens, now)

    def give_back(self, requests: int, tokens: int, now: float) -> None:
        """What was taken was not needed; negative tokens were needed on top."""
        self.group.give_back(requests, tokens, now)
        if self.stock is not None:
            self.stock.give_back(requests, tokens, now)

    @property
    def counts_tokens(self) -> bool:
        """Whether tokens are limited, by what is configured or what the provider told."""
        return self.group.in_force()[1] is not None

    def reservation(self, knock: Knock) -> int:
        """Tokens that one attempt of this call reserves."""
        return knock.tokens + (self.group.expected_output() if knock.output is None else knock.output)

    def cost(self, tokens: int) -> float:
        """A call in one measure for all: the seconds of a limit that it uses up, of whichever it uses most."""
        requests_a_second, tokens_a_second = self.group.in_force()
        by_requests = 1 / requests_a_second if requests_a_second else 0.0
        by_tokens = max(tokens, 1) / tokens_a_second if tokens_a_second else 0.0
        return max(by_requests, by_tokens) or 1.0

    def statistics(self, now: float) -> GroupStatistics:
        """How it stands."""
        requests, tokens = self.group.levels(now)
        requests_a_second, tokens_a_second = self.group.in_force()
        return GroupStatistics(
            models=self.pattern,
            in_flight=self.in_flight,
            waiting=len(self.line),
            requests=requests,
            tokens=tokens,
            requests_a_second=requests_a_second,
            tokens_a_second=tokens_a_second,
            expected_output=self.group.expected_output(),
            hedged=self.hedging.made,
        )


class Turnstile(Generic[W]):
    """All that a key has to give. `groups`: patterns of models that have limits of their own."""

    def __init__(
        self, limits: Limits, groups: Mapping[str, Limits], windows: Mapping[str, float], random: Random
    ) -> None:
        self.rooms = [Room[W](pattern, own, windows) for pattern, own in (*groups.items(), (ANY_MODEL, limits))]
        self.permits = Permits(limits.concurrency)
        self.breaker = Breaker(random, longest=_LONGEST_OPEN)
        self.cooling_until = -inf
        self.granted = 0
        self._turn = 0.0
        self._room_of: dict[str, Room[W]] = {}

    def room(self, model: str) -> Room[W]:
        """The first limit group whose pattern fits the model."""
        room = self._room_of.get(model)
        if room is None:
            room = next(room for room in self.rooms if fnmatchcase(model, room.pattern))
            if len(self._room_of) < _MOST_MODELS:
                self._room_of[model] = room
        return room

    @property
    def anybody(self) -> bool:
        """Whether somebody waits."""
        return any(room.line for room in self.rooms)

    def __iter__(self) -> Iterator[W]:
        """Everybody who waits."""
        for room in self.rooms:
            yield from room.line

    # ---- looking -------------------------------------------------------------------------------------------

    def closed(self, now: float) -> float:
        """Seconds until the clock lets anybody of this key through; infinite where it is not the clock's to decide."""
        if not self.permits.free:
            return inf
        return max(0.0, self.cooling_until - now, self.breaker.wait(now))

    def wait(self, room: Room[W], tokens: int, now: float) -> float:
        """Seconds until the clock lets a call of this room through, if nobody else came."""
        if room.in_flight >= room.limits.concurrency:
            return inf
        return max(self.closed(now), *room.waits(tokens, now))

    def next(self, now: float) -> tuple[Room[W] | None, W | None, float]:
        """Who goes now, and from which room; or nobody, and the seconds until somebody may."""
        soonest = inf
        wait = self.closed(now)
        if wait > 0:
            return None, None, wait
        for room in sorted((room for room in self.rooms if room.line), key=_turn):
            waiter, wait = _next_of(room, now)
            if waiter is not None:
                return room, waiter, 0.0
            soonest = min(soonest, wait)
        return None, None, soonest

    def forecast(self, room: Room[W], tokens: int, ahead: Amount, now: float) -> tuple[WaitReason, float | None]:
        """What a call waits for behind others, and how many seconds at least; None where nobody can know."""
        requests, budget = room.waits(tokens, now, (ahead.requests, ahead.tokens))
        reason, held_up = self.held_up(now)
        eta = max(held_up or 0.0, requests, budget)
        if reason is None:
            reason = "concurrency" if eta <= 0 else "tokens" if budget > requests else "rate"
        return reason, eta if eta > 0 else None

    def held_up(self, now: float) -> tuple[WaitReason | None, float | None]:
        """Why nobody of this key may go, if so, and the seconds until that ends; None while a probe is out."""
        cooling, breaker = self.cooling_until - now, self.breaker.wait(now)
        if breaker == inf:
            return "breaker", None
        if cooling > 0 or breaker > 0:
            return ("cooldown" if cooling >= breaker else "breaker"), max(cooling, breaker)
        return None, None

    def still_open(self, now: float, *, probe: bool) -> bool:
        """Whether one who was let through a moment ago may still go."""
        return self.cooling_until <= now and (probe or self.breaker.wait(now) <= 0)

    # ---- taking and giving back --------------------------------------------------------------------------------

    def take(self, room: Room[W], tokens: int, now: float) -> bool:
        """A call goes, `wait` having said 0; True: it is the breaker's probe."""
        self.permits.take()
        self.granted += 1
        room.in_flight += 1
        room.take(tokens, now)
        return self.breaker.let(now)

    def grant(self, room: Room[W], waiter: W, now: float) -> bool:
        """The same for one in line, which leaves it."""
        room.line.grant(waiter)
        self._turn = max(self._turn, room.turn)
        room.turn = self._turn + 1 / WEIGHTS[waiter.path[0]]
        return self.take(room, waiter.tokens, now)

    def undo(self, room: Room[W], tokens: int, now: float, *, probe: bool) -> None:
        """Who was let through made no attempt."""
        self.permits.give_back()
        self.granted -= 1
        room.in_flight -= 1
        room.give_back(1, tokens, now)
        self.breaker.withdrawn(probe)

    def leave(self, room: Room[W], grant: Grant, now: float, *, ill: bool) -> bool:
        """An attempt is over: the permit comes back, the tokens are settled; True: the breaker has opened by it."""
        was_open = self.breaker.state(now) == "open"
        if grant.error is None:
            self.permits.succeeded()
        if grant.error is None or grant.status in _REFUSED:
            self.breaker.succeeded(now, grant.probe, began=grant.started)
        elif ill:
            # A probe's pause counts from its beginning: one that hung has been a pause already.
            self.breaker.failed(grant.started if grant.probe else now, grant.probe, began=grant.started)
        else:
            self.breaker.withdrawn(grant.probe)
        self.permits.give_back()
        room.in_flight -= 1
        room.give_back(0 if grant.sent else 1, grant.unused, now)
        return not was_open and self.breaker.state(now) == "open"

    def throttled(self, error: ProviderError) -> None:
        """The provider says that we are too fast; where it names no time to speak of, fewer go at once.

        Less than a second is when one call more may go, and not how long all that wait should hold back.
        """
        if error.retry == "throttled" and (error.retry_after or 0.0) < _A_PAUSE:
            self.permits.throttled()

    def cool(self, until: float) -> bool:
        """Nobody goes until then, and one by one after it; False where that had been so already."""
        if until <= self.cooling_until:
            return False
        self.cooling_until = until
        for room in self.rooms:
            room.group.restart(until)
        return True


def _turn(room: Room[W]) -> float:
    return room.turn


def _next_of(room: Room[W], now: float) -> tuple[W | None, float]:
    """Who of this room goes now; or nobody, and the seconds until somebody may."""
    head = room.line.head()
    if head is None or room.in_flight >= room.limits.concurrency:
        return None, inf
    requests, tokens = room.waits(head.tokens, now)
    if requests > 0 or tokens <= 0:
        wait = max(requests, tokens)
        return (None, wait) if wait > 0 else (head, 0.0)
    room.line.hold(head)
    follower = room.line.follower()
    if follower is None:
        return None, tokens
    wait = max(room.waits(follower.tokens, now))
    return (None, min(wait, tokens)) if wait > 0 else (follower, 0.0)
