"""Half characters are replaced, wherever in a JSON value they stand."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agentrt.model.surrogates import mended

LONE = st.characters(categories=["Cs"])
TEXTS = st.text(st.one_of(st.characters(), LONE))
VALUES = st.recursive(
    TEXTS | st.none() | st.integers(-9, 9), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)
)


def test_a_lone_surrogate_becomes_the_replacement_character_everywhere() -> None:
    assert mended("a\ud83db") == "a\ufffdb"
    assert mended({"k\udc00": ["\ud800", {"n": 1}, None]}) == {"k\ufffd": ["\ufffd", {"n": 1}, None]}
    assert mended(("\ud800",)) == ["\ufffd"]


def test_whole_characters_are_left_alone() -> None:
    assert mended("Grüße 😀 \ue000\ud7ff") == "Grüße 😀 \ue000\ud7ff"


@given(VALUES)
def test_what_is_mended_can_be_encoded(value: object) -> None:
    assert msgspec.json.decode(msgspec.json.encode(mended(value))) == mended(value)
