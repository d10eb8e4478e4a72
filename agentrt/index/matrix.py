"""Vectors in memory, searched exactly: all queries are compared with all vectors in one multiplication.

This file needs numpy, so it is imported when the first vectors are searched.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SLACK = 1e-5
"""More than float32 errs in the product of two unit vectors; what lies within it is put in order in float64."""


class Matrix:
    """Unit vectors of `size` bytes (float32, little-endian), each under a number; numbers only ever grow."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._rows: NDArray[np.float32] = np.empty((0, size // 4), np.float32)
        self._numbers: NDArray[np.int64] = np.empty(0, np.int64)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def last(self) -> int:
        """The greatest number that is in; 0 if none is."""
        return int(self._numbers[self._count - 1]) if self._count else 0

    def keep(self, numbers: Sequence[int]) -> None:
        """Forget all but these, and make room for those of them that are still to come."""
        if len(numbers) > len(self._numbers):
            self._grow(max(len(numbers), len(self._numbers) * 5 // 4))
        stays = np.isin(self._numbers[: self._count], np.fromiter(numbers, np.int64, len(numbers)))
        if stays.all():
            return
        first = int(stays.argmin())  # nothing before it moves
        moved = stays[first:]
        self._count, old = first + int(moved.sum()), self._count
        self._numbers[first : self._count] = self._numbers[first:old][moved]
        self._rows[first : self._count] = self._rows[first:old][moved]

    def add(self, numbers: Sequence[int], vectors: Sequence[bytes]) -> None:
        """Append these, for which `keep` has made room; the numbers rise and are all greater than `last`."""
        end = self._count + len(numbers)
        self._numbers[self._count : end] = numbers
        self._rows[self._count : end] = self._read(vectors)
        self._count = end

    def nearest(self, queries: Sequence[bytes], most: int) -> list[list[int]]:
        """For each query at most `most` numbers, the nearest first; of two as near the smaller one first."""
        asked = self._read(queries)
        products = asked @ self._rows[: self._count].T
        return [self._best(query, row, most) for query, row in zip(asked, products, strict=True)]

    def _best(self, query: NDArray[np.float32], products: NDArray[np.float32], most: int) -> list[int]:
        """So exact that it does not matter which queries were multiplied together: BLAS adds up in another order."""
        candidates = np.arange(self._count)
        if most < self._count:
            least = np.partition(products, -most)[-most] - _SLACK
            candidates = np.flatnonzero(products >= least)
        exact = np.einsum("ij,j->i", self._rows[candidates].astype(np.float64), query.astype(np.float64))
        numbers = self._numbers[candidates]
        order = np.lexsort((numbers, -exact))[:most]
        return [int(number) for number in numbers[order]]

    def _read(self, vectors: Sequence[bytes]) -> NDArray[np.float32]:
        return np.frombuffer(b"".join(vectors), "<f4").reshape(len(vectors), self.size // 4)

    def _grow(self, capacity: int) -> None:
        numbers, rows = self._numbers, self._rows
        self._numbers, self._rows = np.empty(capacity, np.int64), np.empty((capacity, self.size // 4), np.float32)
        self._numbers[: self._count], self._rows[: self._count] = numbers[: self._count], rows[: self._count]
