"""Fair shares of what a gate lets through: who is next, and how much will go before a newcomer.

Shares are divided three times: between the classes, interactive having nine tenths and background one while
both wait; inside a class between its tenants, equally; inside a tenant between its runs, equally. Inside a
run the first comes first. Nobody's share lies idle: what one does not use goes to the others.

Each level is start-time fair queueing (Goyal, Vin, Cheng, 1996). A flow - a class, a tenant, a run - has a
tag: the virtual time at which it may next be served. The least tag is next; being served moves it on by the
cost over the flow's weight. The virtual time of a level moves with each service by the cost over the
weights of all who wait, which is what each of them should have had (as in WF2Q+, Bennett and Zhang, 1996; with
the start-time paper's own clock, a stream of new runs would hold up an old one for ever). A flow that comes
back starts at the virtual time, or where it left off if that is later: sleeping earns no credit, and coming
back at once pays no less.

A flow has one entry in its level's heap, whose tag may be out of date, for tags only grow; it is put right
when it comes to the top. An empty flow stays until the virtual time has passed its tag, for until then it
is in debt. So joining, leaving and being served are O(log n), whoever waits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count, islice
from typing import Generic, NamedTuple, Protocol, TypeVar

WEIGHTS = {"interactive": 9.0, "background": 1.0}

Path = tuple[str, str, str]
"""Class, tenant and run."""

_MOST_LOOKED_AT = 128
"""Flows of one level that a forecast looks at; it stays quick, and says too little rather than too much."""
_SWEPT_FROM = 64


class Waiting(Protocol):
    """Somebody who waits."""

    @property
    def path(self) -> Path:
        """In whose name it waits."""
        ...

    @property
    def tokens(self) -> int:
        """What it will take of the token limit."""
        ...

    @property
    def cost(self) -> float:
        """What it will take of the limits, in one measure for all; more than 0."""
        ...

    def done(self) -> bool:
        """Whether it no longer waits, though it has not left yet."""
        ...


W = TypeVar("W", bound=Waiting)


class Amount(NamedTuple):
    """What several calls take together."""

    requests: float = 0.0
    tokens: float = 0.0
    cost: float = 0.0


NOTHING = Amount()


class Row(Generic[W]):
    """Waiters in order, and what they take together. Each operation is O(1)."""

    __slots__ = ("cost", "tokens", "waiters")

    def __init__(self) -> None:
        # Not a dict: finding its first key after many removals at the front is O(n).
        self.waiters: OrderedDict[W, None] = OrderedDict()
        self.tokens = 0
        self.cost = 0.0

    def __len__(self) -> int:
        return len(self.waiters)

    def __iter__(self) -> Iterator[W]:
        return iter(self.waiters)

    def add(self, waiter: W) -> None:
        """Stand at the end."""
        self.waiters[waiter] = None
        self.tokens += waiter.tokens
        self.cost += waiter.cost

    def discard(self, waiter: W) -> bool:
        """Go; False for who is not here."""
        if waiter not in self.waiters:
            return False
        del self.waiters[waiter]
        self.tokens -= waiter.tokens
        self.cost = self.cost - waiter.cost if self.waiters else 0.0
        return True

    def head(self) -> W | None:
        """Who came first."""
        return next(iter(self.waiters), None)

    def charge(self, _waiter: W) -> None:
        """Nobody else shares in a row."""

    def before(self, _path: Path) -> Amount:
        """All who stand here go before one who joins."""
        return Amount(len(self.waiters), self.tokens, self.cost)


class _Flow(Generic[W]):
    """One of those who share in a level: its tag, and what waits inside."""

    __slots__ = ("cost", "inside", "tag", "tokens", "waiting", "weight")

    def __init__(self, inside: Shares[W] | Row[W], weight: float, tag: float) -> None:
        self.inside = inside
        self.weight = weight
        self.tag = tag
        self.waiting = 0
        self.tokens = 0
        self.cost = 0.0

    def count(self, waiter: W, sign: int) -> None:
        self.waiting += sign
        self.tokens += sign * waiter.tokens
        self.cost = self.cost + sign * waiter.cost if self.waiting else 0.0  # no rounding error outlives a backlog


class Shares(Generic[W]):
    """Those who wait, by class, tenant and run. `depth` says which of the three this level divides by."""

    __slots__ = ("_births", "_depth", "_flows", "_heap", "_swept_from", "_virtual", "_waiting", "_weight")

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth
        self._virtual = 0.0
        self._waiting = 0
        self._weight = 0.0  # of all flows in which somebody waits
        self._flows: dict[str, _Flow[W]] = {}
        self._heap: list[tuple[float, float, int, str]] = []
        self._births = count()
        self._swept_from = _SWEPT_FROM

    def __len__(self) -> int:
        return self._waiting

    def __iter__(self) -> Iterator[W]:
        for flow in self._flows.values():
            yield from flow.inside

    def waiting_in(self, name: str) -> int:
        """How many wait in the flow of that name."""
        return self._flows[name].waiting if name in self._flows else 0

    def add(self, waiter: W) -> None:
        """Wait behind the others of one's run."""
        flow = self._flow(waiter.path[self._depth])
        if not flow.waiting:
            flow.tag = max(flow.tag, self._virtual)
            self._weight += flow.weight
        self._waiting += 1
        flow.count(waiter, 1)
        flow.inside.add(waiter)

    def discard(self, waiter: W) -> bool:
        """Go; False for who is not here."""
        flow = self._flows.get(waiter.path[self._depth])
        if flow is None or not flow.inside.discard(waiter):
            return False
        self._waiting -= 1
        flow.count(waiter, -1)
        if not flow.waiting:
            self._weight -= flow.weight
        return True

    def head(self) -> W | None:
        """Who is next."""
        while self._heap:
            tag, _, _, name = self._heap[0]
            flow = self._flows[name]
            if flow.tag > tag:
                heapreplace(self._heap, self._entry(name, flow))
            elif not flow.waiting:
                heappop(self._heap)
                del self._flows[name]
                self._virtual = max(self._virtual, tag)  # nobody who waits has a lesser one
            else:
                return flow.inside.head()
        return None

    def charge(self, waiter: W) -> None:
        """It has been served; to be told before it is discarded, or at any time after."""
        flow = self._flow(waiter.path[self._depth])
        self._virtual = max(self._virtual, flow.tag) + waiter.cost / max(self._weight, flow.weight)
        flow.tag += waiter.cost / flow.weight
        flow.inside.charge(waiter)

    def before(self, path: Path) -> Amount:
        """What will be served, as things stand, before one who joins there; rather too little than too much."""
        own = self._flows.get(path[self._depth])
        requests, tokens, cost = NOTHING if own is None else own.inside.before(path)
        start = self._virtual
        if own is not None:
            start = own.tag if own.waiting else max(own.tag, start)
            start += cost / own.weight
        for flow in islice(self._flows.values(), _MOST_LOOKED_AT):
            served = (start - flow.tag) * flow.weight
            if served > 0 and flow.waiting and flow is not own:
                part = min(1.0, served / flow.cost)
                requests += part * flow.waiting
                tokens += part * flow.tokens
                cost += part * flow.cost
        return Amount(requests, tokens, cost)

    def _flow(self, name: str) -> _Flow[W]:
        flow = self._flows.get(name)
        if flow is None:
            if len(self._heap) >= self._swept_from:
                self._sweep()
            inside: Shares[W] | Row[W] = Row() if self._depth == 2 else Shares(self._depth + 1)
            flow = _Flow(inside, WEIGHTS[name] if self._depth == 0 else 1.0, self._virtual)
            self._flows[name] = flow
            heappush(self._heap, self._entry(name, flow))
        return flow

    def _entry(self, name: str, flow: _Flow[W]) -> tuple[float, float, int, str]:
        """Among equals the heavier goes first, and then who came first."""
        return flow.tag, -flow.weight, next(self._births), name

    def _sweep(self) -> None:
        """Forget who is empty and owes nothing, deep in the heap: thousands of runs may have come and given up."""
        for name in [name for name, flow in self._flows.items() if not flow.waiting and flow.tag <= self._virtual]:
            del self._flows[name]
        self._heap = [entry for entry in self._heap if entry[3] in self._flows]
        heapify(self._heap)
        self._swept_from = max(_SWEPT_FROM, 2 * len(self._heap))
