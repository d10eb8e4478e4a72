"""One ranking out of several. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_K = 60
"""Reciprocal rank fusion as in Cormack, Clarke, Büttcher, SIGIR 2009: so large a k trusts no ranking's first places."""


def fused(rankings: Iterable[tuple[float, Sequence[int]]]) -> list[tuple[int, float]]:
    """What stands in any of the rankings with its score, the best first; the smaller number first among equals.

    Args:
        rankings: Each with its weight, and each with everything once, the best first. One without weight is left out.
    """
    scores: dict[int, float] = {}
    for weight, ranking in rankings:
        if not weight:
            continue
        for rank, one in enumerate(ranking, 1):
            scores[one] = scores.get(one, 0.0) + weight / (_K + rank)
    return sorted(scores.items(), key=lambda scored: (-scored[1], scored[0]))
