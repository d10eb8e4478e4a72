"""Each row of the retry table, and the spread of the pauses."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.errors import (
    ContextTooLong,
    ProviderError,
    ProviderExhausted,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnavailable,
    ProviderUnreachable,
    ReplyIncomplete,
)
from agentrt.gate.backoff import Decision, decide

TRANSIENT = [ProviderUnreachable, ProviderUnavailable, ReplyIncomplete]
NEVER = [ProviderRefused, ContextTooLong, ProviderError]
SEEDS = st.integers(0, 2**32)


@pytest.mark.parametrize("kind", NEVER)
def test_what_asking_again_cannot_mend_is_not_asked_again(kind: type[ProviderError]) -> None:
    assert decide(kind("no", retry_after=1.0), 0, None, Random(1)) == Decision(again=False)


def test_a_key_without_quota_is_exhausted_and_asked_no_more() -> None:
    assert decide(ProviderExhausted("no money"), 0, None, Random(1)) == Decision(again=False, exhausted=True)


@pytest.mark.parametrize(
    ("error", "cost", "ill"),
    [
        (ProviderUnreachable("no connection"), 14, True),
        (ProviderUnreachable("no first byte"), 14, True),
        *((ProviderUnavailable("ill", status=status), 14, True) for status in (500, 502, 503, 504, 529)),
        (ProviderUnavailable("timeout", status=408), 14, False),
        (ProviderUnavailable("conflict", status=409), 14, False),
        (ProviderThrottled("slow down", status=429), 5, False),
        (ProviderThrottled("capacity", status=498), 5, False),
        (ProviderThrottled("in flight", status=402), 5, False),
        (ReplyIncomplete("cut"), 14, True),
    ],
)
def test_what_a_retry_costs_and_whether_the_provider_is_ill(error: ProviderError, cost: int, ill: bool) -> None:
    decision = decide(error, 0, None, Random(1))
    assert (decision.again, decision.cost, decision.ill, decision.exhausted) == (True, cost, ill, False)


def test_the_last_failure_tells_of_the_providers_health_like_the_first() -> None:
    assert decide(ProviderUnavailable("ill", status=500), 2, None, Random(1)).ill


@pytest.mark.parametrize("most", [0, 1, 5])
def test_a_call_may_have_fewer_retries_or_more(most: int) -> None:
    again = [decide(ProviderUnavailable("ill"), retries, None, Random(1), most=most).again for retries in range(7)]
    assert sum(again) == most


def test_what_must_not_be_done_twice_is_not_done_twice_once_shown_either() -> None:
    error = ReplyIncomplete("cut")
    error.shown = True
    assert not decide(error, 0, None, Random(1), most=0).again


@pytest.mark.parametrize("kind", [*TRANSIENT, ProviderThrottled])
def test_a_call_is_made_again_twice_at_most(kind: type[ProviderError]) -> None:
    again = [decide(kind("ill"), retries, None, Random(1)).again for retries in range(4)]
    assert again == [True, True, False, False]


@pytest.mark.parametrize("kind", [*TRANSIENT, ProviderThrottled])
def test_a_reply_that_was_shown_in_part_is_asked_for_again_once(kind: type[ProviderError]) -> None:
    error = kind("cut")
    error.shown = True
    assert [decide(error, retries, None, Random(1)).again for retries in range(3)] == [True, False, False]


@pytest.mark.parametrize("kind", TRANSIENT)
def test_a_passing_illness_puts_only_its_own_call_to_rest(kind: type[ProviderError]) -> None:
    assert not decide(kind("ill"), 0, None, Random(1)).hold


def test_a_throttled_call_puts_the_whole_gate_on_hold_even_when_it_gives_up() -> None:
    assert decide(ProviderThrottled("slow down"), 0, None, Random(1)).hold
    last = decide(ProviderThrottled("slow down", retry_after=30.0), 2, None, Random(1))
    assert (last.again, last.hold) == (False, True)
    assert last.delay >= 30.0


def test_an_ill_provider_that_names_a_time_means_everybody() -> None:
    assert decide(ProviderUnavailable("overloaded", status=529, retry_after=2.0), 0, None, Random(1)).hold


@given(SEEDS, st.integers(0, 12), st.sampled_from([(ProviderUnavailable, 0.25), (ProviderThrottled, 1.0)]))
def test_the_pause_is_drawn_from_an_interval_that_doubles_up_to_20_s(
    seed: int, retries: int, row: tuple[type[ProviderError], float]
) -> None:
    kind, base = row
    longest = min(20.0, base * 2**retries)
    assert 0 <= decide(kind("ill"), retries, None, Random(seed)).delay <= longest


def test_the_pauses_fill_the_whole_interval() -> None:
    random = Random(1)
    delays = [decide(ProviderUnavailable("ill"), 1, None, random).delay for _ in range(1000)]
    assert min(delays) < 0.01
    assert max(delays) > 0.49
    assert 0.23 < sum(delays) / 1000 < 0.27


@given(SEEDS, st.floats(0, 3600))
def test_no_pause_is_shorter_than_the_provider_asked_for(seed: int, asked: float) -> None:
    delay = decide(ProviderThrottled("slow down", retry_after=asked), 0, None, Random(seed)).delay
    assert asked <= delay <= asked + min(5, asked / 4)


@given(SEEDS, st.floats(0.1, 60), st.floats(0, 60))
def test_a_retry_after_beyond_the_deadline_fails_at_once(seed: int, asked: float, left: float) -> None:
    decision = decide(ProviderThrottled("slow down", retry_after=asked), 0, left, Random(seed))
    assert decision.again == (decision.delay <= left)
    assert decision.late != decision.again
    assert not (decision.again and asked > left)


def test_a_pause_that_would_outlast_the_deadline_is_not_begun() -> None:
    assert not decide(ProviderUnavailable("ill"), 0, 0.0, Random(1)).again


def test_a_call_that_has_no_retry_left_is_not_late() -> None:
    assert not decide(ProviderThrottled("slow down", retry_after=9.0), 2, 1.0, Random(1)).late
