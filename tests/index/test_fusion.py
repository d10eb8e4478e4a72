"""One ranking out of several: what the order must keep whatever the rankings are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentrt.index.fusion import fused

RANKING = st.lists(st.integers(1, 30), unique=True)
WEIGHTS = st.floats(0.01, 1)


def numbers(scored: list[tuple[int, float]]) -> list[int]:
    return [number for number, _ in scored]


def test_the_scores_are_those_of_the_paper() -> None:
    assert fused([(1, [7, 8]), (1, [8])]) == [(8, 1 / 62 + 1 / 61), (7, 1 / 61)]


def test_of_equals_the_smaller_number_comes_first() -> None:
    assert numbers(fused([(0.5, [3, 1]), (0.5, [1, 3])])) == [1, 3]
    assert numbers(fused([(0.5, [9]), (0.5, [2])])) == [2, 9]


def test_a_ranking_without_weight_is_left_out() -> None:
    assert numbers(fused([(0.0, [1, 2]), (1.0, [2, 3])])) == [2, 3]


@given(RANKING, WEIGHTS)
def test_a_ranking_alone_stays_as_it_is(ranking: list[int], weight: float) -> None:
    assert numbers(fused([(weight, ranking)])) == ranking
    assert numbers(fused([(weight, ranking), (weight, ranking)])) == ranking


@given(st.lists(st.tuples(WEIGHTS, RANKING)))
def test_everything_that_is_ranked_comes_once_and_scores_fall(rankings: list[tuple[float, list[int]]]) -> None:
    scored = fused(rankings)
    assert sorted(numbers(scored)) == sorted({one for _, ranking in rankings for one in ranking})
    assert [score for _, score in scored] == sorted((score for _, score in scored), reverse=True)


@given(st.lists(st.tuples(WEIGHTS, RANKING), min_size=1))
def test_who_is_before_another_in_every_ranking_stays_before_it(rankings: list[tuple[float, list[int]]]) -> None:
    order = numbers(fused(rankings))
    everywhere = set.intersection(*(set(ranking) for _, ranking in rankings))
    for one in everywhere:
        for other in everywhere:
            if all(ranking.index(one) < ranking.index(other) for _, ranking in rankings):
                assert order.index(one) < order.index(other)
