"""Calls and answers that a model writes as JSON, read from the wire however it is cut."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.errors import ReplyIncomplete
from agentrt.messages import ToolCall
from agentrt.model.assemble import Assembled, Assembler
from agentrt.model.json_reply import JsonToolsAssembler
from agentrt.model.model import ArgumentsPiece, Piece, ReasoningPiece, TextPiece


def chunk(finish: str | None = None, **delta: object) -> bytes:
    return (
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"
    )


def stream(*texts: str, finish: str | None = "stop") -> bytes:
    return b"".join(chunk(content=text) for text in texts) + (chunk(finish) if finish else b"") + b"data: [DONE]\n\n"


def read(*bodies: bytes) -> tuple[list[Piece], Assembled]:
    assembler, pieces = JsonToolsAssembler(Assembler()), list[Piece]()
    for body in bodies:
        pieces += assembler.feed(body)
    done = assembler.finish()
    return [*pieces, *done.pieces], done


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces if isinstance(piece, TextPiece))


CALL = '{"tool": "stock", "arguments": {"sku": "A-1"}}'


def test_an_answer_is_told_as_it_comes() -> None:
    assembler = JsonToolsAssembler(Assembler())
    assert assembler.feed(chunk(content='{"tool": "answer", "con')) == []
    assert assembler.feed(chunk(content='tent": "Forty')) == [TextPiece("Forty")]
    assert assembler.feed(chunk(content="-one\\n")) == [TextPiece("-one\n")]
    assert assembler.feed(chunk(content='."}') + chunk("stop")) == [TextPiece(".")]
    assert assembler.finished
    done = assembler.finish()
    assert (done.message.content, done.message.tool_calls, done.finish) == ("Forty-one\n.", (), "stop")


def test_a_call_is_told_by_its_name_and_then_by_its_arguments() -> None:
    pieces, done = read(stream('{"tool": "st', 'ock", "argum', 'ents": {"sku"', ': "A-1"}}'))
    assert pieces == [
        ArgumentsPiece("call_0", "stock", ""),
        ArgumentsPiece("call_0", "stock", '{"sku"'),
        ArgumentsPiece("call_0", "stock", ': "A-1"}'),
    ]
    assert done.message.tool_calls == (ToolCall("call_0", "stock", '{"sku": "A-1"}'),)
    assert (done.message.content, done.finish) == ("", "tool_calls")


def test_members_in_another_order_and_arguments_in_a_string_are_the_same_call() -> None:
    for text in (
        '{"arguments": {"sku": "A-1"}, "tool": "stock"}',
        '{"thought": "hm", "tool": "stock", "arguments": {"sku": "A-1"}}',
        ' \n{"tool":"stock","arguments":"{\\"sku\\": \\"A-1\\"}"}\n',
    ):
        _, done = read(stream(text))
        assert done.message.tool_calls == (ToolCall("call_0", "stock", '{"sku": "A-1"}'),), text


def test_a_call_without_arguments_has_none() -> None:
    for text in ('{"tool": "now"}', '{"tool": "now", "arguments": null}', '{"tool": "now", "arguments": {}}'):
        _, done = read(stream(text))
        assert done.message.tool_calls == (ToolCall("call_0", "now", "{}"),)


def test_a_body_that_is_not_streamed_is_read_alike() -> None:
    body = json.dumps({"choices": [{"message": {"content": CALL}, "finish_reason": "stop"}]}).encode()
    pieces, done = read(body)
    assert done.message.tool_calls == (ToolCall("call_0", "stock", '{"sku": "A-1"}'),)
    assert pieces and all(isinstance(piece, ArgumentsPiece) for piece in pieces)


def test_an_answer_that_follows_a_schema_is_its_json() -> None:
    pieces, done = read(stream('{"tool": "answer", "content": {"left"', ": 41}}"))
    assert done.message.content == text_of(pieces) == '{"left": 41}'


@pytest.mark.parametrize(
    "text",
    [
        "There are 41.",
        "",
        "  ",
        '["a"]',
        '{"units": 41}',
        '{"content": "x"}',
        '{"arguments": {}}',
        "{}",
        "```json\n{}\n```",
        '{"a" - no',
        "41 {",
    ],
)
def test_text_of_another_form_is_the_answer(text: str) -> None:
    pieces, done = read(stream(*text))
    assert done.message.content == text_of(pieces) == text
    assert (done.message.tool_calls, done.finish) == ((), "stop")


def test_what_follows_a_call_spoils_its_arguments_so_that_it_is_not_run() -> None:
    for text in (CALL + CALL, CALL + " and so on", '{"tool": "stock", "arguments": {} "x"}'):
        _, done = read(stream(text))
        (call,) = done.message.tool_calls
        assert call.name == "stock"
        with pytest.raises(ValueError, match="Extra data"):
            json.loads(call.arguments)


def test_what_follows_an_answer_is_part_of_it() -> None:
    _, done = read(stream('{"tool": "answer", "content": "Yes."} I hope', " so."))
    assert done.message.content == "Yes. I hope so."


@pytest.mark.parametrize(
    "text", ['{"to', '{"tool": "sto', '{"tool": "answer", "co', '{"tool": "stock", "arguments": {"sku"', "{"]
)
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_a_call_that_ends_in_the_middle_is_no_reply(text: str, finish: str) -> None:
    with pytest.raises(ReplyIncomplete):
        read(stream(text, finish=finish))


def test_an_answer_that_reached_its_bound_is_one_and_one_that_just_stops_is_none() -> None:
    _, done = read(stream('{"tool": "answer", "content": "Forty', finish="length"))
    assert (done.message.content, done.finish) == ("Forty", "length")
    with pytest.raises(ReplyIncomplete, match="ends in the middle"):
        read(stream('{"tool": "answer", "content": "Forty', finish="stop"))


def test_a_reply_that_breaks_off_is_none_whatever_was_in_it() -> None:
    with pytest.raises(ReplyIncomplete, match="broke off"):
        read(chunk(content=CALL))


def test_a_whole_call_before_the_bound_is_kept_as_that() -> None:
    _, done = read(stream(CALL, finish="length"))
    assert (done.finish, len(done.message.tool_calls)) == ("length", 1)


def test_a_filtered_reply_ends_as_one() -> None:
    _, done = read(stream('{"tool": "answer", "content": "For', finish="content_filter"))
    assert (done.message.content, done.finish) == ("For", "content_filter")
    _, done = read(stream(CALL[:-3], finish="content_filter"))
    assert (done.message.tool_calls, done.finish) == ((), "content_filter")


def test_reasoning_and_calls_of_the_dialect_itself_pass_through() -> None:
    native = {"index": 0, "id": "a", "function": {"name": "stock", "arguments": "{}"}}
    pieces, done = read(chunk(reasoning_content="Hm.") + chunk(tool_calls=[native]) + stream())
    assert pieces == [ReasoningPiece("Hm."), ArgumentsPiece("a", "stock", "{}")]
    assert done.message.tool_calls == (ToolCall("a", "stock", "{}"),)
    assert done.finish == "tool_calls"
    assert json.loads(done.message.extra or "") == {"reasoning_content": "Hm."}


def test_signs_of_life_are_those_of_the_wire() -> None:
    assembler = JsonToolsAssembler(Assembler())
    assembler.feed(b": waiting\n\n")
    assert assembler.heard == 0
    assembler.feed(stream('{"tool": "answer", "content": ""}'))
    assert assembler.heard > 1 and assembler.done


@pytest.mark.parametrize(
    "text",
    [
        '{"tool": "answer", "arguments": {"to": 1}}',
        '{"tool": "answer", "arguments": {"to": 1}, "content": "x"}',
        '{"arguments": {"to": 1}, "tool": "answer"}',
    ],
)
def test_a_tool_may_be_called_answer(text: str) -> None:
    pieces, done = read(stream(text))
    assert done.message.tool_calls == (ToolCall("call_0", "answer", '{"to": 1}'),)
    assert done.message.content == text_of(pieces) == ""


TEXTS = st.text(alphabet=' {}[]":,\\toolanswergumds1\n', max_size=60) | st.sampled_from(
    [
        CALL,
        CALL + "x",
        '{"tool": "answer", "content": "\\ud83d\\ude00"} and',
        '{"tool": "answer", "content": {"a": 1}, "arguments": 1}',
        '{"tool": "a", "content": "b", "tool": "b", "arguments": {}}',
    ]
)


@given(TEXTS, st.sampled_from(["stop", "length"]), st.lists(st.integers(0, 60)))
def test_cuts_make_no_difference(text: str, finish: str, places: list[int]) -> None:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    parts = [text[start:end] for start, end in pairwise(edges)]
    outcomes: list[object] = []
    for body in (stream(text, finish=finish), stream(*parts, finish=finish)):
        try:
            pieces, done = read(body)
            outcomes.append((done.message, done.finish))
            assert text_of(pieces) == done.message.content
        except ReplyIncomplete as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
