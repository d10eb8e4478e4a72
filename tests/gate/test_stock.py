"""What a process holds of a shared limit is used, asked for and given back in time."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.gate.stock import KEPT, Ask, Pool, Stock


class World:
    """A stock, how often it called, and a backend that hands out after a wait."""

    def __init__(self, requests: float | None = 50, tokens: float | None = None, burst: float = 1) -> None:
        self.called = 0
        self.stock = Stock(burst, self._call)
        self.stock.limit(requests, tokens)

    def _call(self) -> None:
        self.called += 1

    def ask(self, now: float) -> Ask:
        ask = self.stock.ask(now)
        assert ask is not None
        return ask

    def fill(self, now: float, wait: float = 0.0) -> Ask:
        ask = self.ask(now)
        self.stock.came(ask, wait, now)
        return ask


def test_an_empty_stock_calls_for_a_block_and_then_lets_its_calls_go() -> None:
    world = World(requests=50)
    assert world.stock.wait(0, 0.0) > 0
    assert world.called == 1
    ask = world.fill(0.0)
    assert (ask.requests, ask.tokens) == (2, 0)
    for _ in range(2):
        assert world.stock.wait(0, 0.1) == 0
        world.stock.take(0, 0.1)
    assert world.stock.wait(0, 0.1) > 0


def test_without_a_limit_there_is_nothing_to_share() -> None:
    world = World(None)
    assert world.stock.wait(10**9, 0.0) == 0
    world.stock.take(10**9, 0.0)
    world.stock.give_back(1, 5, 0.0)
    assert (world.stock.ask(0.0), world.called) == (None, 0)


@pytest.mark.parametrize(("rate", "size"), [(0.5, 1), (20, 1), (40, 1), (100, 4), (200, 9), (2000, 25)])
def test_a_block_is_worth_50_ms_of_the_rate_but_one_call_at_least_and_25_at_most(rate: float, size: int) -> None:
    world = World(rate)
    world.stock.wait(0, 0.0)
    assert world.ask(0.0).requests == size


def test_a_block_of_a_far_away_backend_is_worth_two_round_trips_but_no_longer_than_it_may_be_used() -> None:
    world = World(requests=50)
    for now, trip, size in ((0.0, 0.1, 9), (1e3, 10.0, 12)):
        for second in range(100):
            world.stock.wait(0, now + 20 * second)
            world.stock.came(world.ask(now + 20 * second), 0.0, now + 20 * second + trip)
        world.stock.wait(0, now + 5e3)
        assert world.ask(now + 5e3).requests == size


def test_what_is_handed_out_for_later_is_waited_for_exactly_and_asked_for_once() -> None:
    world = World()
    world.stock.wait(0, 0.0)
    world.fill(0.0, wait=3.0)
    assert world.stock.wait(0, 1.0) == 2.0
    assert world.stock.ask(1.0) is None
    assert world.stock.wait(0, 3.0) == 0


def test_what_is_not_used_within_a_quarter_of_a_second_goes_back() -> None:
    world = World()
    world.stock.wait(0, 0.0)
    world.fill(0.0, wait=1.0)
    world.stock.take(0, 1.1)
    assert world.stock.due(1.1) == pytest.approx(KEPT - 0.1)
    assert world.stock.ask(1.2) is None
    assert world.stock.wait(0, 1.25) > 0
    assert world.ask(1.25).back_requests == 1


def test_a_block_that_nobody_wants_goes_back_by_itself_and_nothing_is_asked_for() -> None:
    world = World()
    world.stock.wait(0, 0.0)
    world.fill(0.0)
    ask = world.ask(KEPT)
    assert (ask.requests, ask.back_requests) == (0, 2)
    assert world.stock.ask(KEPT) is None
    assert world.stock.due(KEPT) == inf


def test_a_call_gets_all_its_tokens_in_one_block_and_what_was_too_little_goes_back_first() -> None:
    world = World(requests=None, tokens=1000)
    world.stock.wait(300, 0.0)
    assert world.fill(0.0).tokens == 300
    assert world.stock.wait(500, 0.1) > 0
    ask = world.fill(0.1, wait=2.0)
    assert (ask.tokens, ask.back_tokens) == (500, 300)
    assert world.stock.wait(500, 2.1) == 0


def test_large_blocks_are_asked_for_ahead() -> None:
    world = World(requests=2000)
    world.stock.wait(0, 0.0)
    world.fill(0.0)
    for _ in range(12):
        world.stock.take(0, 0.0)
    assert world.stock.ask(0.0) is None
    world.stock.take(0, 0.0)
    assert world.fill(0.0, wait=0.01).requests == 25
    assert world.stock.ask(0.0) is None
    for _ in range(12):
        assert world.stock.wait(0, 0.001) == 0
        world.stock.take(0, 0.001)
    assert world.stock.wait(0, 0.001) == pytest.approx(0.009)


def test_a_block_has_the_tokens_that_its_calls_mostly_need() -> None:
    world = World(requests=2000, tokens=2_000_000)
    for _ in range(100):
        while world.stock.wait(1000, 0.0) > 0:
            world.fill(0.0)
        world.stock.take(1000, 0.0)
    while world.stock.wait(1000, 0.0) == 0:
        world.stock.take(1000, 0.0)
    ask = world.ask(0.0)
    assert ask.requests == 25
    assert ask.tokens == pytest.approx(25_000, rel=0.01)


def test_what_calls_did_not_need_is_told_with_the_next_asking_or_after_a_quarter_of_a_second() -> None:
    world = World(requests=None, tokens=1000)
    world.stock.wait(300, 0.0)
    world.fill(0.0)
    world.stock.take(300, 0.0)
    world.stock.give_back(0, 120, 0.1)
    world.stock.give_back(0, -20, 0.2)
    assert world.stock.ask(0.2) is None
    assert world.stock.due(0.2) == pytest.approx(0.15)
    ask = world.ask(0.35)
    assert (ask.tokens, ask.back_tokens) == (0, 100)


def test_a_forecast_for_the_end_of_the_line_asks_for_nothing() -> None:
    world = World(requests=None, tokens=1000)
    assert world.stock.wait(100_000, 0.0, (9, 5000)) >= 105
    assert (world.called, world.stock.ask(0.0)) == (0, None)


def test_while_the_backend_is_down_nobody_is_held_up_and_afterwards_nothing_is_settled_twice() -> None:
    world = World()
    world.stock.wait(0, 0.0)
    world.fill(0.0)
    world.stock.give_back(1, 0, 0.0)
    world.stock.failed()
    assert world.stock.wait(0, 0.0) == 0
    world.stock.take(0, 0.0)
    world.stock.give_back(1, 0, 0.0)
    assert world.stock.ask(10.0) is None
    world.stock.down = False
    assert world.stock.wait(0, 10.0) > 0
    assert world.ask(10.0).back_requests == 0


def test_the_pools_leave_room_for_what_was_handed_out_and_not_yet_used() -> None:
    assert Pool.within(100, burst=1) == Pool(99, 65)
    assert Pool.within(100, burst=0.1) == Pool(99, 0)
    assert Pool.within(None, burst=1) == Pool(0, 0)


@given(
    st.sampled_from([(50.0, None), (None, 1000.0), (2000.0, 100_000.0), (0.5, 50.0)]),
    st.lists(
        st.tuples(st.floats(0, 0.3), st.integers(0, 400), st.sampled_from(["call", "carry", "over"])), max_size=80
    ),
)
def test_what_is_handed_out_is_used_or_goes_back_or_is_still_held(
    limits: tuple[float | None, float | None], steps: list[tuple[float, int, str]]
) -> None:
    world = World(*limits)
    now, out = 0.0, [0.0, 0.0]
    used = [0, 0]
    for gap, tokens, step in steps:
        now += gap
        if step == "call" and world.stock.wait(tokens, now) == 0:
            world.stock.take(tokens, now)
            used = [used[0] + 1, used[1] + tokens]
        elif step == "over" and used[1] > tokens:
            world.stock.give_back(0, tokens, now)
            used[1] -= tokens
        elif step == "carry" and (ask := world.stock.ask(now)) is not None:
            out = [out[0] + ask.requests - ask.back_requests, out[1] + ask.tokens - ask.back_tokens]
            world.stock.came(ask, gap, now)
    now += 10
    while (ask := world.stock.ask(now)) is not None:
        out = [out[0] + ask.requests - ask.back_requests, out[1] + ask.tokens - ask.back_tokens]
        world.stock.came(ask, 0.0, now)
        now += 10
    for limit, handed_out, spent in zip(limits, out, used, strict=True):
        if limit is not None:
            assert handed_out == pytest.approx(spent, abs=1e-6)
