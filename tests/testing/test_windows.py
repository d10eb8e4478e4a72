"""What windows let through, and what their record says of it."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.errors import SettingInvalid
from agentrt.testing.windows import Kind, Quota, Seen, Unit, Window, most_within

KINDS: list[Kind] = ["fixed", "sliding", "bucket"]


def times(seen: list[Seen]) -> list[float]:
    return [one.at for one in seen]


def test_a_fixed_window_lets_twice_its_limit_pass_around_the_moment_it_begins_anew() -> None:
    quota = Quota(Window(3, per=10, kind="fixed"))
    for now in (9.0, 9.1, 9.2, 9.3, 10.0, 10.1, 10.2, 10.3):
        quota.knock(0, now)
    assert times(quota.passed) == [9.0, 9.1, 9.2, 10.0, 10.1, 10.2]
    assert [one.until for one in quota.refused] == pytest.approx([10.0, 20.0])
    assert quota.most(10) == 6


def test_a_sliding_window_has_room_again_when_what_it_counts_is_so_long_ago() -> None:
    quota = Quota(Window(3, per=10, kind="sliding"))
    for now in (1.0, 2.0, 3.0, 4.0, 10.9, 11.0, 11.5):
        quota.knock(0, now)
    assert times(quota.passed) == [1.0, 2.0, 3.0, 11.0]
    assert [one.until for one in quota.refused] == pytest.approx([11.0, 11.0, 12.0])


def test_a_bucket_lets_its_burst_out_at_once_and_then_its_rate() -> None:
    quota = Quota(Window(50, per=1, burst=10))
    assert [quota.knock(0, 0.0).refused is None for _ in range(12)] == [True] * 10 + [False] * 2
    assert quota.refused[0].until == pytest.approx(0.02)
    assert quota.knock(0, 0.02).refused is None
    assert quota.knock(0, 0.03).refused is not None


def test_requests_and_tokens_are_counted_both_or_not_at_all() -> None:
    requests, tokens = Window(10), Window(100, of="tokens", kind="fixed")
    quota = Quota(requests, tokens)
    assert quota.knock(90, 0.0).refused is None
    assert quota.knock(20, 1.0).refused == tokens
    assert [standing.left for standing in quota.standings(1.0)] == pytest.approx([9 + 1 / 6, 10])
    assert quota.knock(10, 1.0).refused is None
    assert quota.most(60, "tokens") == 100


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_larger_than_the_window_passes_where_it_is_empty_and_is_paid_off(kind: Kind) -> None:
    quota = Quota(Window(100, per=10, of="tokens", kind=kind))
    assert quota.knock(250, 10.0).refused is None
    (standing,) = quota.standings(10.0)
    assert standing.left == 0
    assert standing.full_in == pytest.approx(30 if kind == "fixed" else 25)
    assert quota.knock(1, 19.9).refused is not None
    assert quota.knock(100, 40.0).refused is None


def test_a_retry_after_is_rounded_up_and_never_nothing() -> None:
    window = Window(50, per=1, burst=1)
    for grain, until in ((1.0, 1.0), (0.001, 0.02), (0.0, 0.0)):
        quota = Quota(window, grain=grain)
        quota.knock(0, 0.0)
        assert quota.knock(0, 0.0).until == pytest.approx(until)
    quota = Quota(window)
    quota.knock(0, 0.0)
    assert quota.knock(0, 0.02 - 1e-8).until >= 0.02


def test_who_comes_before_its_retry_after_is_over_is_early() -> None:
    quota = Quota(Window(1, per=10, kind="sliding"))
    for now in (0.0, 1.0, 1.05, 5.0, 10.0, 10.0, 20.0):
        quota.knock(0, now)
    assert times(quota.early()) == [1.05, 5.0]
    assert times(quota.early(grace=0.1)) == [5.0]


@pytest.mark.parametrize(("limit", "per", "burst"), [(0, 1, None), (float("nan"), 1, None), (1, 0, None), (1, 1, -1)])
def test_a_window_that_lets_nothing_through_is_an_error(limit: float, per: float, burst: float | None) -> None:
    with pytest.raises(SettingInvalid, match="expected a number above 0"):
        Window(limit, per=per, burst=burst)


def test_a_quota_needs_a_window_and_only_a_bucket_has_a_burst() -> None:
    with pytest.raises(SettingInvalid, match="at least one Window"):
        Quota()
    with pytest.raises(SettingInvalid, match="only a bucket"):
        Window(1, kind="fixed", burst=2)


ASKED = st.lists(st.tuples(st.floats(0, 3), st.integers(1, 40)), min_size=1, max_size=150)


@given(asked=ASKED, kind=st.sampled_from(KINDS), of=st.sampled_from(["requests", "tokens"]), per=st.floats(0.5, 20))
def test_no_stretch_of_time_has_more_than_its_kind_of_window_allows(
    asked: list[tuple[float, int]], kind: Kind, of: Unit, per: float
) -> None:
    limit = 5 if of == "requests" else 40
    quota = Quota(Window(limit, per=per, of=of, kind=kind))
    now = 0.0
    for pause, tokens in asked:
        now += pause
        quota.knock(tokens, now)
    allowed = {"fixed": 2 * limit, "sliding": limit, "bucket": 2 * limit}[kind]
    assert quota.most(per, of) <= allowed * (1 + 1e-6)


@given(asked=ASKED, kind=st.sampled_from(KINDS))
def test_who_keeps_to_the_retry_after_is_let_through_where_nobody_comes_between(
    asked: list[tuple[float, int]], kind: Kind
) -> None:
    quota = Quota(Window(40, per=7, of="tokens", kind=kind))
    now = 0.0
    for pause, tokens in asked:
        now += pause
        seen = quota.knock(tokens, now)
        if seen.refused is not None:
            now = seen.until
            assert quota.knock(tokens, now).refused is None
    assert quota.early() == []


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9)), max_size=60), st.integers(1, 12))
def test_the_most_in_a_stretch_is_what_counting_every_stretch_finds(steps: list[tuple[int, int]], seconds: int) -> None:
    now, amounts = 0, list[tuple[float, float]]()
    for step, amount in steps:
        now += step
        amounts.append((now, amount))
    counted = [sum(amount for at, amount in amounts if end - seconds < at <= end) for end, _ in amounts]
    assert most_within(amounts, seconds) == max(counted, default=0)


def test_a_bucket_keeps_its_rate_for_an_hour() -> None:
    random, quota, now = Random(1), Quota(Window(50, per=1, burst=10)), 0.0
    while now < 3600:
        now += random.expovariate(100)
        quota.knock(0, now)
    assert len(quota.passed) == pytest.approx(50 * 3600, rel=0.01)
    assert quota.most(1) <= 60
    assert quota.most(60) <= 3010
    assert all(before.at <= after.at for before, after in pairwise(quota.seen))
