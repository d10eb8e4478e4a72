"""Retries cost, successes earn, and few of the active requests are retries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.gate.spending import THROTTLED_COST, TRANSIENT_COST, RetryBudget


def test_a_full_purse_pays_for_35_retries_of_transient_failures() -> None:
    budget = RetryBudget()
    made = 0
    while budget.may(TRANSIENT_COST, retrying=0, active=1):
        budget.spend(TRANSIENT_COST)
        made += 1
    assert made == 35
    assert budget.may(THROTTLED_COST, retrying=0, active=1)


def test_a_success_earns_one_point_and_never_more_than_a_full_purse() -> None:
    budget = RetryBudget()
    budget.earn()
    assert budget.points == 500
    budget.spend(TRANSIENT_COST)
    for _ in range(13):
        budget.earn()
    assert budget.points == 499


@pytest.mark.parametrize(("active", "most"), [(0, 10), (1, 10), (109, 10), (110, 11), (500, 50)])
def test_a_tenth_of_the_active_requests_may_be_retries_and_at_least_ten(active: int, most: int) -> None:
    budget = RetryBudget()
    assert budget.may(TRANSIENT_COST, retrying=most - 1, active=active)
    assert not budget.may(TRANSIENT_COST, retrying=most, active=active)


def test_what_was_throttled_is_sent_again_however_many_do_so() -> None:
    assert RetryBudget().may(THROTTLED_COST, retrying=50, active=50)


@given(st.lists(st.sampled_from(["transient", "throttled", "success"]), max_size=400))
def test_the_purse_is_never_overdrawn_or_overfull(ends: list[str]) -> None:
    budget = RetryBudget()
    for end in ends:
        cost = TRANSIENT_COST if end == "transient" else THROTTLED_COST
        if end == "success":
            budget.earn()
        elif budget.may(cost, retrying=0, active=1):
            budget.spend(cost)
        assert 0 <= budget.points <= 500
