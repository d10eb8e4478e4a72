"""Half characters are replaced, wherever in a JSON value they stand."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.surrogates import mended, mended_text

LONE = st.characters(categories=["Cs"])
TEXTS = st.text(st.one_of(st.characters(), LONE))
VALUES = st.recursive(
    TEXTS | st.none() | st.integers(-9, 9), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)
)


def test_a_lone_surrogate_becomes_the_replacement_character_everywhere() -> None:
    assert mended("a\ud83db") == "a\ufffdb"
    assert mended({"k\udc00": ["\ud800", {"n": 1}, None]}) == {"k\ufffd": ["\ufffd", {"n": 1}, None]}
    assert mended(("\ud800",)) == ["\ufffd"]
    assert mended_text("\udc00\ud800") == "\ufffd\ufffd"


def test_two_halves_that_belong_together_become_the_character() -> None:
    assert mended_text("a" + "\ud83d" + "\ude00" + "\ud83d") == "a😀\ufffd"


def test_whole_characters_are_left_alone() -> None:
    assert mended("Grüße 😀 \ue000\ud7ff") == "Grüße 😀 \ue000\ud7ff"


@given(VALUES)
def test_what_is_mended_can_be_encoded(value: object) -> None:
    assert msgspec.json.decode(msgspec.json.encode(mended(value))) == mended(value)


@given(TEXTS)
def test_a_text_is_changed_only_where_it_cannot_be_encoded(text: str) -> None:
    if mended_text(text) != text:
        with pytest.raises(UnicodeEncodeError):
            text.encode()
