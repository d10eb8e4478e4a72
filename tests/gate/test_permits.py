"""Permits shrink at once and grow slowly, and one bad moment is one reason to shrink."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentrt.gate.permits import Permits


def test_a_permit_taken_is_one_less_to_take() -> None:
    permits = Permits(2)
    permits.take()
    permits.take()
    assert (permits.in_flight, permits.free) == (2, 0)
    permits.give_back()
    assert permits.free == 1


def test_a_throttled_answer_leaves_seven_tenths() -> None:
    permits = Permits(20)
    permits.throttled()
    assert (permits.allowed, permits.limit) == (14, 20)


def test_at_least_one_is_always_allowed() -> None:
    permits = Permits(2)
    for _ in range(10):
        permits.throttled()
    assert permits.allowed == 1


def test_while_more_are_out_than_are_allowed_none_is_free() -> None:
    permits = Permits(10)
    for _ in range(10):
        permits.take()
    permits.throttled()
    assert permits.free == 0
    for _ in range(4):
        permits.give_back()
    assert permits.free == 1


def test_twenty_calls_throttled_together_shrink_it_once() -> None:
    permits = Permits(20)
    for _ in range(20):
        permits.take()
    for _ in range(20):
        permits.throttled()
        permits.give_back()
    assert permits.allowed == 14


def test_a_call_that_went_later_and_is_throttled_shrinks_it_again() -> None:
    permits = Permits(20)
    for _ in range(2):
        permits.take()
        permits.throttled()
        permits.give_back()
    assert permits.allowed == 9


def test_one_more_is_allowed_after_as_many_successes_as_are_allowed() -> None:
    permits = Permits(10)
    permits.throttled()
    for _ in range(6):
        permits.succeeded()
    assert permits.allowed == 7
    permits.succeeded()
    assert permits.allowed == 8


@given(st.integers(1, 30), st.lists(st.sampled_from(["go", "well", "throttled", "gone"]), max_size=200))
def test_it_stays_between_one_and_its_limit(limit: int, ends: list[str]) -> None:
    permits = Permits(limit)
    for end in ends:
        if end == "go" and permits.free:
            permits.take()
        elif end != "go" and permits.in_flight:
            if end == "well":
                permits.succeeded()
            elif end == "throttled":
                permits.throttled()
            permits.give_back()
        assert 1 <= permits.allowed <= limit
        assert 0 <= permits.in_flight <= limit
        assert permits.free == max(0, permits.allowed - permits.in_flight)
    for _ in range(limit * limit):
        permits.succeeded()
    assert permits.allowed == limit
