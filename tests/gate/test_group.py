"""A group keeps to what is configured, heeds what the provider tells, and is not stopped by it."""

from __future__ import annotations

from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.gate.group import Group
from agentrt.gate.headers import Allowance
from agentrt.gate.limits import Limits

ROUNDING = 1e-9


def a_group(requests: float | None = 600, tokens: float | None = None) -> Group:
    """Ten requests a second and nine at once, if not told otherwise."""
    return Group(Limits(requests=requests, tokens=tokens, burst=1))


def told(group: Group, now: float, *, age: float = 0.0, kind: str = "requests", **said: float) -> None:
    group.learn({kind: Allowance(**said)}, now, now - age)


def rate(group: Group) -> float:
    allowed = group.in_force()[0]
    assert allowed is not None
    return allowed


def passes(group: Group, seconds: float, *, start: float = 0.0, tokens: int = 0) -> int:
    """How many calls leave in so many seconds, one behind the other."""
    now, passed = start, 0
    while (now := now + max(group.waits(tokens, now))) < start + seconds:
        group.take(tokens, now)
        passed += 1
    return passed


def test_requests_and_tokens_are_waited_for_apart() -> None:
    group = Group(Limits(requests=60, tokens=6000, per=60, burst=2))
    assert group.waits(50, 0.0) == (0, 0)
    group.take(190, 0.0)
    assert group.waits(50, 0.0) == pytest.approx((1 / 0.99, 50 / 99))
    assert group.waits(50, 0.0, (2, 100)) == pytest.approx((3 / 0.99, 150 / 99))


def test_what_is_not_limited_is_not_waited_for() -> None:
    group = a_group(None)
    assert group.waits(10**9, 0.0, (10**6, 10**9)) == (0.0, 0.0)
    assert (group.levels(0.0), group.in_force()) == ((None, None), (None, None))
    group.take(5, 0.0)
    group.give_back(1, 5, 0.0)
    group.restart(9.0)


def test_what_is_given_back_can_be_taken_again() -> None:
    group = Group(Limits(requests=600, tokens=60_000))
    before = group.levels(0.0)
    group.take(700, 0.0)
    group.give_back(1, 700, 0.0)
    assert group.levels(0.0) == before


def test_after_a_pause_calls_leave_one_by_one() -> None:
    group = a_group(600, 60_000)
    group.restart(5.0)
    assert group.waits(100, 5.0) == (0.0, 0.0)
    group.take(100, 5.0)
    assert group.waits(100, 5.0) == pytest.approx((1 / 9.9, 0))


def test_where_only_tokens_are_limited_it_is_by_them() -> None:
    group = a_group(None, 60_000)
    group.restart(5.0)
    assert group.waits(100, 5.0)[1] == pytest.approx(99 / 990)


# ---- limits that are told --------------------------------------------------------------------------------


def test_a_lower_limit_holds_at_once() -> None:
    group = a_group(600)
    told(group, 0.0, limit=300)
    assert rate(group) == 5
    assert passes(group, 60, start=1.0) <= 300


def test_a_higher_limit_than_configured_changes_nothing() -> None:
    group = a_group(600)
    told(group, 0.0, limit=6000)
    told(group, 3600.0, limit=6000)
    assert rate(group) == 10


def test_a_limit_rises_by_a_tenth_a_minute_up_to_what_is_configured() -> None:
    group = a_group(600)
    told(group, 0.0, limit=300)
    for second in range(1, 61):
        told(group, float(second), limit=600)
    assert rate(group) == pytest.approx(5.5)
    for second in range(61, 600):
        told(group, float(second), limit=600)
    assert rate(group) == 10


@given(st.lists(st.floats(0, 3600), max_size=30))
def test_no_silence_is_made_up_for_by_a_leap(gaps: list[float]) -> None:
    group = a_group(600)
    told(group, 0.0, limit=300)
    now, before = 0.0, 5.0
    for gap in gaps:
        now += gap
        told(group, now, limit=600)
        assert rate(group) <= before * 1.1 ** (min(gap, 60) / 60) + ROUNDING
        before = rate(group)


def test_the_window_is_the_profiles_unless_the_header_names_one() -> None:
    group = Group(Limits(requests=600), {"requests": 86_400})
    told(group, 0.0, limit=86_400)
    assert rate(group) == 1
    group = Group(Limits(requests=600), {"requests": 86_400})
    told(group, 0.0, limit=2, window=1)
    assert rate(group) == 2


def test_tokens_are_learned_like_requests() -> None:
    group = Group(Limits(tokens=60_000))
    told(group, 0.0, kind="tokens", limit=30_000)
    assert group.in_force() == (None, 500)


def test_where_nothing_is_configured_the_told_limit_is_kept_as_the_provider_has_it() -> None:
    group = a_group(None)
    told(group, 0.0, limit=60, remaining=40)
    assert group.levels(0.0)[0] == pytest.approx(40)
    assert passes(group, 60) in range(95, 101)
    assert rate(group) == 1


def test_what_only_headers_told_is_forgotten_when_nothing_has_been_told_for_long() -> None:
    group = a_group(None)
    told(group, 0.0, limit=1, remaining=1)
    group.take(0, 0.0)
    group.take(0, 0.0)
    wait = group.waits(0, 0.0)[0]
    assert 60 < wait <= 300
    assert group.waits(0, 300.0)[0] == 0
    assert group.in_force() == (None, None)


def test_a_lowered_limit_wears_off_when_the_provider_falls_silent() -> None:
    group = a_group(600)
    told(group, 0.0, limit=300)
    for minute in range(5):
        group.waits(0, 60.0 * minute)
    assert rate(group) == 5
    for minute in range(5, 15):
        group.waits(0, 60.0 * minute)
    assert rate(group) == 10


# ---- what remains ----------------------------------------------------------------------------------------


def test_what_remains_lowers_the_level_and_never_raises_it() -> None:
    group = a_group(600)
    told(group, 0.0, remaining=3)
    assert group.levels(0.0)[0] == 3
    told(group, 0.0, remaining=500)
    assert group.levels(0.0)[0] == 3


def test_an_older_answer_speaks_weaker() -> None:
    group = a_group(600)
    told(group, 100.0, remaining=3, age=0.5)
    assert group.levels(100.0)[0] == 8
    told(group, 100.0, remaining=3, age=2.0)
    assert group.levels(100.0)[0] == 8


def test_where_the_age_of_an_answer_is_not_known_it_counts_as_old() -> None:
    group = a_group(600)
    group.learn({"requests": Allowance(remaining=0)}, 0.0)
    assert group.levels(0.0)[0] == 9


def test_answers_that_say_that_nothing_is_left_cost_no_rate() -> None:
    """At full speed a small limit is used up all the time; each answer says so, half a second late."""
    group = a_group(60)
    now, passed = 0.0, 0
    while now < 600:
        now += group.waits(0, now)[0]
        group.take(0, now)
        passed += 1
        told(group, now + 0.5, remaining=0, limit=60, reset=60, age=0.5)
    assert passed >= 0.95 * 600


def test_nothing_left_until_then_holds_everybody_until_then() -> None:
    group = a_group(600)
    told(group, 10.0, limit=600, remaining=0, reset=20)
    assert group.waits(0, 10.0)[0] == 20
    assert group.waits(0, 29.0, (3, 0))[0] == pytest.approx(1 + 3 / 9.9)
    assert group.waits(0, 30.0)[0] == 0
    group.take(0, 30.0)
    assert group.waits(0, 30.0)[0] == pytest.approx(1 / 9.9)


def test_a_hold_is_not_ended_by_an_answer_that_tells_of_an_earlier_reset() -> None:
    group = a_group(None)
    told(group, 10.0, remaining=0, reset=20)
    told(group, 11.0, remaining=0, reset=5)
    told(group, 12.0, remaining=0, reset=0)
    assert group.waits(0, 12.0)[0] == 18


def test_no_tokens_left_hold_whoever_needs_some() -> None:
    group = a_group(None, 60_000)
    told(group, 0.0, kind="tokens", remaining=0, reset=20)
    assert group.waits(99, 0.0) == pytest.approx((0, 20 + 98 / 990))


def test_nothing_left_holds_where_no_limit_is_known_either() -> None:
    group = a_group(None)
    told(group, 0.0, remaining=0, reset=20)
    assert group.waits(0, 5.0) == (15, 0)
    assert group.waits(0, 20.0) == (0, 0)


def test_a_bucket_that_will_be_full_in_a_window_holds_nobody() -> None:
    group = a_group(600)
    told(group, 10.0, limit=600, remaining=0, reset=59.9)
    assert group.waits(0, 10.0)[0] == pytest.approx(1 / 9.9)


def test_one_that_is_in_debt_holds_until_it_is_paid() -> None:
    group = a_group(None, 60_000)
    told(group, 0.0, kind="tokens", limit=60_000, remaining=0, reset=75)
    assert group.waits(1, 0.0)[1] == 15


# ---- bad headers -----------------------------------------------------------------------------------------

BAD = st.sampled_from([0.0, 1e-300, 0.5, 1.0, 7.0, 1e12, 1e300, 1.7e308])
BAD_ALLOWANCE = st.builds(
    Allowance,
    st.none() | BAD,
    st.none() | BAD,
    st.none() | BAD,
    st.none() | st.sampled_from([0.0, 1.0, 60.0, 86_400.0]),
)


@given(
    st.sampled_from([None, 1.0, 600.0]),
    st.sampled_from([None, 60_000.0]),
    st.lists(st.tuples(BAD_ALLOWANCE, BAD_ALLOWANCE), min_size=1, max_size=5),
)
def test_no_header_stops_a_key_for_ever(
    requests: float | None, tokens: float | None, answers: list[tuple[Allowance, Allowance]]
) -> None:
    group = Group(Limits(requests=requests, tokens=tokens))
    now = 0.0
    for first, second in answers:
        group.learn({"requests": first, "tokens": second}, now, now)
        group.take(1000, now)
        wait = max(group.waits(1000, now))
        assert isfinite(wait)
        now += 1.0
    waited = 0.0
    while (wait := max(group.waits(1000, now + waited))) > 0:
        waited += wait + 1e-6
    hundredfold = 100 * (len(answers) + 1) * max(60 / requests if requests else 0, 2.0)
    assert waited <= 2 * 86_400 + hundredfold


@pytest.mark.parametrize("limit", [0.0, 0.5, 1e13, 1e300])
def test_a_limit_that_can_be_none_is_passed_over(limit: float) -> None:
    for group in (a_group(600), a_group(None)):
        before = group.in_force()
        told(group, 0.0, limit=limit)
        assert group.in_force() == before


def test_a_limit_far_below_the_configured_one_counts_as_a_hundredth_of_it() -> None:
    group = a_group(600)
    told(group, 0.0, limit=1)
    assert rate(group) == pytest.approx(0.1)


def test_a_reset_beyond_the_window_holds_for_one_window() -> None:
    group = a_group(600)
    told(group, 0.0, remaining=0, reset=1e9)
    assert group.waits(0, 0.0)[0] == 60


# ---- output ----------------------------------------------------------------------------------------------


def test_the_expected_output_is_500_tokens_until_twenty_are_known() -> None:
    group = a_group()
    for _ in range(19):
        group.produced(7)
    assert group.expected_output() == 500
    group.produced(7)
    assert group.expected_output() == 7


def test_nine_in_ten_outputs_are_within_the_expected_one() -> None:
    group = a_group()
    for tokens in range(100):
        group.produced(tokens)
    assert group.expected_output() == 90


def test_old_outputs_are_forgotten() -> None:
    group = a_group()
    for tokens in [5000] * 200 + [10] * 200:
        group.produced(tokens)
    assert group.expected_output() == 10


def test_who_waits_for_a_full_bucket_goes_while_its_limit_wears_off() -> None:
    """A limit that rose at every look was never reached: each look found the bucket a little larger, and not full."""
    group = Group(Limits(tokens=60_000, per=60, burst=1))
    told(group, 0.0, kind="tokens", limit=50_000)
    now, looks = 400.0, 0
    group.take(900, now)
    while (wait := max(group.waits(2_000, now))) > 0:
        now, looks = now + wait + 2e-6, looks + 1
        assert looks < 10
    assert now < 403
