from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from agentrt.cli.wrap import Wrap

TEXTS = st.text(alphabet="ab \n日", max_size=80)


def wrapped(text: str, width: int, cuts: list[int] | None = None) -> str:
    wrap = Wrap(width)
    edges = [0, *sorted(cut % (len(text) + 1) for cut in cuts or []), len(text)]
    return "".join(wrap.feed(text[a:b]) for a, b in itertools.pairwise(edges)) + wrap.rest()


def test_lines_end_between_words() -> None:
    assert wrapped("one two three four", 9) == "one two\nthree\nfour"


def test_a_word_is_held_back_until_its_end_is_known() -> None:
    wrap = Wrap(20)
    assert wrap.feed("stre") == ""
    assert wrap.feed("am of wo") == "stream of"
    assert wrap.feed("rds") == ""
    assert wrap.rest() == " words"


@given(TEXTS, st.integers(4, 20), st.lists(st.integers(0, 100)))
def test_where_the_text_was_cut_makes_no_difference(text: str, width: int, cuts: list[int]) -> None:
    assert wrapped(text, width, cuts) == wrapped(text, width)


@given(TEXTS, st.integers(4, 20))
def test_no_word_is_lost_and_lines_that_can_be_short_enough_are(text: str, width: int) -> None:
    out = wrapped(text, width)
    assert out.split() == text.split()
    for line in out.split("\n"):
        cells = sum(2 if letter == "日" else 1 for letter in line)
        assert cells <= width or " " not in line.strip()
