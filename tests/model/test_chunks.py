"""Both readers of a chunk give the same, and neither is thrown by what it finds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from agentrt.errors import ReplyIncomplete
from agentrt.model.chunks import CallPart, Chunk, Delta, FunctionPart, StrangeDelta, read_chunk
from agentrt.model.loose import DEPTH

PLAIN: dict[str, Any] = {
    "object": "chat.completion.chunk",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "delta": {
                "content": "Hello",
                "tool_calls": [{"index": 1, "id": "a", "function": {"name": "f", "arguments": "{"}}],
            },
            "finish_reason": None,
        }
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}},
}


def first(chunk: Chunk) -> Delta:
    assert chunk.choices
    assert chunk.choices[0].delta is not None
    return chunk.choices[0].delta


def read(value: object) -> Chunk:
    return read_chunk(json.dumps(value).encode())


def test_the_strict_reader_takes_the_documented_chunk() -> None:
    delta = first(read(PLAIN))
    assert type(delta) is Delta
    assert delta.tool_calls == [CallPart(1, "a", None, FunctionPart("f", "{"))]


def test_the_loose_reader_gives_the_same_and_keeps_what_it_does_not_know() -> None:
    strange = json.loads(json.dumps(PLAIN))
    strange["choices"][0]["delta"]["odd"] = {"n": 1}
    loose, strict = read(strange), read(PLAIN)
    delta = first(loose)
    assert isinstance(delta, StrangeDelta)
    assert delta.unknown == {"odd": {"n": 1}}
    assert delta.content == first(strict).content
    assert msgspec.to_builtins(loose.usage) == msgspec.to_builtins(strict.usage) | {"prompt_cache_hit_tokens": None}
    assert delta.tool_calls
    assert delta.tool_calls[0].function == FunctionPart("f", "{")


@pytest.mark.parametrize("odd", [None, 1, "x", [], {}, True, [None], [1]])
def test_a_field_of_another_type_is_as_good_as_missing(odd: object) -> None:
    read({"choices": odd, "usage": odd, "model": odd, "object": odd})
    for choice in ({"delta": odd}, {"message": odd}, {"index": odd}, {"finish_reason": odd}):
        read({"choices": [choice]})
    for delta in (
        {"tool_calls": odd},
        {"content": odd},
        {"tool_calls": [odd]},
        {"tool_calls": [{"function": odd, "id": odd}]},
    ):
        read({"choices": [{"delta": delta}]})


@pytest.mark.parametrize("data", [b"", b"{", b"17", b"[]", b"null", b"\xff", b'{"a":1}x'])
def test_what_is_no_object_is_refused_with_what_came(data: bytes) -> None:
    with pytest.raises(ReplyIncomplete, match="expected a"):
        read_chunk(data)


def test_depth_is_capped_before_anything_is_read() -> None:
    for deep in ("[" * DEPTH + "]" * DEPTH, '{"a":' * (DEPTH - 1) + "1" + "}" * (DEPTH - 1)):
        read_chunk(b'{"x":' + deep.encode() + b',"pad":"' + b"." * 2_000 + b'"}')
    for deep in ("[" * 300 + "]" * 300, '[{"a":' * 300 + "1" + "}]" * 300, "[" * 300):
        with pytest.raises(ReplyIncomplete, match="too deep"):
            read_chunk(b'{"x":' + deep.encode() + b',"pad":"' + b"." * 2_000 + b'"}')


def test_what_is_kept_is_capped_even_in_a_short_chunk() -> None:
    with pytest.raises(ReplyIncomplete, match="too deep"):
        read_chunk(b'{"choices":[{"delta":{"odd":' + b"[" * 400 + b"]" * 400 + b"}}]}")


def test_brackets_in_strings_are_not_depth() -> None:
    chunk = read({"choices": [{"delta": {"content": '[{"' * 2_000}}]})
    assert first(chunk).content == '[{"' * 2_000


@pytest.mark.parametrize(
    "marked", [{"error": "x"}, {"object": "error"}, {"type": "error"}, {"type": "error", "error": {}}]
)
def test_an_error_is_seen_in_whatever_way_it_is_marked(marked: dict[str, object]) -> None:
    assert read(marked).error == (marked.get("error") or marked)
    assert not read({"type": "ping", "object": "chunk", "error": None}).error


def test_an_error_is_no_deeper_than_anything_else() -> None:
    with pytest.raises(ReplyIncomplete, match="too deep"):
        read_chunk(b'{"error":' + b"[" * 300 + b"]" * 300 + b"}")


def test_calls_are_found_in_the_forms_of_all_years() -> None:
    function = {"name": "f", "arguments": "{}"}
    for delta in ({"tool_calls": [{"function": function, "x": 1}]}, {"tool_calls": {"function": function}}):
        assert calls_of(delta) == [FunctionPart("f", "{}")]
    assert calls_of({"function_call": function}) == [FunctionPart("f", "{}")]
    assert calls_of({"function_call": function, "tool_calls": [{"function": function}]}) == [FunctionPart("f", "{}")]
    assert calls_of({"function_call": None}) == []


def calls_of(delta: Mapping[str, object]) -> list[FunctionPart | None]:
    return [call.function for call in first(read({"choices": [{"delta": delta}]})).tool_calls or ()]
