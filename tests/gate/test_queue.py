"""The line: the returned before the new, a held head overtaken a little, the done passed over."""

from __future__ import annotations

import pytest

from agentrt.gate.fair import Path
from agentrt.gate.queue import MOST_OVERTAKEN, Line

NOBODY: Path = ("interactive", "", "")


class Person:
    def __init__(self, name: str, tokens: int = 1, path: Path = NOBODY) -> None:
        self.name = name
        self.tokens = tokens
        self.cost = float(tokens)
        self.path = path
        self.gone = False

    def done(self) -> bool:
        return self.gone


def a_line(*people: Person) -> Line[Person]:
    line = Line[Person]()
    for person in people:
        line.join(person, returned=False)
    return line


def served(line: Line[Person]) -> list[str]:
    names = list[str]()
    while (head := line.head()) is not None:
        names.append(head.name)
        line.grant(head)
    return names


def overtaking(line: Line[Person]) -> list[str]:
    """Who gets past the head that is held."""
    names = list[str]()
    while (follower := line.follower()) is not None:
        names.append(follower.name)
        line.grant(follower)
    return names


def test_in_one_run_who_comes_first_is_served_first() -> None:
    assert served(a_line(*map(Person, "abc"))) == ["a", "b", "c"]


def test_the_returned_stand_before_the_new_and_keep_their_own_order() -> None:
    line = Line[Person]()
    for name, returned in [("a", False), ("R", True), ("b", False), ("S", True)]:
        line.join(Person(name), returned=returned)
    assert len(line) == 4
    assert {person.name for person in line} == set("RSab")
    assert served(line) == ["R", "S", "a", "b"]
    assert len(line) == 0


def test_who_is_done_is_passed_over() -> None:
    people = [Person(name) for name in "abcdef"]
    line = a_line(*people[:5])
    line.hold(people[0])
    line.join(people[5], returned=True)
    for n in (0, 2, 5):
        people[n].gone = True
    assert served(line) == ["b", "d", "e"]
    assert len(line) == 0


def test_leaving_twice_counts_once() -> None:
    a = Person("a", tokens=7)
    line = a_line(a, Person("b", tokens=1))
    line.leave(a)
    line.leave(a)
    assert line.before(NOBODY, 1, returned=False) == (1, 1, 1)


def test_an_empty_line_has_no_head() -> None:
    line = Line[Person]()
    assert line.head() is None
    assert line.follower() is None
    assert not line


def test_a_head_that_is_held_stays_the_head_whoever_comes() -> None:
    large = Person("large", 100, path=("background", "", ""))
    line = a_line(large)
    line.hold(large)
    line.join(Person("person", path=NOBODY), returned=False)
    assert line.head() is large


def test_a_head_that_waits_for_more_than_tokens_gives_way_to_the_class_before_it() -> None:
    line = a_line(Person("document", path=("background", "", "")), Person("person"))
    assert served(line) == ["person", "document"]


def test_a_held_head_is_overtaken_eight_times_at_most() -> None:
    large = Person("large", 100)
    line = a_line(large, *(Person(str(n)) for n in range(20)))
    line.hold(large)
    assert overtaking(line) == [str(n) for n in range(MOST_OVERTAKEN)]
    line.hold(large)  # again, which changes nothing
    assert line.follower() is None
    assert line.head() is large
    line.grant(large)
    assert served(line) == [str(n) for n in range(MOST_OVERTAKEN, 20)]


def test_a_held_head_is_overtaken_by_half_of_its_tokens_at_most() -> None:
    large = Person("large", 100)
    line = a_line(large, Person("a", 30), Person("b", 20), Person("c", 1))
    line.hold(large)
    assert overtaking(line) == ["a", "b"]


def test_the_next_who_is_held_may_be_overtaken_anew() -> None:
    first, second = Person("first", 10), Person("second", 10)
    line = a_line(first, Person("a", 5), second, Person("b", 5))
    line.hold(first)
    assert overtaking(line) == ["a"]
    line.grant(first)
    line.hold(second)
    assert overtaking(line) == ["b"]


def test_who_is_returned_is_not_overtaken() -> None:
    line = a_line(Person("a"))
    returned = Person("R", 100)
    line.join(returned, returned=True)
    line.hold(returned)
    assert line.follower() is None
    large = Person("large", 100)
    line = a_line(large, Person("a"))
    line.hold(large)
    line.join(returned, returned=True)
    assert line.follower() is None
    assert line.head() is returned


@pytest.mark.parametrize(("tokens", "before"), [(50, 0), (51, 1)])
def test_a_held_head_counts_only_before_whom_it_keeps_back(tokens: int, before: int) -> None:
    large = Person("large", 100)
    line = a_line(large)
    line.hold(large)
    assert line.before(NOBODY, tokens, returned=False).requests == before
    assert line.before(NOBODY, tokens, returned=True).requests == 0


def test_the_waiting_are_counted_by_class_wherever_they_stand() -> None:
    document = ("background", "", "")
    held = Person("held", path=document)
    line = a_line(held, Person("a", path=document), Person("b"))
    line.hold(held)
    line.join(Person("R", path=document), returned=True)
    assert (line.waiting_in("background"), line.waiting_in("interactive"), len(line)) == (3, 1, 4)
