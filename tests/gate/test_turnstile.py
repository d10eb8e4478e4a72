"""The decision takes all or nothing, and what it took comes back."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from random import Random

import pytest

from agentrt.errors import ProviderThrottled, ProviderUnavailable
from agentrt.gate.fair import NOTHING, Path
from agentrt.gate.grant import Grant, Knock
from agentrt.gate.limits import Limits
from agentrt.gate.turnstile import Room, Turnstile


class Person:
    def __init__(self, tokens: int = 1, path: Path = ("interactive", "", "")) -> None:
        self.tokens = tokens
        self.cost = float(tokens)
        self.path = path

    def done(self) -> bool:
        return False


def a_turnstile(
    requests: float | None = None,
    tokens: float | None = None,
    concurrency: int = 2,
    groups: Mapping[str, Limits] | None = None,
) -> Turnstile[Person]:
    limits = Limits(requests=requests, tokens=tokens, per=1, burst=1, concurrency=concurrency)
    return Turnstile(limits, groups or {}, {}, Random(1))


def state(turnstile: Turnstile[Person], room: Room[Person], now: float) -> object:
    levels = tuple(None if level is None else round(level, 6) for level in room.group.levels(now))
    return turnstile.permits.in_flight, room.in_flight, turnstile.granted, levels, turnstile.breaker.state(now)


def test_who_is_let_through_takes_all_of_it_and_who_makes_no_attempt_gives_all_of_it_back() -> None:
    turnstile = a_turnstile(requests=10, tokens=100)
    room = turnstile.room("any")
    before = state(turnstile, room, 0.0)
    assert not turnstile.take(room, 60, 0.0)
    assert state(turnstile, room, 0.0) == (1, 1, 1, (8, 30), "closed")
    turnstile.undo(room, 60, 0.0, probe=False)
    assert state(turnstile, room, 0.0) == before


def test_looking_takes_nothing() -> None:
    turnstile = a_turnstile(requests=10, tokens=100)
    room = turnstile.room("any")
    room.line.join(Person(90), returned=False)
    before = state(turnstile, room, 0.0)
    for _ in range(3):
        found, person, wait = turnstile.next(0.0)
        assert (found, wait) == (room, 0.0)
        assert person is not None
        turnstile.wait(room, 50, 0.0)
        turnstile.forecast(room, 50, NOTHING, 0.0)
    assert state(turnstile, room, 0.0) == before


@pytest.mark.parametrize(
    ("turnstile", "wait"),
    [
        (a_turnstile(concurrency=1), inf),
        (a_turnstile(requests=2), 1 / 1.98),
        (a_turnstile(tokens=11), 10 / 10.89),
        (a_turnstile(requests=2, tokens=11), 10 / 10.89),
    ],
)
def test_the_wait_is_that_for_whatever_comes_last(turnstile: Turnstile[Person], wait: float) -> None:
    room = turnstile.room("any")
    turnstile.take(room, 10, 0.0)
    assert turnstile.wait(room, 10, 0.0) == pytest.approx(wait)
    room.line.join(Person(10), returned=False)
    nowhere, nobody, seconds = turnstile.next(0.0)
    assert (nowhere, nobody) == (None, None)
    assert seconds == pytest.approx(wait)


def test_an_attempt_gives_its_permit_back_and_settles_its_tokens() -> None:
    turnstile = a_turnstile(requests=10, tokens=100)
    room = turnstile.room("any")
    turnstile.take(room, 60, 0.0)
    grant = Grant(attempt=1, tokens=60, queued=0.0, started=0.0, error=None)
    grant.report(input_tokens=10, output_tokens=20)
    assert not turnstile.leave(room, grant, 0.0, ill=False)
    assert state(turnstile, room, 0.0) == (0, 0, 1, (8, 60), "closed")


def test_the_leave_that_opens_the_breaker_says_so_once() -> None:
    turnstile = a_turnstile(concurrency=50)
    room = turnstile.room("any")
    opened = list[bool]()
    for _ in range(12):
        turnstile.permits.take()
        grant = Grant(attempt=1, tokens=0, queued=0.0, started=0.0)
        opened.append(turnstile.leave(room, grant, 0.0, ill=True))
    assert opened == [False] * 9 + [True] + [False] * 2


@pytest.mark.parametrize(
    ("status", "alive"),
    [
        *[(status, True) for status in (400, 401, 403, 404, 413, 422)],
        *[(status, False) for status in (None, 200, 408, 409, 429)],
    ],
)
def test_a_refusal_is_a_sign_of_life_and_no_other_failure_is(status: int | None, alive: bool) -> None:
    turnstile = a_turnstile(concurrency=50)
    room = turnstile.room("any")
    for ill in [False] * 11 + [True] * 10:
        turnstile.take(room, 0, 0.0)
        grant = Grant(attempt=1, tokens=0, queued=0.0, started=0.0, status=503 if ill else status)
        turnstile.leave(room, grant, 0.0, ill=ill)
    # Ten failures open it, but not where eleven others came back.
    assert turnstile.breaker.state(0.0) == ("closed" if alive else "open")


def test_half_open_the_probe_takes_its_slot_and_gives_it_back() -> None:
    turnstile = a_turnstile(concurrency=50)
    room = turnstile.room("any")
    for _ in range(10):
        turnstile.take(room, 0, 0.0)
        turnstile.leave(room, Grant(attempt=1, tokens=0, queued=0.0, started=0.0), 0.0, ill=True)
    assert 4 <= turnstile.closed(0.0) <= 6
    assert turnstile.take(room, 0, 10.0)
    assert turnstile.closed(10.0) == inf
    assert turnstile.held_up(10.0) == ("breaker", None)
    assert turnstile.still_open(10.0, probe=True)
    assert not turnstile.still_open(10.0, probe=False)
    turnstile.undo(room, 0, 10.0, probe=True)
    assert turnstile.closed(10.0) == 0


def test_a_pause_closes_all_rooms_and_a_shorter_one_changes_nothing() -> None:
    turnstile = a_turnstile(requests=10, groups={"chat": Limits(requests=10, per=1)})
    assert turnstile.cool(5.0)
    assert not turnstile.cool(4.0)
    assert turnstile.closed(1.0) == 4.0
    for room in turnstile.rooms:
        assert turnstile.forecast(room, 0, NOTHING, 1.0) == ("cooldown", 4.0)
        assert room.group.levels(5.0)[0] == 1.0
    assert turnstile.closed(5.0) == 0


@pytest.mark.parametrize(("retry_after", "allowed"), [(None, 7), (0.02, 7), (1.0, 10), (60.0, 10)])
def test_a_throttled_answer_that_names_no_time_to_speak_of_takes_permits(
    retry_after: float | None, allowed: int
) -> None:
    turnstile = a_turnstile(concurrency=10)
    turnstile.take(turnstile.room(""), 0, 0.0)
    turnstile.throttled(ProviderThrottled("429", retry_after=retry_after))
    assert turnstile.permits.allowed == allowed


def test_other_failures_take_no_permits() -> None:
    turnstile = a_turnstile(concurrency=10)
    turnstile.take(turnstile.room(""), 0, 0.0)
    turnstile.throttled(ProviderUnavailable("503"))
    assert turnstile.permits.allowed == 10


def test_the_pause_after_a_probe_counts_from_its_beginning() -> None:
    turnstile = a_turnstile(concurrency=50)
    room = turnstile.room("")
    for _ in range(10):
        turnstile.take(room, 0, 0.0)
        turnstile.leave(room, Grant(attempt=1, tokens=0, queued=0.0, started=0.0), 0.0, ill=True)
    for began, ended in ((10.0, 15.0), (20.0, 80.0)):
        assert turnstile.take(room, 0, began)
        grant = Grant(attempt=1, tokens=0, queued=0.0, started=began, probe=True)
        assert turnstile.leave(room, grant, ended, ill=True) == (ended < 20)
    assert turnstile.closed(80.0) == 0  # it hung for a minute, and that was pause enough


def test_a_call_costs_what_it_takes_of_the_limit_it_takes_most_of() -> None:
    both = a_turnstile(requests=10, tokens=1000).room("")
    assert both.cost(10) == pytest.approx(1 / 10)
    assert both.cost(500) == pytest.approx(500 / 1000)
    assert a_turnstile(tokens=1000).room("").cost(0) == pytest.approx(1 / 1000)
    assert a_turnstile().room("").cost(10_000) == 1


def test_a_reservation_is_what_is_known_or_what_is_usual() -> None:
    room = a_turnstile(tokens=1000).room("")
    assert room.reservation(Knock(tokens=7, output=5)) == 12
    assert room.reservation(Knock(tokens=7, output=None)) == 7 + room.group.expected_output()
