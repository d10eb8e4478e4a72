"""The line before one limit group: who is next, and who may pass it.

First stand the **returned**, whom the provider sent back: they have had their turn already. Behind them all
others in fair order (see `fair.py`).

A head that waits for nothing but tokens is **held**: it stays the head until it goes, whoever comes. Those behind
may **overtake** it with the tokens that are there, at most eight times and with at most half of its own
tokens together: so the limit is used while a large request gathers what it needs, and it waits half as long
again at most. Who is returned is not overtaken.

A waiter that has given up, but could not yet leave by itself, is `done` and is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from agentrt.gate.fair import Amount, Path, Row, Shares, Waiting

MOST_OVERTAKEN = 8
MOST_OVERTAKEN_SHARE = 0.5
"""Tokens of those who overtake, in those of the one they overtake."""

W = TypeVar("W", bound=Waiting)


class Line(Generic[W]):
    """Everybody who waits for one limit group. Joining and leaving are O(log n): thousands may wait and give up."""

    __slots__ = ("_held", "_overtaken", "_overtaken_tokens", "_returned", "_shares")

    def __init__(self) -> None:
        self._returned: Row[W] = Row()
        self._held: W | None = None
        self._overtaken = 0
        self._overtaken_tokens = 0
        self._shares: Shares[W] = Shares()

    def __len__(self) -> int:
        return len(self._returned) + (self._held is not None) + len(self._shares)

    def __iter__(self) -> Iterator[W]:
        """Everybody; only those in one run stand in order."""
        yield from self._returned
        if self._held is not None:
            yield self._held
        yield from self._shares

    def join(self, waiter: W, *, returned: bool) -> None:
        """Stand in line."""
        (self._returned if returned else self._shares).add(waiter)

    def leave(self, waiter: W) -> None:
        """Go without a grant; a second time does nothing."""
        if waiter is self._held:
            self._held = None
        elif not self._returned.discard(waiter):
            self._shares.discard(waiter)

    def head(self) -> W | None:
        """Who is next; those who are done leave."""
        while (waiter := self._returned.head() or self._held or self._shares.head()) is not None and waiter.done():
            self.leave(waiter)
        return waiter

    def hold(self, head: W) -> None:
        """The head waits for nothing but tokens: nobody takes its place any more."""
        if self._shares.discard(head):
            self._held, self._overtaken, self._overtaken_tokens = head, 0, 0

    def follower(self) -> W | None:
        """Who may overtake the head that is held, if anybody may."""
        if self._held is None or self._returned or self._overtaken >= MOST_OVERTAKEN:
            return None
        while (waiter := self._shares.head()) is not None and waiter.done():
            self.leave(waiter)
        return waiter if waiter is not None and self._may_overtake(waiter.tokens) else None

    def grant(self, waiter: W) -> None:
        """Go with a grant: the head, or its follower."""
        if waiter is self._held:
            self._held = None
            self._shares.charge(waiter)
        elif not self._returned.discard(waiter):
            self._shares.charge(waiter)
            self._shares.discard(waiter)
            self._overtaken += 1
            self._overtaken_tokens += waiter.tokens

    def before(self, path: Path, tokens: int, *, returned: bool) -> Amount:
        """What goes, as things stand, before one who joins now with so many tokens; rather too little than too much."""
        requests, spent, cost = self._returned.before(path)
        if not returned:
            if self._held is not None and not (self._overtaken < MOST_OVERTAKEN and self._may_overtake(tokens)):
                requests, spent, cost = requests + 1, spent + self._held.tokens, cost + self._held.cost
            shared = self._shares.before(path)
            requests, spent, cost = requests + shared.requests, spent + shared.tokens, cost + shared.cost
        return Amount(requests, spent, cost)

    def waiting_in(self, name: str) -> int:
        """How many of a class wait."""
        held = 0 if self._held is None else int(self._held.path[0] == name)
        return sum(waiter.path[0] == name for waiter in self._returned) + held + self._shares.waiting_in(name)

    def _may_overtake(self, tokens: int) -> bool:
        most = 0.0 if self._held is None else self._held.tokens * MOST_OVERTAKEN_SHARE
        return self._overtaken_tokens + tokens <= most
