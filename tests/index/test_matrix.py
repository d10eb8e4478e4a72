"""The nearest vectors, against a search that looks at each by hand."""

from __future__ import annotations

from array import array
from math import fsum, hypot
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("numpy", reason='needs the extra "embed"')

from agentrt.index.matrix import Matrix

DIMS = 96
SPREADS = st.sampled_from([1.0, 1e-3])  # of the small one float32 knows no order


def unit(random: Random, spread: float = 1) -> bytes:
    """Any direction, or one that is near to all others."""
    numbers = [random.gauss(spread < 1, spread) for _ in range(DIMS)]
    length = hypot(*numbers)
    return array("f", [number / length for number in numbers]).tobytes()


def by_hand(held: dict[int, bytes], query: bytes, most: int) -> list[int]:
    asked = array("f", query)

    def product(vector: bytes) -> float:
        return fsum(a * b for a, b in zip(array("f", vector), asked, strict=True))

    return sorted(held, key=lambda number: (-product(held[number]), number))[:most]


def filled(held: dict[int, bytes]) -> Matrix:
    matrix = Matrix(DIMS * 4)
    matrix.keep(list(held))
    matrix.add(list(held), list(held.values()))
    return matrix


@settings(deadline=None)
@given(st.integers(0, 100), st.integers(1, 60), st.integers(), SPREADS)
def test_the_nearest_are_those_a_search_by_hand_finds(count: int, most: int, seed: int, spread: float) -> None:
    random = Random(seed)
    held = {number * 3: unit(random, spread) for number in range(1, count + 1)}
    query = unit(random, spread)

    assert filled(held).nearest([query], most) == [by_hand(held, query, most)]


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(), SPREADS)
def test_it_does_not_matter_which_queries_are_asked_together(together: int, seed: int, spread: float) -> None:
    random = Random(seed)
    matrix = filled({number: unit(random, spread) for number in range(1, 200)})
    queries = [unit(random, spread) for _ in range(together)]

    assert matrix.nearest(queries, 50) == [matrix.nearest([query], 50)[0] for query in queries]


def test_of_the_same_vectors_the_smaller_numbers_come_first() -> None:
    vector = unit(Random(1))
    matrix = filled(dict.fromkeys(range(1, 500), vector))

    assert matrix.nearest([vector], 5) == [[1, 2, 3, 4, 5]]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sets(st.integers(0, 60)), st.integers(0, 20)), max_size=8), st.integers())
def test_what_is_dropped_and_added_in_steps_is_what_was_there_at_once(
    steps: list[tuple[set[int], int]], seed: int
) -> None:
    random, matrix = Random(seed), Matrix(DIMS * 4)
    held: dict[int, bytes] = {}
    next_number = 1
    for gone, more in steps:
        new = {next_number + place: unit(random) for place in range(more)}
        next_number += more
        held = {number: vector for number, vector in held.items() if number not in gone} | new
        matrix.keep(list(held))
        assert matrix.last == max(held.keys() - new.keys(), default=0)
        matrix.add(list(new), list(new.values()))
        assert len(matrix) == len(held)
    query = unit(random)
    assert matrix.nearest([query], 10) == [by_hand(held, query, 10)]
