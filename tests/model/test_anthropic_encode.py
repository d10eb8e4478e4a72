"""What is sent to Anthropic's Messages API is what its own package would take."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from agentrt.messages import (
    AssistantMessage,
    ImagePart,
    Message,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    ToolSpec,
    UserMessage,
)
from agentrt.model.anthropic.encode import MAX_TOKENS, encode_messages_request
from agentrt.model.model import ModelRequest
from agentrt.profiles import PROFILES

TAKEN = TypeAdapter(MessageCreateParamsStreaming)
TOOL = ToolSpec("stock", "Units.", msgspec.Raw(b'{"type":"object","properties":{"sku":{"type":"string"}}}'))


def sent(*messages: Message, **settings: Any) -> dict[str, Any]:
    body = encode_messages_request(ModelRequest("claude-x", messages, **settings))
    value: dict[str, Any] = json.loads(body)
    TAKEN.validate_python(value)
    return value


def test_a_conversation_with_calls_and_results() -> None:
    body = sent(
        SystemMessage("Be brief."),
        UserMessage("How many?"),
        AssistantMessage("Let me look.", (ToolCall("c1", "stock", '{"sku":"A"}'), ToolCall("c2", "stock", "{}"))),
        ToolMessage("c1", "stock", "12"),
        ToolMessage("c2", "stock", ""),
        UserMessage("And now?"),
        tools=(TOOL,),
    )
    assert body["system"] == "Be brief."
    assert body["max_tokens"] == MAX_TOKENS
    assert body["tools"][0]["input_schema"]["properties"] == {"sku": {"type": "string"}}
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "How many?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "c1", "name": "stock", "input": {"sku": "A"}},
                {"type": "tool_use", "id": "c2", "name": "stock", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "12"},
                {"type": "tool_result", "tool_use_id": "c2"},
                {"type": "text", "text": "And now?"},
            ],
        },
    ]


def test_blocks_go_back_in_the_order_in_which_they_came() -> None:
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "sig"}
    layout = [thought, {"type": "text", "length": 3}, {"type": "tool_use"}, thought, {"type": "tool_use"}]
    extra = json.dumps({"blocks": layout})
    calls = (ToolCall("c1", "stock"), ToolCall("c2", "stock"))
    body = sent(UserMessage("?"), AssistantMessage("one two", calls, extra), ToolMessage("c1", "stock", "1"))
    said = body["messages"][1]["content"]
    kinds = [block["type"] for block in said]
    assert kinds == ["thinking", "text", "tool_use", "thinking", "tool_use", "text"]
    assert [block["text"] for block in said if block["type"] == "text"] == ["one", " two"]
    assert said[0] == thought


@pytest.mark.parametrize("arguments", ['{"sku', "[]", '{"a":1}{"a":2}', ""])
def test_arguments_that_are_no_object_go_out_as_an_empty_one(arguments: str) -> None:
    body = sent(UserMessage("?"), AssistantMessage("", (ToolCall("c1", "stock", arguments),)))
    assert body["messages"][1]["content"] == [{"type": "tool_use", "id": "c1", "name": "stock", "input": {}}]


def test_images_are_bytes_or_addresses() -> None:
    parts = (TextPart("What is this?"), ImagePart(b"PNG", "image/png"), ImagePart(url="https://example.org/a.png"))
    assert sent(UserMessage(parts))["messages"][0]["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "UE5H"}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
    ]


def test_ids_of_other_providers_become_ids_that_are_taken_and_stay_apart() -> None:
    calls = (ToolCall("call:1", "stock"), ToolCall("call.1", "stock"))
    body = sent(UserMessage("?"), AssistantMessage("", calls), *(ToolMessage(call.id, "stock", "1") for call in calls))
    asked = [block["id"] for block in body["messages"][1]["content"]]
    answered = [block["tool_use_id"] for block in body["messages"][2]["content"]]
    assert asked == answered
    assert len(set(asked)) == 2
    assert all(name.replace("_", "").isalnum() for name in asked)


def test_settings_are_sent_only_where_they_are_made() -> None:
    plain = sent(UserMessage("?"))
    assert plain.keys() == {"model", "stream", "max_tokens", "messages"}
    schema = msgspec.Raw(b'{"type":"object"}')
    body = sent(UserMessage("?"), max_output_tokens=10, temperature=0.5, schema=schema)
    assert (body["max_tokens"], body["temperature"]) == (10, 0.5)
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": {"type": "object"}}}


def test_messages_that_say_nothing_are_left_out() -> None:
    body = sent(UserMessage("?"), AssistantMessage(""), UserMessage("Hello?"))
    assert [message["role"] for message in body["messages"]] == ["user"]


@pytest.mark.parametrize("kind", ["thinking", "redacted_thinking"])
def test_thoughts_that_led_to_nothing_are_not_sent_back(kind: str) -> None:
    thought = {"thinking": {"thinking": "Hm", "signature": ""}, "redacted_thinking": {"data": "xyz"}}[kind]
    extra = json.dumps({"blocks": [{"type": kind} | thought]})
    body = sent(UserMessage("?"), AssistantMessage("", extra=extra), UserMessage("Go on."))
    assert [message["role"] for message in body["messages"]] == ["user"]
    body = sent(UserMessage("?"), AssistantMessage("One.", extra=extra))  # the text came first, or was put there since
    assert [block["type"] for block in body["messages"][1]["content"]] == [kind, "text"]


def test_an_endpoint_that_cannot_stream_is_asked_for_the_whole() -> None:
    profile = replace(PROFILES["anthropic"], stream=False)
    assert json.loads(encode_messages_request(ModelRequest("m", ()), profile))["stream"] is False


def test_half_a_surrogate_pair_is_mended() -> None:
    body = sent(UserMessage("a\ud800b"), AssistantMessage("", (ToolCall("c", "stock", '{"a":"\\ud800"}'),)))
    assert body["messages"][0]["content"][0]["text"] == "a\ufffdb"


@given(st.lists(st.sampled_from(["u", "a", "t", "s"]), max_size=8))
def test_any_order_of_messages_is_a_request(kinds: list[str]) -> None:
    made: dict[str, Message] = {
        "u": UserMessage("u"),
        "a": AssistantMessage("a", (ToolCall("c", "stock"),)),
        "t": ToolMessage("c", "stock", "1"),
        "s": SystemMessage("s"),
    }
    roles = [message["role"] for message in sent(*(made[kind] for kind in kinds))["messages"]]
    assert all(one != other for one, other in pairwise(roles)), "turns alternate"


def test_options_go_along_and_objects_of_one_name_are_merged() -> None:
    schema, options = msgspec.Raw(b'{"type":"object"}'), {"top_k": 5, "output_config": {"effort": "low"}}
    body = sent(UserMessage("?"), schema=schema, options=options)
    assert body["top_k"] == 5
    assert body["output_config"].keys() == {"format", "effort"}
