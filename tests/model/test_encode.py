"""The body that goes out."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest
from openai.types.chat import (
    ChatCompletionContentPartImageParam,
    ChatCompletionContentPartTextParam,
    completion_create_params,
)
from openai.types.shared_params import ResponseFormatJSONSchema
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
from agentrt.model import encode
from agentrt.model.encode import KeptMessages, encode_request
from agentrt.model.model import ModelRequest
from agentrt.profiles import OPENAI, PROFILES, Profile

LOOK = ToolSpec("look", "Looks.", msgspec.Raw(b'{"type":"object","properties":{"q":{"type":"string"}}}'))


def sent(*messages: Message, profile: Profile = OPENAI, **fields: Any) -> Any:
    return json.loads(encode_request(ModelRequest("m", messages, **fields), profile))


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


def test_images_are_sent_by_address_or_as_data() -> None:
    picture = ImagePart(data=b"\x89PNG", media_type="image/png", detail="low")
    content = sent(UserMessage((TextPart("Which?"), picture, ImagePart(url="https://x/a.png"))))["messages"][0][
        "content"
    ]
    assert content == [
        {"type": "text", "text": "Which?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw==", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://x/a.png"}},
    ]
    TypeAdapter(ChatCompletionContentPartTextParam).validate_python(content[0], strict=True)
    for part in content[1:]:
        TypeAdapter(ChatCompletionContentPartImageParam).validate_python(part, strict=True)


def test_a_schema_is_asked_for_to_the_letter() -> None:
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    asked = sent(UserMessage("hi"), schema=msgspec.Raw(json.dumps(schema).encode()))["response_format"]
    assert asked == {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}
    TypeAdapter(ResponseFormatJSONSchema).validate_python(asked, strict=True)


def test_the_bound_of_a_reply_goes_by_the_name_that_the_endpoint_knows() -> None:
    known = completion_create_params.CompletionCreateParamsStreaming.__annotations__
    for name in ("max_completion_tokens", "max_tokens"):
        body = sent(UserMessage("hi"), profile=Profile(max_tokens=name), max_output_tokens=5)
        assert {key: body[key] for key in body if key.startswith("max")} == {name: 5}
        assert name in known


def test_an_endpoint_is_asked_for_no_stream_and_no_usage_that_it_cannot_give() -> None:
    assert "stream_options" not in sent(UserMessage("hi"), profile=Profile(usage_in_stream=False))
    whole = sent(UserMessage("hi"), profile=Profile(stream=False))
    assert whole["stream"] is False
    assert "stream_options" not in whole


def test_an_endpoint_is_given_back_only_what_it_takes() -> None:
    extra = json.dumps({"reasoning": "Hm.", "x": 1, "tool_calls": [{"sig": "s"}]})
    said = AssistantMessage("", (ToolCall("a", "look"),), extra)
    all_of_it = sent(said)["messages"][0]
    assert (all_of_it["x"], all_of_it["tool_calls"][0]["sig"]) == (1, "s")
    some = sent(said, profile=Profile(given_back=frozenset({"reasoning"})))["messages"][0]
    assert (some["reasoning"], "x" in some, "sig" in some["tool_calls"][0]) == ("Hm.", False, False)
    none = sent(said, profile=PROFILES["groq"])["messages"][0]
    assert set(none) == {"role", "content", "tool_calls"}


def test_what_an_endpoint_needs_beside_calls_is_there_even_if_it_is_empty() -> None:
    calls = (ToolCall("a", "look"),)
    messages = sent(
        AssistantMessage("", calls),
        AssistantMessage("", calls, '{"reasoning_content":"Hm.","x":1}'),
        AssistantMessage("Hello"),
        profile=PROFILES["deepseek"],
    )["messages"]
    assert [message.get("reasoning_content") for message in messages] == ["", "Hm.", None]
    assert "x" not in messages[1]


def test_options_go_out_as_they_are() -> None:
    body = sent(UserMessage("hi"), options={"reasoning_effort": "low", "user": "\ud800"}, max_output_tokens=5)
    assert body == sent(UserMessage("hi"), max_output_tokens=5) | {"reasoning_effort": "low", "user": "\ufffd"}


def test_unknown_fields_of_calls_go_nowhere_when_there_are_no_calls() -> None:
    assert sent(AssistantMessage("Hello", (), '{"tool_calls":[{"sig":"s"}]}'))["messages"] == [
        {"role": "assistant", "content": "Hello"}
    ]


def test_lone_surrogates_are_replaced_wherever_they_stand() -> None:
    tool = ToolSpec("look", "Looks\ud800.", LOOK.parameters)
    body = sent(UserMessage("a\ud83d"), ToolMessage("a", "look", "\udc00b"), tools=(tool,))
    assert [message["content"] for message in body["messages"]] == ["a\ufffd", "\ufffdb"]
    assert body["tools"][0]["function"]["description"] == "Looks\ufffd."
    content = sent(UserMessage((TextPart("\ud800"), ImagePart(data=b"x", media_type="image/png"))))["messages"][0][
        "content"
    ]
    assert (content[0]["text"], content[1]["image_url"]["url"]) == ("\ufffd", "data:image/png;base64,eA==")


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


def test_messages_that_are_kept_go_out_as_they_would_anew() -> None:
    kept = KeptMessages()
    said: tuple[Message, ...] = (
        SystemMessage("Be brief."),
        UserMessage((TextPart("Look"), ImagePart(data=b"x", media_type="image/png"))),
        AssistantMessage("", (ToolCall("a", "look", "no object"),), '{"reasoning_content":"Hm."}'),
        ToolMessage("a", "look", "found"),
        AssistantMessage("Hello"),
    )
    for count in (1, 3, 5, 5, 2):
        request = ModelRequest("m", said[:count], (LOOK,))
        assert encode_request(request, kept=kept) == encode_request(request)


def test_a_message_that_took_the_place_of_a_forgotten_one_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_MOST_KEPT", 2000)
    kept = KeptMessages()
    for n in range(500):
        request = ModelRequest("m", (UserMessage(f"number {n}"),))  # of which only the latest few live on
        assert encode_request(request, kept=kept) == encode_request(request)
    assert kept._size <= 2000
    assert kept._size == sum(size for _, _, size in kept._kept.values())


def test_a_message_too_large_to_keep_pushes_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "_LARGEST_KEPT", 1000)
    kept = KeptMessages()
    small, large = UserMessage("hi"), UserMessage("x" * 1000)
    encode_request(ModelRequest("m", (small, large)), kept=kept)
    assert [message for message, _, _ in kept._kept.values()] == [small]


def test_a_kept_conversation_of_thousands_of_messages_is_encoded_in_little_time() -> None:
    kept = KeptMessages()
    calls = [AssistantMessage("", (ToolCall(f"c{n}", "look", '{"q":"x"}'),)) for n in range(4000)]
    request = ModelRequest("m", (UserMessage("hi"), *calls), (LOOK,))
    encode_request(request, kept=kept)

    def took(kept: KeptMessages | None) -> float:
        began = time.process_time()
        encode_request(request, kept=kept)
        return time.process_time() - began

    assert min(took(kept) for _ in range(5)) < min(took(None) for _ in range(5)) / 3


def test_lone_surrogates_are_replaced_in_a_conversation_that_is_kept() -> None:
    kept = KeptMessages()
    request = ModelRequest("m", (UserMessage("hi"), ToolMessage("a", "look", "\udc00b")))
    for _ in range(2):
        assert json.loads(encode_request(request, kept=kept))["messages"][1]["content"] == "\ufffdb"
