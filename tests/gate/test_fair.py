"""Shares are as the weights say, over any stretch in which all wait, and whatever comes and goes."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.gate.fair import Path, Shares


class Person:
    def __init__(self, path: Path, cost: float = 1.0) -> None:
        self.path = path
        self.cost = cost
        self.tokens = int(cost)

    def done(self) -> bool:
        return False


def interactive(tenant: str, run: str = "") -> Path:
    return "interactive", tenant, run


def serve(shares: Shares[Person]) -> Person | None:
    person = shares.head()
    if person is not None:
        shares.charge(person)
        assert shares.discard(person)
    return person


def costs(shares: Shares[Person], turns: int, by: int) -> Counter[str]:
    """What each had of the next services; `by` is the place in the path."""
    had = Counter[str]()
    for _ in range(turns):
        person = serve(shares)
        assert person is not None
        had[person.path[by]] += int(person.cost)
    return had


def test_tenants_have_equal_shares_however_much_each_asks_for() -> None:
    shares = Shares[Person]()
    for _ in range(1000):
        shares.add(Person(interactive("greedy")))
    for n in range(9):
        for _ in range(10):
            shares.add(Person(interactive(f"t{n}")))
    assert set(costs(shares, 100, by=1).values()) == {10}


def test_shares_count_cost_and_not_calls() -> None:
    shares = Shares[Person]()
    for _ in range(400):
        shares.add(Person(interactive("large"), 10.0))
        shares.add(Person(interactive("small"), 1.0))
    had = costs(shares, 220, by=1)
    assert had["large"] == pytest.approx(had["small"], abs=10)


def test_runs_share_their_tenants_share() -> None:
    shares = Shares[Person]()
    for _ in range(100):
        shares.add(Person(interactive("one", "r")))
        for run in "abcd":
            shares.add(Person(interactive("many", run)))
    had = costs(shares, 80, by=2)
    assert had["r"] == 40
    assert all(had[run] == 10 for run in "abcd")


def test_background_has_a_tenth_while_both_wait_and_all_when_alone() -> None:
    shares = Shares[Person]()
    for _ in range(90):
        shares.add(Person(interactive("t")))
    for _ in range(200):
        shares.add(Person(("background", "t", "")))
    assert costs(shares, 100, by=0) == {"interactive": 90, "background": 10}
    assert costs(shares, 100, by=0) == {"background": 100}


def test_who_sleeps_earns_no_credit() -> None:
    shares = Shares[Person]()
    shares.add(Person(interactive("sleeper")))
    for _ in range(300):
        shares.add(Person(interactive("busy")))
    costs(shares, 101, by=1)
    for _ in range(100):
        shares.add(Person(interactive("sleeper")))
    assert costs(shares, 100, by=1) == {"busy": 50, "sleeper": 50}


def test_who_comes_back_at_once_pays_no_less_than_who_waits() -> None:
    shares = Shares[Person]()
    for _ in range(200):
        shares.add(Person(interactive("waits")))
    had = Counter[str]()
    shares.add(Person(interactive("returns")))
    for _ in range(100):
        person = serve(shares)
        assert person is not None
        had[person.path[1]] += 1
        if person.path[1] == "returns":
            shares.add(person)
    assert had == {"waits": 50, "returns": 50}


def test_a_stream_of_new_runs_does_not_hold_up_an_old_one() -> None:
    shares = Shares[Person]()
    for _ in range(10):
        shares.add(Person(interactive("t", "old")))
    had = Counter[str]()
    for n in range(100):
        shares.add(Person(interactive("t", f"new {n}")))
        person = serve(shares)
        assert person is not None
        had[person.path[2]] += 1
    assert had["old"] == 10


def test_what_many_left_behind_is_swept() -> None:
    shares = Shares[Person]()
    shares.add(Person(interactive("t", "stays")))
    tenants = shares._flows["interactive"].inside
    assert isinstance(tenants, Shares)
    for n in range(10_000):
        person = Person(interactive("t", f"run {n}"))
        shares.add(person)
        assert shares.discard(person)
    runs = tenants._flows["t"].inside
    assert isinstance(runs, Shares)
    assert len(runs._flows) == len(runs._heap) < 200
    assert len(shares) == 1


def test_what_is_swept_owes_nothing() -> None:
    shares = Shares[Person]()
    debtor, patient = interactive("t", "debtor"), interactive("t", "patient")
    shares.add(Person(debtor, 10.0))
    for _ in range(20):
        shares.add(Person(patient))
    assert serve(shares) is not None
    for n in range(1000):
        person = Person(interactive("t", f"run {n}"))
        shares.add(person)
        shares.discard(person)
    for _ in range(20):
        shares.add(Person(debtor))
    assert costs(shares, 9, by=2) == {"patient": 9}


def test_before_a_newcomer_go_its_own_run_and_as_much_of_each_other() -> None:
    shares = Shares[Person]()
    for _ in range(1000):
        shares.add(Person(interactive("greedy"), 2.0))
    shares.add(Person(interactive("modest"), 2.0))
    for _ in range(5):
        shares.add(Person(interactive("mine"), 2.0))
    assert shares.before(interactive("mine")) == (5 + 5 + 1, 22, 22.0)
    assert shares.before(interactive("new")) == (0, 0, 0)
    assert shares.before(interactive("greedy")) == (1006, 2012, 2012)


PATHS = st.tuples(st.sampled_from(["interactive", "background"]), st.sampled_from("abc"), st.sampled_from("xy"))
PEOPLE = st.lists(st.tuples(PATHS, st.integers(1, 9)), max_size=40)


@given(PEOPLE, st.integers(0, 10), PATHS)
def test_never_more_is_foreseen_than_comes_before(people: list[tuple[Path, int]], first: int, path: Path) -> None:
    shares = Shares[Person]()
    for where, cost in people:
        shares.add(Person(where, cost))
    for _ in range(first):
        serve(shares)
    foreseen = shares.before(path)
    newcomer, spent = Person(path, 5.0), 0.0
    shares.add(newcomer)
    while (person := serve(shares)) is not newcomer:
        assert person is not None
        spent += person.cost
    assert foreseen.cost <= spent + 1e-6


@given(PEOPLE, st.integers(0, 2**32))
def test_everybody_is_served_once_or_leaves_once(people: list[tuple[Path, int]], seed: int) -> None:
    random, shares = Random(seed), Shares[Person]()
    inside = list[Person]()
    for where, cost in people:
        person = Person(where, cost)
        shares.add(person)
        inside.append(person)
        if random.random() < 0.3:
            gone = inside.pop(random.randrange(len(inside)))
            assert shares.discard(gone)
            assert not shares.discard(gone)
            if random.random() < 0.5:
                shares.charge(gone)  # it had been held, and goes
        if inside and random.random() < 0.3:
            served = serve(shares)
            assert served is not None
            inside.remove(served)
        assert len(shares) == len(inside)
        assert set(shares) == set(inside)
    while (served := serve(shares)) is not None:
        inside.remove(served)
    assert not inside
