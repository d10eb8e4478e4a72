"""The line before a gate: first come, first served.

Who was let through and sent back by the provider waits before all who come for the first time, for
it has had its turn already; among themselves both kinds keep their order. Nobody overtakes the head:
a large request that waits for tokens is not starved by small ones behind it.

A waiter that has given up, but could not yet leave by itself, is `done` and is passed over.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """Somebody in line."""

    @property
    def tokens(self) -> int:
        """What it will take of the token limit."""
        ...

    def done(self) -> bool:
        """Whether it no longer waits."""
        ...


W = TypeVar("W", bound=Waiting)


class Line(Generic[W]):
    """Everybody who waits. Each operation is O(1), so that thousands may wait and give up."""

    __slots__ = ("_first", "_returned")

    def __init__(self) -> None:
        self._returned: _Row[W] = _Row()
        self._first: _Row[W] = _Row()

    def __len__(self) -> int:
        return len(self._returned.waiters) + len(self._first.waiters)

    def __iter__(self) -> Iterator[W]:
        yield from self._returned.waiters
        yield from self._first.waiters

    def join(self, waiter: W, *, returned: bool) -> None:
        """Stand at the end of one's kind."""
        (self._returned if returned else self._first).add(waiter)

    def leave(self, waiter: W) -> None:
        """Go, whether granted or not; a second time does nothing."""
        if not self._returned.discard(waiter):
            self._first.discard(waiter)

    def head(self) -> W | None:
        """Who is next; those who are done leave."""
        while (waiter := next(iter(self), None)) is not None:
            if not waiter.done():
                return waiter
            self.leave(waiter)
        return None

    def ahead(self, *, returned: bool) -> tuple[int, int]:
        """How many stand before one who joins now, and their tokens; who gave up in this very step still counts."""
        count, tokens = len(self._returned.waiters), self._returned.tokens
        if returned:
            return count, tokens
        return count + len(self._first.waiters), tokens + self._first.tokens


class _Row(Generic[W]):
    """Waiters in order, and the sum of their tokens."""

    __slots__ = ("tokens", "waiters")

    def __init__(self) -> None:
        # Not a dict: finding its first key after many removals at the front is O(n).
        self.waiters: OrderedDict[W, None] = OrderedDict()
        self.tokens = 0

    def add(self, waiter: W) -> None:
        self.waiters[waiter] = None
        self.tokens += waiter.tokens

    def discard(self, waiter: W) -> bool:
        if waiter not in self.waiters:
            return False
        del self.waiters[waiter]
        self.tokens -= waiter.tokens
        return True
