from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.errors import ToolError
from agentrt.messages import ToolMessage, UserMessage
from agentrt.toolbox.results import READ_RESULT, ReadResult, asked_for, excerpt, fit, is_cut, renamed

texts = st.text(st.sampled_from("aü€😀\n"))


def split(shown: str) -> tuple[str, int | None]:
    """The text, and where it goes on."""
    text, found, line = shown.rpartition("\n[cut here: ")
    if not found:
        return shown, None
    more = re.search(r'read_result\(call_id="c1", offset=(\d+)\) has more\]$', line)
    assert more is not None
    return text, int(more[1])


@given(texts, st.integers(1, 60))
def test_a_cut_text_keeps_whole_characters_within_the_limit_and_says_what_is_missing(text: str, limit: int) -> None:
    fitted = fit(text, limit)
    size = len(text.encode())
    if size <= max(limit, 4):
        assert fitted == text
        return
    kept, marker = fitted.rsplit("\n", 1)
    assert text.startswith(kept)
    assert limit - 4 < len(kept.encode()) <= max(limit, 4)
    assert marker == f"[cut here: {size - len(kept.encode()):,} of {size:,} bytes are left out]"


def test_the_last_line_of_a_cut_text_says_how_to_read_on() -> None:
    assert fit("x" * 80_000, 65_536, "c1").endswith(
        '\n[cut here: 14,464 of 80,000 bytes are left out; read_result(call_id="c1", offset=65536) has more]'
    )
    assert r'read_result(call_id="a\"b", offset=4)' in fit("xxxxx", 4, 'a"b')


@given(texts, st.integers(1, 20))
def test_whoever_goes_on_where_the_last_line_says_reads_every_character_once(text: str, limit: int) -> None:
    read, place = split(fit(text, limit, "c1"))
    while place is not None:
        piece, place = split(excerpt(text, place, limit, "c1"))
        read += piece
    assert read == text


@given(texts, st.integers(0, 80), st.integers(1, 80))
def test_from_any_place_an_excerpt_begins_with_the_character_there(text: str, offset: int, limit: int) -> None:
    data = text.encode()
    if offset >= len(data):
        return
    piece, _ = split(excerpt(text, offset, limit, "c1"))
    before = next(place for place in range(offset, -1, -1) if data[place] & 0xC0 != 0x80)
    assert piece
    assert data[before:].startswith(piece.encode())


def test_a_result_that_is_shared_names_the_call_that_shows_it() -> None:
    text = 'read_result(call_id="c1") ' * 9
    assert renamed(fit(text, 60, "c1"), "c1", 'c"2') == fit(text, 60, 'c"2')
    for other in (text, fit(text, 60), fit(text, 60, "c3")):
        assert renamed(other, "c1", "c2") == other


def test_behind_the_end_there_is_nothing_and_it_says_so() -> None:
    assert excerpt("ü", 2, 10) == excerpt("ü", 99, 10) == "[nothing here: the result has 2 bytes]"
    assert excerpt("", 0, 10) == ""


def test_the_models_arguments_are_read_or_told_what_is_wrong() -> None:
    assert asked_for('{"call_id": "c1"}') == ReadResult("c1", 0)
    assert asked_for('{"call_id": "c1", "offset": 5}') == ReadResult("c1", 5)
    for wrong, told in (
        ("", "missing required field `call_id`"),
        ("{", "truncated"),
        ('{"call_id": "c1", "offset": -1}', "`int` >= 0"),
        ('{"call_id": "c1", "offset": "5"}', "Expected `int`, got `str`"),
        ('{"call_id": "c1", "limit": 5}', "unknown field `limit`"),
        ('{"call_id": "\ud800"}', "surrogates"),
    ):
        with pytest.raises(ToolError, match=f'^the arguments of "read_result" do not fit: .*{told}') as caught:
            asked_for(wrong)
        assert caught.value.code == "arguments_invalid"


def test_the_model_is_offered_what_can_be_read() -> None:
    schema = json.loads(bytes(READ_RESULT.parameters))
    assert set(schema["properties"]) == set(ReadResult.__struct_fields__)
    assert schema["required"] == ["call_id"]


def test_a_result_of_which_there_is_more_is_known_by_its_last_line() -> None:
    assert is_cut(ToolMessage("c1", "search", fit("x" * 50, 10, "c1")))
    assert not is_cut(ToolMessage("c1", "search", fit("x" * 50, 10)))
    assert not is_cut(ToolMessage("c1", "search", "x"))
    assert not is_cut(UserMessage(fit("x" * 50, 10, "c1")))
