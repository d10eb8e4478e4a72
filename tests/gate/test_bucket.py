"""A bucket never lets out more than its limit and burst, in no window of time."""

from __future__ import annotations

from itertools import accumulate
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrt.gate.bucket import Bucket, keeping_below
from agentrt.gate.limits import Limits
from agentrt.testing.windows import most_within

LIMITS = st.floats(0.5, 10_000)
PERIODS = st.floats(0.1, 3600)
BURSTS = st.floats(0, 60)
BUCKETS = st.builds(Bucket.within, LIMITS, PERIODS, BURSTS)
AMOUNTS = st.integers(1, 500)
GAPS = st.floats(0, 30)

ROUNDING = 1e-6


@given(LIMITS, PERIODS, BURSTS, st.lists(st.tuples(AMOUNTS, GAPS, st.booleans()), max_size=40))
def test_no_window_is_above_the_limit_and_the_burst(
    limit: float, per: float, burst: float, asked: list[tuple[int, float, bool]]
) -> None:
    bucket = Bucket.within(limit, per, burst)
    now, taken = 0.0, list[tuple[float, int]]()
    for amount, gap, patient in asked:
        now += bucket.wait(amount, now) if patient else gap
        if bucket.wait(amount, now) < ROUNDING:
            bucket.take(amount, now)
            taken.append((now, amount))
    for i, (start, _) in enumerate(taken):
        sums = accumulate(amount for _, amount in taken[i:])
        for (end, _), total in zip(taken[i:], sums, strict=True):
            largest = max(amount for _, amount in taken[i:])
            once = max(largest, burst * limit / per)
            assert total <= (end - start) * limit / per + once + ROUNDING * (1 + limit / per) * len(taken)


@given(BUCKETS, AMOUNTS, AMOUNTS, GAPS)
def test_after_the_wait_there_is_enough_and_before_it_there_is_not(
    bucket: Bucket, first: int, then: int, gap: float
) -> None:
    bucket.take(first, 0.0)
    wait = bucket.wait(then, gap)
    assert bucket.wait(then, gap + wait) == pytest.approx(0.0, abs=ROUNDING)
    if wait > 0:
        assert bucket.wait(then, gap + wait / 2) == pytest.approx(wait / 2, abs=ROUNDING)


@given(BUCKETS, st.lists(AMOUNTS, min_size=1, max_size=20))
def test_what_stands_ahead_is_counted_to_the_moment_at_which_it_will_have_been_taken(
    bucket: Bucket, line: list[int]
) -> None:
    bucket.take(500 + bucket.capacity, 0.0)
    foreseen = bucket.wait(line[-1], 0.0, ahead=sum(line[:-1]))
    now = 0.0
    for amount in line:
        now += bucket.wait(amount, now)
        bucket.take(amount, now)
    assert now == pytest.approx(foreseen, rel=1e-9, abs=ROUNDING)


@given(BUCKETS, AMOUNTS, GAPS, st.integers(0, 1000), GAPS)
def test_nothing_given_back_lifts_it_above_its_capacity(
    bucket: Bucket, taken: int, gap: float, returned: int, later: float
) -> None:
    bucket.take(taken, 0.0)
    bucket.give_back(returned, gap)
    assert bucket.level(gap) <= bucket.capacity
    assert bucket.level(gap + later) <= bucket.capacity


@given(BUCKETS, AMOUNTS, AMOUNTS, GAPS)
def test_giving_back_undoes_a_take(bucket: Bucket, first: int, second: int, gap: float) -> None:
    bucket.take(first, 0.0)
    before = bucket.level(gap)
    bucket.take(second, gap)
    bucket.give_back(second, gap)
    assert bucket.level(gap) == pytest.approx(before, abs=ROUNDING)


def test_it_keeps_a_hundredth_of_the_rate_in_reserve_and_of_the_burst_a_tenth_of_a_second_but_one_unit_at_least() -> (
    None
):
    bucket = Bucket.within(3000, per=60, burst=0.5)
    assert bucket.rate == pytest.approx(49.5)
    assert bucket.capacity == pytest.approx(25 - 5)
    assert Bucket.within(300, per=60, burst=1).capacity == pytest.approx(5 - 1)


@settings(max_examples=15)
@given(st.integers(1, 10_000), st.integers(0))
def test_by_default_no_sliding_minute_of_an_hour_at_ten_times_the_rate_has_more_than_the_limit(
    requests: int, seed: int
) -> None:
    limits, random = Limits(requests=requests), Random(seed)
    bucket = Bucket.within(requests, limits.per, limits.burst)
    now = wanted = 0.0
    left = list[tuple[float, int]]()
    while now < 3600:
        gap = bucket.wait(1, now) + random.uniform(0, 0.2)  # the loop has other things to do, too
        now += gap
        wanted += 10 * gap * requests / 60
        if wanted >= 1 and bucket.wait(1, now) == 0:
            amount = max(1, min(int(wanted), int(bucket.level(now))))
            bucket.take(amount, now)
            wanted -= amount
            left.append((now, amount))
    assert most_within(left, 60) <= requests
    assert sum(amount for _, amount in left) >= 0.65 * 60 * requests - 1


def test_where_the_burst_is_less_than_one_unit_single_units_leave_evenly() -> None:
    bucket = Bucket.within(60, per=60, burst=0.5)
    bucket.take(1, 0.0)
    assert bucket.wait(1, 0.0) == pytest.approx(1 / 0.99)


def test_more_than_the_capacity_waits_for_a_full_bucket_and_leaves_a_debt() -> None:
    bucket = Bucket(rate=10, capacity=100)
    bucket.take(40, 0.0)
    assert bucket.wait(250, 0.0) == pytest.approx(4)
    bucket.take(250, 4.0)
    assert bucket.level(4.0) == pytest.approx(-150)
    assert bucket.wait(1, 4.0) == pytest.approx(15.1)


def test_a_long_idle_time_is_worth_no_more_than_the_capacity() -> None:
    bucket = Bucket(rate=10, capacity=5)
    bucket.take(5, 0.0)
    assert bucket.level(3600.0) == 5


def test_a_clock_that_steps_back_brings_nothing() -> None:
    bucket = Bucket(rate=10, capacity=5)
    bucket.take(5, 100.0)
    bucket.take(1, 99.0)
    assert bucket.level(100.0) == -1


def test_after_a_pause_single_units_leave_one_by_one() -> None:
    bucket = Bucket(rate=2, capacity=50)
    bucket.restart(10.0)
    assert bucket.level(10.0) == 1
    assert bucket.wait(1, 3.0, ahead=1) == pytest.approx(7.5)
    bucket.take(1, 10.0)
    assert bucket.wait(1, 10.0) == pytest.approx(0.5)


def test_a_pause_forgives_no_debt() -> None:
    bucket = Bucket(rate=1, capacity=5)
    bucket.take(25, 0.0)
    bucket.restart(10.0)
    assert bucket.level(10.0) == -10


def test_another_rate_counts_from_the_moment_of_the_change() -> None:
    bucket = Bucket(rate=10, capacity=100)
    bucket.take(100, 0.0)
    bucket.change(1, 50, now=2.0)
    assert bucket.level(2.0) == pytest.approx(20)
    assert bucket.level(12.0) == pytest.approx(30)


def test_a_larger_capacity_is_not_full_at_once_and_a_smaller_one_keeps_what_fits() -> None:
    bucket = Bucket(rate=1, capacity=10)
    bucket.change(1, 100, now=0.0)
    assert bucket.level(0.0) == 10
    bucket.change(1, 3, now=0.0)
    assert bucket.level(0.0) == 3


def test_a_change_forgives_no_debt() -> None:
    bucket = Bucket(rate=1, capacity=5)
    bucket.take(25, 0.0)
    bucket.change(100, 100, now=0.0)
    assert bucket.level(0.0) == -20


def test_a_change_during_a_pause_leaves_the_pause() -> None:
    bucket = Bucket(rate=1, capacity=5)
    bucket.restart(10.0)
    bucket.change(2, 3, now=4.0)
    assert bucket.level(10.0) == 1
    assert bucket.level(10.5) == pytest.approx(2)


@given(BUCKETS, AMOUNTS, st.floats(0, 1000), GAPS)
def test_who_knows_better_lowers_the_level_and_never_raises_it(
    bucket: Bucket, taken: int, level: float, gap: float
) -> None:
    bucket.take(taken, 0.0)
    before = bucket.level(gap)
    bucket.lower(level, gap)
    assert bucket.level(gap) == pytest.approx(min(before, level), abs=ROUNDING)


@given(
    st.lists(st.tuples(st.floats(0.5, 1000), st.floats(0, 10), st.floats(0, 20), AMOUNTS), min_size=1, max_size=30),
)
def test_while_the_limit_changes_no_more_leaves_than_the_highest_allowed(
    steps: list[tuple[float, float, float, int]],
) -> None:
    limit, burst = max(step[0] for step in steps), max(step[1] for step in steps)
    bucket = Bucket.within(limit, 1, burst)
    now = total = 0.0
    for rate, seconds, gap, amount in steps:
        bucket.change(*keeping_below(rate, seconds), now)
        now += gap
        if bucket.wait(amount, now) == 0 and amount <= bucket.capacity:
            bucket.take(amount, now)
            total += amount
    assert total <= limit * (now + burst) + ROUNDING * limit
