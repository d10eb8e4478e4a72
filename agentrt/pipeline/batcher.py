"""Gathers items into batches. Pure: it is told the time, and says why a batch was closed."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

import msgspec

T = TypeVar("T")

Why = Literal["full", "timer", "end"]


class Batch(msgspec.Struct, Generic[T], frozen=True):
    """Items in the order in which they came, and why there are no more of them."""

    items: tuple[T, ...]
    why: Why


class Batcher(Generic[T]):
    """Holds a batch open until it has `most` items or weighs `weight`, its first has waited `seconds`, or all is over.

    The item that fills a batch is in it, so a batch may be heavier than `weight` by less than its last item.
    """

    def __init__(self, *, most: int, weight: int, seconds: float) -> None:
        self._most = most
        self._weight = weight
        self._seconds = seconds
        self._items: list[T] = []
        self._held = 0
        self._due_at: float | None = None

    @property
    def due_at(self) -> float | None:
        """When the open batch is due; None while there is nothing in it."""
        return self._due_at

    @property
    def room(self) -> int:
        """The weight that is still missing; always more than 0."""
        return self._weight - self._held

    def add(self, item: T, now: float, weight: int = 1) -> Batch[T] | None:
        """Take one more; the batch, if that has filled it."""
        if self._due_at is None:
            self._due_at = now + self._seconds
        self._items.append(item)
        self._held += weight
        return self._close("full") if self._is_full() else None

    def due(self, now: float) -> Batch[T] | None:
        """The batch, if it has waited long enough."""
        return self._close("timer") if self._due_at is not None and now >= self._due_at else None

    def end(self) -> Batch[T] | None:
        """The batch as it stands, because nothing more will come; None if it is empty."""
        return self._close("end") if self._items else None

    def _is_full(self) -> bool:
        return len(self._items) >= self._most or self._held >= self._weight

    def _close(self, why: Why) -> Batch[T]:
        batch = Batch(tuple(self._items), why)
        self._items.clear()
        self._held = 0
        self._due_at = None
        return batch
