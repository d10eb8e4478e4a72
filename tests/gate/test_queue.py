"""The line: first come first served, the returned before the new, the done passed over."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentrt.gate.queue import Line


class Person:
    def __init__(self, name: str, tokens: int = 0) -> None:
        self.name = name
        self.tokens = tokens
        self.gone = False

    def done(self) -> bool:
        return self.gone


def served(line: Line[Person]) -> list[str]:
    names = list[str]()
    while (head := line.head()) is not None:
        names.append(head.name)
        line.leave(head)
    return names


def test_who_comes_first_is_served_first() -> None:
    line = Line[Person]()
    for name in "abc":
        line.join(Person(name), returned=False)
    assert served(line) == ["a", "b", "c"]


def test_the_returned_stand_before_the_new_and_keep_their_own_order() -> None:
    line = Line[Person]()
    for name, returned in [("a", False), ("R", True), ("b", False), ("S", True)]:
        line.join(Person(name), returned=returned)
    assert [person.name for person in line] == ["R", "S", "a", "b"]
    assert served(line) == ["R", "S", "a", "b"]


def test_who_is_done_is_passed_over() -> None:
    line, people = Line[Person](), [Person(name) for name in "abcd"]
    for person in people:
        line.join(person, returned=False)
    people[0].gone = people[2].gone = True
    assert served(line) == ["b", "d"]
    assert len(line) == 0


def test_leaving_twice_counts_once() -> None:
    line, a = Line[Person](), Person("a", tokens=7)
    line.join(a, returned=False)
    line.join(Person("b", tokens=1), returned=False)
    line.leave(a)
    line.leave(a)
    assert line.ahead(returned=False) == (1, 1)


def test_an_empty_line_has_no_head() -> None:
    line = Line[Person]()
    assert line.head() is None
    assert not line


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 100), st.booleans())))
def test_who_stands_ahead_is_counted_with_their_tokens(people: list[tuple[bool, int, bool]]) -> None:
    line = Line[Person]()
    stay = list[tuple[bool, int]]()
    for returned, tokens, leaves in people:
        person = Person("x", tokens)
        line.join(person, returned=returned)
        if leaves:
            line.leave(person)
        else:
            stay.append((returned, tokens))
    sent_back = [tokens for returned, tokens in stay if returned]
    everybody = [tokens for _, tokens in stay]
    assert line.ahead(returned=True) == (len(sent_back), sum(sent_back))
    assert line.ahead(returned=False) == (len(everybody), sum(everybody))
    assert len(line) == len(everybody)
