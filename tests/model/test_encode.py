"""The body that goes out."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from agentrt.messages import AssistantMessage, Message, SystemMessage, ToolCall, ToolMessage, ToolSpec, UserMessage
from agentrt.model.encode import encode_request
from agentrt.model.model import ModelRequest

LOOK = ToolSpec("look", "Looks.", msgspec.Raw(b'{"type":"object","properties":{"q":{"type":"string"}}}'))


def sent(*messages: Message, **fields: Any) -> Any:
    return json.loads(encode_request(ModelRequest("m", messages, **fields)))


def test_a_small_request_says_no_more_than_it_must() -> None:
    assert sent(UserMessage("Grüße")) == {
        "model": "m",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": "Grüße"}],
    }


def test_a_conversation_with_tools_is_written_as_documented() -> None:
    body = sent(
        SystemMessage("Be brief."),
        UserMessage("hi"),
        AssistantMessage("", (ToolCall("a", "look", '{"q": "x"}'),)),
        ToolMessage("a", "look", "found"),
        AssistantMessage("Done."),
        tools=(LOOK,),
        max_output_tokens=5,
        temperature=0.0,
    )
    assert body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "look", "arguments": '{"q": "x"}'}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "found"},
        {"role": "assistant", "content": "Done."},
    ]
    parameters = {"type": "object", "properties": {"q": {"type": "string"}}}
    function = {"name": "look", "description": "Looks.", "parameters": parameters}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert (body["max_completion_tokens"], body["temperature"]) == (5, 0.0)


@pytest.mark.parametrize(
    "arguments", ["", "{q}", '{"q":', "[1]", "7", '{"q":1}{"q":2}', "[" * 100_000 + "]" * 100_000, '{"\ud800":1}']
)
def test_arguments_that_are_no_object_go_out_as_an_empty_one(arguments: str) -> None:
    message = sent(AssistantMessage("", (ToolCall("a", "look", arguments), ToolCall("b", "look", '{"q":1}'))))[
        "messages"
    ][0]
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == ["{}", '{"q":1}']


def test_what_the_provider_wants_back_goes_back_and_replaces_nothing_of_ours() -> None:
    extra = {
        "reasoning_content": "Hm.",
        "role": "system",
        "content": "no",
        "tool_calls": [{}, {"sig": "s", "id": "no"}],
    }
    calls = (ToolCall("a", "look"), ToolCall("b", "look"))
    message = sent(AssistantMessage("Hello", calls, json.dumps(extra)))["messages"][0]
    assert message["role"] == "assistant"
    assert message["content"] == "Hello"
    assert message["reasoning_content"] == "Hm."
    assert [call["id"] for call in message["tool_calls"]] == ["a", "b"]
    assert message["tool_calls"][1]["sig"] == "s"


def test_unknown_fields_of_calls_go_nowhere_when_there_are_no_calls() -> None:
    assert sent(AssistantMessage("Hello", (), '{"tool_calls":[{"sig":"s"}]}'))["messages"] == [
        {"role": "assistant", "content": "Hello"}
    ]


def test_lone_surrogates_are_replaced_wherever_they_stand() -> None:
    tool = ToolSpec("look", "Looks\ud800.", LOOK.parameters)
    body = sent(UserMessage("a\ud83d"), ToolMessage("a", "look", "\udc00b"), tools=(tool,))
    assert [message["content"] for message in body["messages"]] == ["a\ufffd", "\ufffdb"]
    assert body["tools"][0]["function"]["description"] == "Looks\ufffd."


def test_the_same_request_gives_the_same_bytes_and_a_longer_one_begins_alike() -> None:
    asked: tuple[Message, ...] = (SystemMessage("Be brief."), UserMessage("hi"))
    short = encode_request(ModelRequest("m", asked, (LOOK,)))
    assert short == encode_request(ModelRequest("m", asked, (LOOK,)))
    longer = encode_request(ModelRequest("m", (*asked, AssistantMessage("Hello")), (LOOK,)))
    assert longer.startswith(short.removesuffix(b"]}"))


def test_a_long_conversation_is_encoded_in_well_under_a_millisecond() -> None:
    turn = (AssistantMessage("", (ToolCall("a", "look", '{"q":"x"}'),)), ToolMessage("a", "look", "found " * 50))
    request = ModelRequest("m", (UserMessage("hi"), *turn * 50), (LOOK,))
    best = 1.0
    for _ in range(20):
        began = time.process_time()
        encode_request(request)
        best = min(best, time.process_time() - began)
    assert best < 1e-3
