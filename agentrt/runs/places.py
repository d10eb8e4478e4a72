"""Calls inside of calls: a tool that has a place at a gate may ask there again, by a run that it starts.

It keeps its place while it waits for another. If all places of a gate are kept like that, none will ever be free: the
tools wait for one another until their timeouts. That moment can be known, for it comes with the last of them: whoever
would begin to wait then is refused, its tool fails, and the others have its place.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TypeVar
from weakref import WeakKeyDictionary

from agentrt.errors import GateTimeout
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock

T = TypeVar("T")


class _Place:
    """An attempt in flight; `waiting` is how many calls made in it wait at the same gate."""

    __slots__ = ("gate", "waiting")

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.waiting = 0


_KEPT: ContextVar[tuple[_Place, ...]] = ContextVar("agentrt_places", default=())
"""The places in which the caller is."""


class Places:
    """Who has a place at which gate, and waits there for another. One for all runs of a Runtime."""

    def __init__(self) -> None:
        self._stuck: WeakKeyDictionary[Gate, set[_Place]] = WeakKeyDictionary()

    async def call(self, gate: Gate, work: Callable[[Grant], Awaitable[T]], knock: Knock) -> T:
        """As `Gate.call`.

        Raises:
            GateTimeout: besides, all its places are kept by calls that wait for one.
        """
        within = [place for place in _KEPT.get() if place.gate is gate]
        if within:
            self._wait(within, 1)
            if self._nobody_goes_on(gate):
                self._wait(within, -1)
                raise _all_kept(gate)

        async def attempt(grant: Grant) -> T:
            before = _KEPT.set((*_KEPT.get(), _Place(gate)))
            self._wait(within, -1)
            try:
                return await work(grant)
            finally:
                self._wait(within, 1)  # it may be made again
                _KEPT.reset(before)

        try:
            return await gate.call(attempt, knock)
        finally:
            self._wait(within, -1)

    def _wait(self, within: list[_Place], more: int) -> None:
        for place in within:
            stuck = self._stuck.setdefault(place.gate, set())
            place.waiting += more
            (stuck.add if place.waiting > 0 else stuck.discard)(place)

    def _nobody_goes_on(self, gate: Gate) -> bool:
        now = gate.statistics()
        return now.in_flight >= now.concurrency and len(self._stuck[gate]) >= now.in_flight


def _all_kept(gate: Gate) -> GateTimeout:
    places = gate.statistics().in_flight
    return GateTimeout(
        f"gate {gate.key!r}: expected a place for a call that a tool makes inside of its own; all {places} are kept by "
        f"tools that wait for one; give the tool another provider=, or the provider a higher concurrency",
        eta=0.0,
        reason="concurrency",
    )
