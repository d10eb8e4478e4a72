"""What Anthropic's Messages API sends, and what becomes of it, however its bytes are cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message as TheirMessage
from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from agentrt.errors import ProviderError, ProviderThrottled, ReplyIncomplete
from agentrt.messages import AssistantMessage, ToolCall, Usage, UserMessage
from agentrt.model.anthropic.assemble import MessagesAssembler
from agentrt.model.anthropic.encode import encode_messages_request
from agentrt.model.assemble import Assembled
from agentrt.model.model import ArgumentsPiece, ModelRequest, Piece, ReasoningPiece, TextPiece

EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def event(kind: str, **fields: Any) -> bytes:
    value = {"type": kind, **fields}
    if kind not in ("ping", "error", "tomorrow"):
        EVENTS.validate_python(value)
    return f"event: {kind}\ndata: {json.dumps(value)}\n\n".encode()


def message(**fields: Any) -> dict[str, Any]:
    usage = {"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 1}
    whole = {"id": "m", "type": "message", "role": "assistant", "model": "claude-x", "content": [], "usage": usage}
    whole |= {"stop_reason": None, "stop_sequence": None} | fields
    TypeAdapter(TheirMessage).validate_python(whole)
    return whole


BEGIN = event("message_start", message=message())
PING = event("ping")
STOP = event("message_stop")


def end(reason: str, output: int = 9) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": output}) + STOP


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    parts = [event("content_block_start", index=index, content_block=content)]
    parts += [event("content_block_delta", index=index, delta=delta) for delta in deltas]
    return b"".join([*parts, event("content_block_stop", index=index)])


def text(index: int, *parts: str) -> bytes:
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": part} for part in parts))


def use(index: int, call_id: str, *parts: str) -> bytes:
    begun = {"type": "tool_use", "id": call_id, "name": "stock", "input": {}}
    return block(index, begun, *({"type": "input_json_delta", "partial_json": part} for part in parts))


def thinking(index: int, *parts: str, signature: str = "sig") -> bytes:
    deltas: list[dict[str, Any]] = [{"type": "thinking_delta", "thinking": part} for part in parts]
    deltas.append({"type": "signature_delta", "signature": signature})
    return block(index, {"type": "thinking", "thinking": "", "signature": ""}, *deltas)


def assembled(body: bytes, size: int = 1_000_000) -> tuple[Assembled, list[Piece]]:
    assembler = MessagesAssembler()
    pieces = [p for start in range(0, len(body), size) for p in assembler.feed(body[start : start + size])]
    done = assembler.finish()
    return done, [*pieces, *done.pieces]


CALLS = BEGIN + PING + text(0, "Let me ", "look.") + use(1, "c1", '{"sku"', ':"A"}') + use(2, "c2") + end("tool_use")
TWO = (ToolCall("c1", "stock", '{"sku":"A"}'), ToolCall("c2", "stock", "{}"))
WHOLE = json.dumps(
    message(
        content=[
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "c1", "name": "stock", "input": {"sku": "A"}},
            {"type": "tool_use", "id": "c2", "name": "stock", "input": {}},
        ],
        stop_reason="tool_use",
        usage={"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 9},
    )
).encode()


@pytest.mark.parametrize("size", [1, 7, 1_000_000], ids=["bytes", "sevens", "whole"])
@pytest.mark.parametrize("body", [CALLS, WHOLE], ids=["streamed", "not"])
def test_text_and_calls(body: bytes, size: int) -> None:
    done, pieces = assembled(body, size)
    assert done.message == AssistantMessage("Let me look.", TWO)
    assert (done.finish, done.model) == ("tool_calls", "claude-x")
    assert done.usage == Usage(input_tokens=12, output_tokens=9, cached_tokens=7, requests=1)
    assert "".join(piece.text for piece in pieces if isinstance(piece, TextPiece)) == "Let me look."
    told = [(piece.call_id, piece.name) for piece in pieces if isinstance(piece, ArgumentsPiece)]
    assert dict.fromkeys(told) == {("c1", "stock"): None, ("c2", "stock"): None}


@pytest.mark.parametrize("size", [1, 7, 1_000_000], ids=["bytes", "sevens", "whole"])
def test_thoughts_are_told_and_go_back_signed_and_in_their_places(size: int) -> None:
    body = BEGIN + thinking(0, "Hm", "m.") + text(1, "One.") + use(2, "c1") + thinking(3, "So.") + use(4, "c2")
    done, pieces = assembled(body + end("tool_use"), size)
    assert "".join(piece.text for piece in pieces if isinstance(piece, ReasoningPiece)) == "Hmm.So."
    sent = json.loads(encode_messages_request(ModelRequest("m", (UserMessage("?"), done.message))))
    blocks = sent["messages"][1]["content"]
    assert [one["type"] for one in blocks] == ["thinking", "text", "tool_use", "thinking", "tool_use"]
    assert blocks[0] == {"type": "thinking", "thinking": "Hmm.", "signature": "sig"}
    assert blocks[3]["thinking"] == "So."


def test_redacted_thoughts_and_blocks_we_do_not_know_go_back_as_they_came() -> None:
    hidden = {"type": "redacted_thinking", "data": "xyz"}
    done, _ = assembled(BEGIN + block(0, hidden) + text(1, "One.") + end("end_turn"))
    assert json.loads(done.message.extra or "") == {"blocks": [hidden, {"type": "text", "length": 4}]}


@pytest.mark.parametrize("parts", [(), ("",), ('{"que', 'ry":"x"}')])
def test_calls_that_the_provider_makes_itself_are_none_of_ours_and_go_back_whole(parts: tuple[str, ...]) -> None:
    search = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    deltas = ({"type": "input_json_delta", "partial_json": part} for part in parts)
    body = BEGIN + block(0, search, *deltas) + block(1, found) + text(2, "One.") + use(3, "c1", "{}") + end("tool_use")
    done, pieces = assembled(body, 7)
    assert done.message.tool_calls == (ToolCall("c1", "stock"),)
    assert {piece.call_id for piece in pieces if isinstance(piece, ArgumentsPiece)} == {"c1"}
    sent = json.loads(encode_messages_request(ModelRequest("m", (UserMessage("?"), done.message))))
    blocks = sent["messages"][1]["content"]
    assert blocks[:2] == [search | {"input": {"query": "x"} if any(parts) else {}}, found]
    assert [one["type"] for one in blocks[2:]] == ["text", "tool_use"]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "refusal"),
    ],
)
def test_stop_reasons(reason: str, finish: str) -> None:
    done, _ = assembled(BEGIN + text(0, "One.") + end(reason))
    assert (done.finish, done.message.content) == (finish, "One.")


def test_a_reply_that_needs_no_more_is_whole_without_its_last_event() -> None:
    whole = BEGIN + text(0, "One.") + end("end_turn").removesuffix(STOP)
    assert assembled(whole)[0].message.content == "One."


@pytest.mark.parametrize(
    ("body", "naming"),
    [
        (b"", "empty"),
        (BEGIN + text(0, "One."), "broke off"),
        (BEGIN + use(0, "c1", '{"sku') + end("max_tokens"), "middle of a tool call"),
        (b"<html>busy</html>", "<html>"),
        (b'{"hello": 1}', "hello"),
        (BEGIN + b"event: x\ndata: {half\n\n", "JSON"),
        (BEGIN + event("error", error={"type": "overloaded_error", "message": "Overloaded"}), "overloaded_error"),
        (b'{"type": "error", "error": {"type": "api_error", "message": "Oh"}}', "api_error"),
    ],
)
def test_what_is_no_whole_reply_is_incomplete(body: bytes, naming: str) -> None:
    for size in (1, 7, 1_000_000):
        with pytest.raises(ReplyIncomplete, match=naming):
            assembled(body, size)


def test_haste_in_the_middle_of_a_reply_is_haste() -> None:
    hasty = event("error", error={"type": "rate_limit_error", "message": "Slow down"})
    with pytest.raises(ProviderThrottled):
        assembled(BEGIN + hasty)


def test_events_of_tomorrow_are_passed_over() -> None:
    assert assembled(BEGIN + event("tomorrow", index=3) + text(0, "One.") + end("end_turn"))[0].finish == "stop"


def test_a_ping_is_no_sign_of_life() -> None:
    assembler = MessagesAssembler()
    assembler.feed(BEGIN)
    heard = assembler.heard
    assembler.feed(PING)
    assert assembler.heard == heard


PARTS = [BEGIN, PING, text(0, "One"), use(1, "c1", '{"a":1}'), use(1, "c1", "{"), thinking(2, "Hm."), end("end_turn")]
BROKEN = [
    b"data: {}\n\n",
    b"data: [1]\n\n",
    b'data: {"type":"content_block_delta","index":"x","delta":null}\n\n',
    b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":7}}\n\n',
    b'data: {"type":"content_block_start","content_block":{"type":"tool_use","input":[1],"id":null}}\n\n',
    b'data: {"type":"content_block_delta","index":9,"delta":{"type":"signature_delta","signature":null}}\n\n',
    b'data: {"type":"message_delta","usage":{"output_tokens":-4},"delta":[]}\n\n',
    b'data: {"type":"message_start","message":{"usage":{"input_tokens":1e400}}}\n\n',
    b": comment\r\n\r\n",
    b'data: {"type":"error"}\n\n',
    b'data: {"type"',
]


@given(st.lists(st.sampled_from(PARTS + BROKEN), max_size=8), st.integers(1, 40))
def test_broken_streams_raise_nothing_but_our_errors_wherever_they_are_cut(parts: list[bytes], size: int) -> None:
    def outcome(size: int) -> object:
        try:
            return assembled(b"".join(parts), size)[0]
        except ProviderError as error:
            return type(error), str(error)

    assert outcome(size) == outcome(1_000_000)
