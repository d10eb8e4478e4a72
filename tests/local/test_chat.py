from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.local.chat import FRAGMENT, BadRequest, Completion, read_chat, write_stream, write_whole
from agentrt.messages import AssistantMessage, SystemMessage, ToolCall, ToolMessage, UserMessage

CALL = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "rules", "messages": [{"role": "user", "content": "hi"}], **fields}).encode()


def refused(raw: bytes) -> dict[str, Any]:
    with pytest.raises(BadRequest) as caught:
        read_chat(raw)
    assert caught.value.status == 400
    error: dict[str, Any] = json.loads(caught.value.body)["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    return error


def completion(text: str = "", *calls: ToolCall) -> Completion:
    return Completion("chatcmpl-1", 7, "rules", AssistantMessage(text, calls), 10, 5)


def chunks(events: list[bytes]) -> list[dict[str, Any]]:
    assert all(event.startswith(b"data: ") and event.endswith(b"\n\n") for event in events)
    assert events[-1] == b"data: [DONE]\n\n"
    return [json.loads(event[6:]) for event in events[:-1]]


def test_a_conversation_is_read_in_our_terms() -> None:
    asked = read_chat(
        body(
            stream=True,
            stream_options={"include_usage": True},
            temperature=0.3,
            messages=[
                {"role": "system", "content": "be brief"},
                {"role": "developer", "content": [{"type": "text", "text": "be "}, {"type": "text", "text": "kind"}]},
                {"role": "user", "content": "find it"},
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": "found"},
            ],
            tools=[{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}],
        )
    )
    assert asked.stream
    assert asked.include_usage
    assert asked.messages == (
        SystemMessage("be brief"),
        SystemMessage("be kind"),
        UserMessage("find it"),
        AssistantMessage("", (ToolCall("c1", "search", "{}"),)),
        ToolMessage("c1", "search", "found"),
    )
    (tool,) = asked.tools
    assert (tool.name, tool.description, json.loads(bytes(tool.parameters))) == ("search", "", {"type": "object"})


def test_tool_choice_none_withholds_the_tools() -> None:
    offer = {"type": "function", "function": {"name": "search"}}
    assert read_chat(body(tools=[offer], tool_choice="none")).tools == ()
    assert len(read_chat(body(tools=[offer], tool_choice="auto")).tools) == 1


@pytest.mark.parametrize(
    ("raw", "param", "code"),
    [
        (b"{", None, None),
        (b"\xff", None, None),
        (b"[]", None, None),
        (b'{"model": "rules"}', None, None),
        (body(messages=[]), "messages", "empty_array"),
        (body(messages=[{"role": "user", "content": 7}]), "messages[0].content", None),
        (body(messages=[{"role": "wizard", "content": ""}]), "messages[0].role", None),
        (body(n=2), "n", "unsupported_value"),
        (body(tool_choice="required"), "tool_choice", "unsupported_value"),
        (body(tool_choice={"type": "function"}), "tool_choice", "unsupported_value"),
        (body(response_format={"type": "json_object"}), "response_format", "unsupported_value"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_by_the_name_of_its_fault(
    raw: bytes, param: str | None, code: str | None
) -> None:
    error = refused(raw)
    assert (error["param"], error["code"]) == (param, code)


def test_every_call_needs_its_result_and_every_result_its_call() -> None:
    user = {"role": "user", "content": "hi"}
    called = {"role": "assistant", "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "c1", "content": ""}
    assert "c1" in refused(body(messages=[user, called]))["message"]
    assert "c1" in refused(body(messages=[user, called, user]))["message"]
    assert "c1" in refused(body(messages=[user, called, user, result]))["message"]
    assert refused(body(messages=[user, result]))["param"] == "messages.[1].tool_call_id"
    assert refused(body(messages=[user, called, result, result]))["param"] == "messages.[3].tool_call_id"


def test_a_streamed_text_has_role_fragments_finish_and_usage() -> None:
    text = "A sentence that is longer than one fragment of text."
    read = chunks(list(write_stream(completion(text), include_usage=True)))
    assert {(chunk["id"], chunk["object"], chunk["model"]) for chunk in read} == {
        ("chatcmpl-1", "chat.completion.chunk", "rules")
    }
    *said, finish, usage = read
    assert said[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    pieces = [chunk["choices"][0]["delta"]["content"] for chunk in said[1:]]
    assert "".join(pieces) == text
    assert len(pieces) > 3
    assert finish["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert all(chunk["usage"] is None for chunk in (*said, finish))
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def test_usage_is_not_told_unasked() -> None:
    read = chunks(list(write_stream(completion("Hi."), include_usage=False)))
    assert not any("usage" in chunk for chunk in read)


def test_streamed_calls_carry_index_and_id_once_and_arguments_in_fragments() -> None:
    calls = (
        ToolCall("c1", "search", '{"query": "what is a context manager?"}'),
        ToolCall("c2", "fetch", '{"url":"u"}'),
    )
    read = chunks(list(write_stream(completion("", *calls), include_usage=False)))
    assert read[0]["choices"][0]["delta"] == {"role": "assistant", "content": None}
    built: dict[int, dict[str, str]] = {}
    for chunk in read[1:-1]:
        (delta,) = chunk["choices"][0]["delta"]["tool_calls"]
        if "id" in delta:
            assert delta["type"] == "function"
            built[delta["index"]] = {"id": delta["id"], "name": delta["function"]["name"], "arguments": ""}
        built[delta["index"]]["arguments"] += delta["function"]["arguments"]
    assert [ToolCall(**built[n]) for n in sorted(built)] == list(calls)
    assert read[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_an_answer_in_one_piece_says_the_same() -> None:
    read = json.loads(write_whole(completion("", ToolCall("c1", "search", "{}"))))
    assert read["object"] == "chat.completion"
    assert read["usage"]["total_tokens"] == 15
    (choice,) = read["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL]}
    assert json.loads(write_whole(completion("Hi.")))["choices"][0]["message"]["content"] == "Hi."


@given(st.text(max_size=200))
def test_fragments_lose_nothing_and_stay_small(text: str) -> None:
    read = chunks(list(write_stream(completion(text), include_usage=False)))
    pieces = [chunk["choices"][0]["delta"]["content"] for chunk in read[1:-1]]
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= FRAGMENT for piece in pieces)
