"""A breaker opens when half of the calls fail, lets exactly one probe through, and is not kept open by old news."""

from __future__ import annotations

from math import inf
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agentrt.gate.breaker import Breaker


def closed() -> Breaker:
    return Breaker(Random(1))


def opened(at: float = 0.0) -> Breaker:
    breaker = closed()
    for _ in range(10):
        breaker.failed(at, probe=False)
    assert breaker.state(at) == "open"
    return breaker


def half_open() -> tuple[Breaker, float]:
    """A breaker that waits for its probe, and the moment since when."""
    breaker = opened()
    return breaker, breaker.wait(0.0)


def test_nine_failures_are_too_few_to_judge() -> None:
    breaker = closed()
    for _ in range(9):
        breaker.failed(1.0, probe=False)
    assert breaker.state(1.0) == "closed"
    assert breaker.wait(1.0) == 0
    breaker.failed(1.0, probe=False)
    assert breaker.state(1.0) == "open"


def test_it_opens_at_half_and_not_below() -> None:
    breaker = closed()
    for _ in range(6):
        breaker.succeeded(0.0, probe=False)
    for _ in range(5):
        breaker.failed(0.0, probe=False)
    assert breaker.state(0.0) == "closed"
    breaker.failed(0.0, probe=False)
    assert breaker.state(0.0) == "open"


@pytest.mark.parametrize(("later", "state"), [(19.0, "open"), (21.0, "closed"), (39.0, "closed")])
def test_failures_count_for_20_seconds(later: float, state: str) -> None:
    breaker = closed()
    for _ in range(9):
        breaker.failed(100.5, probe=False)
    breaker.failed(100.5 + later, probe=False)
    assert breaker.state(100.5 + later) == state


def test_successes_are_forgotten_after_20_seconds_too() -> None:
    breaker = closed()
    for _ in range(1000):
        breaker.succeeded(0.0, probe=False)
    for _ in range(10):
        breaker.failed(30.0, probe=False)
    assert breaker.state(30.0) == "open"


def test_it_stays_open_for_5_seconds_more_or_less() -> None:
    waits = [Breaker(Random(seed)) for seed in range(200)]
    for breaker in waits:
        for _ in range(10):
            breaker.failed(7.0, probe=False)
    seconds = [breaker.wait(7.0) for breaker in waits]
    assert 4.0 <= min(seconds) < 4.1
    assert 5.9 < max(seconds) <= 6.0


def test_half_open_it_lets_exactly_one_call_through() -> None:
    breaker, now = half_open()
    assert breaker.state(now) == "half_open"
    assert breaker.wait(now) == 0
    assert breaker.let(now)
    assert breaker.wait(now) == inf
    with pytest.raises(RuntimeError, match="would not let through"):
        breaker.let(now)


def test_an_open_breaker_lets_nobody_through() -> None:
    breaker = opened()
    with pytest.raises(RuntimeError, match="would not let through"):
        breaker.let(1.0)


def test_two_probes_that_succeed_close_it() -> None:
    breaker, now = half_open()
    breaker.succeeded(now, probe=breaker.let(now))
    assert breaker.state(now) == "half_open"
    breaker.succeeded(now, probe=breaker.let(now))
    assert breaker.state(now) == "closed"
    assert not breaker.let(now)


def test_once_closed_it_begins_anew() -> None:
    breaker, now = half_open()
    breaker.failed(now, probe=breaker.let(now))
    now += breaker.wait(now)
    for _ in range(2):
        breaker.succeeded(now, probe=breaker.let(now))
    for _ in range(9):
        breaker.failed(now, probe=False)
    assert breaker.state(now) == "closed"
    breaker.failed(now, probe=False)
    assert 4 <= breaker.wait(now) <= 6


def test_each_failed_probe_doubles_the_pause_up_to_a_minute() -> None:
    breaker, now = half_open()
    for expected in (10, 20, 40, 60, 60):
        breaker.failed(now, probe=breaker.let(now))
        pause = breaker.wait(now)
        assert 0.8 * expected <= pause <= 1.2 * expected
        now += pause


def test_a_success_between_two_failed_probes_closes_nothing() -> None:
    breaker, now = half_open()
    breaker.succeeded(now, probe=breaker.let(now))
    breaker.failed(now, probe=breaker.let(now))
    now += breaker.wait(now)
    breaker.succeeded(now, probe=breaker.let(now))
    assert breaker.state(now) == "half_open"


def test_a_cancelled_probe_gives_its_slot_back_without_a_verdict() -> None:
    breaker, now = half_open()
    breaker.withdrawn(breaker.let(now))
    assert breaker.state(now) == "half_open"
    assert breaker.wait(now) == 0
    assert breaker.let(now)


def test_failures_of_calls_that_began_before_it_opened_do_not_keep_it_open() -> None:
    breaker = opened()
    until = breaker.wait(0.0)
    for _ in range(100):
        breaker.failed(until - 0.1, probe=False)
    assert breaker.wait(0.0) == until
    assert breaker.let(until)
    breaker.failed(until, probe=False)
    assert breaker.wait(until) == inf  # the probe is still out
    breaker.succeeded(until, probe=True)
    breaker.succeeded(until, probe=breaker.let(until))
    assert breaker.state(until) == "closed"


def test_calls_that_began_before_it_closed_do_not_open_it_again() -> None:
    breaker, now = half_open()
    for _ in range(2):
        breaker.succeeded(now, probe=breaker.let(now))
    for _ in range(20):
        breaker.failed(now + 1, probe=False, began=now - 1)
    assert breaker.state(now + 1) == "closed"


def test_a_clock_that_stands_still_or_steps_back_breaks_nothing() -> None:
    breaker = closed()
    for now in (50.0, 49.0, 50.0, 20.0, 0.0):
        breaker.failed(now, probe=False)
        breaker.succeeded(now, probe=False)
    assert breaker.wait(50.0) == 0 or breaker.state(50.0) == "open"


class Calls(RuleBasedStateMachine):
    """Any calls with any ends, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = closed()
        self.now = 0.0
        self.probe_out = False
        self.others = 0

    @rule(seconds=st.floats(0, 30))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.breaker.wait(self.now) == 0)
    @rule()
    def a_call_goes(self) -> None:
        if self.breaker.let(self.now):
            assert not self.probe_out
            self.probe_out = True
        else:
            self.others += 1

    @precondition(lambda self: self.others)
    @rule(well=st.booleans())
    def a_call_ends(self, well: bool) -> None:
        before = self.breaker.state(self.now)
        (self.breaker.succeeded if well else self.breaker.failed)(self.now, probe=False)
        self.others -= 1
        assert before == "closed" or self.breaker.state(self.now) == before

    @precondition(lambda self: self.probe_out)
    @rule(end=st.sampled_from(["well", "ill", "withdrawn"]))
    def the_probe_ends(self, end: str) -> None:
        self.probe_out = False
        if end == "withdrawn":
            self.breaker.withdrawn(True)
        else:
            (self.breaker.succeeded if end == "well" else self.breaker.failed)(self.now, probe=True)

    @invariant()
    def a_finite_wait_ends_in_a_probe_and_an_infinite_one_in_the_probes_end(self) -> None:
        wait = self.breaker.wait(self.now)
        assert (wait == inf) == self.probe_out
        assert wait == inf or 0 <= wait <= 72
        assert self.breaker.wait(self.now + wait) in (0, inf)


Calls.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
test_any_sequence_of_calls_leaves_it_with_a_way_out = Calls.TestCase
