"""The members of an object, however its text is cut."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agentrt.model.json_text import ObjectReader, Part

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=6), JSON, max_size=4)


def read(*texts: str) -> tuple[dict[str, str], ObjectReader]:
    """The text of each member, and the reader that read them."""
    reader, members = ObjectReader(), dict[str, str]()
    for text in texts:
        for part in reader.feed(text):
            members[part.key] = members.get(part.key, "") + part.text
    return members, reader


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


@given(OBJECTS, st.booleans(), st.sampled_from([None, 1]), st.lists(st.integers(0, 500)))
def test_every_member_is_read_whole_wherever_the_text_is_cut(
    value: dict[str, Any], ascii_only: bool, indent: int | None, places: list[int]
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    members, reader = read(*cut(text, places))
    assert (reader.ended, reader.broken, reader.rest) == (True, False, "")
    assert {key: item if isinstance(value[key], str) else json.loads(item) for key, item in members.items()} == value


@given(st.text(alphabet='{}[]",:\\ud83daé1 \n', max_size=40), st.lists(st.integers(0, 50)))
def test_no_text_troubles_it_and_cuts_make_no_difference(text: str, places: list[int]) -> None:
    whole_members, whole = read(text)
    members, reader = read(*cut(text, places))
    assert (reader.ended, reader.broken, reader.rest) == (whole.ended, whole.broken, whole.rest)
    assert members == whole_members


def test_strings_are_told_decoded_as_they_come() -> None:
    reader = ObjectReader()
    assert reader.feed('{"answer": "Hel') == [Part("answer", "Hel", False)]
    assert reader.feed("lo\\") == [Part("answer", "lo", False)]
    assert reader.feed("n\\u00") == [Part("answer", "\n", False)]
    assert reader.feed('e9"') == [Part("answer", "é", True)]
    assert reader.feed("}") == []
    assert reader.ended


def test_a_character_in_two_halves_is_told_as_one_and_half_a_character_is_mended() -> None:
    assert [part.text for part in ObjectReader().feed('{"a":"\\ud83d\\ude00 \\ud83d. \\ude00 \\\\ud83d"}')] == [
        "😀 \ufffd. \ufffd \\ud83d"
    ]
    reader = ObjectReader()
    assert reader.feed('{"a":"x\\ud83d') == [Part("a", "x", False)]
    assert reader.feed("\\ude") == []
    assert reader.feed('00"') == [Part("a", "😀", True)]


def test_values_that_are_no_strings_are_told_as_they_are_written() -> None:
    members, _ = read('{"a": {"b": [1, "}]\\""]}, "c": 12, "d": null}')
    assert members == {"a": '{"b": [1, "}]\\""]}', "c": "12", "d": "null"}


def test_what_follows_the_object_is_left_over() -> None:
    members, reader = read('{"a":1}', " and", " more")
    assert (members, reader.ended, reader.rest) == ({"a": "1"}, True, " and more")


def test_text_that_is_no_object_is_left_from_where_it_is_none() -> None:
    for text, rest in (
        ("Hello", "Hello"),
        ("[1]", "[1]"),
        ('{"a" 1}', "1}"),
        ("{a: 1}", "a: 1}"),
        ('{"a": }', "}"),
        ('{"a": "\\x"}', '\\x"}'),
        ('{"a": "\\u12zz and more"}', '\\u12zz and more"}'),
    ):
        _, reader = read(text)
        assert (reader.broken, reader.rest) == (True, rest), text
        _, reader = read(*text)
        assert (reader.broken, reader.rest) == (True, rest), text


def test_keys_are_waited_for_but_not_for_ever() -> None:
    reader = ObjectReader()
    for keys, broken in (("k" * 100, False), ("k" * 200, True)):
        reader.feed(keys if broken else '{"' + keys)
        assert reader.broken == broken
    _, reader = read('{"' + "k" * 300 + '": 1}')
    assert reader.broken, "as if it had come in pieces"


def test_nesting_is_counted_and_not_followed() -> None:
    members, reader = read('{"a": ', "[" * 100_000, "]" * 100_000, "}")
    assert reader.ended and len(members["a"]) == 200_000
