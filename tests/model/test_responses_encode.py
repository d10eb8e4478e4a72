"""The body that goes out to the Responses API, checked by the types of the openai package."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any, get_type_hints

import msgspec
import pytest
from openai.types.responses import (
    EasyInputMessageParam,
    FunctionToolParam,
    ResponseFormatTextJSONSchemaConfigParam,
    ResponseFunctionToolCallParam,
    ResponseInputImageParam,
    ResponseInputTextParam,
    ResponseReasoningItemParam,
)
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from openai.types.responses.response_input_item_param import FunctionCallOutput
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
from agentrt.model.model import ModelRequest
from agentrt.model.responses.encode import encode_responses_request
from agentrt.profiles import PROFILES

OPENAI = PROFILES["openai-responses"]
LOOK = ToolSpec("look", "Looks.", msgspec.Raw(b'{"type":"object","properties":{"q":{"type":"string"}}}'))
REASONED = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"}


def layout(*items: dict[str, Any]) -> str:
    return json.dumps({"items": items})


def spoken(length: int, **fields: Any) -> dict[str, Any]:
    return {"type": "spoken", "length": length, **fields}


def reasoned(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "reasoned", "item": item}


CALLED = {"type": "called"}


def sent(*messages: Message, model: str = "gpt-5-mini", **fields: Any) -> Any:
    body = json.loads(encode_responses_request(ModelRequest(model, messages, **fields), OPENAI))
    documented(body)
    return body


def documented(body: Any) -> None:
    """Every part of the body is one that the package knows, with the types that it gives."""
    assert set(body) <= set(get_type_hints(ResponseCreateParamsStreaming))
    for item in body["input"]:
        of_type(item, ITEMS[item["type"]])
        if isinstance(item.get("content"), list):
            for part in item["content"]:
                of_type(part, PARTS[part["type"]])
    for tool in body.get("tools", ()):
        of_type(tool, FunctionToolParam)
    if "text" in body:
        of_type(body["text"]["format"], ResponseFormatTextJSONSchemaConfigParam)


ITEMS: dict[str, Any] = {
    "message": EasyInputMessageParam,
    "function_call": ResponseFunctionToolCallParam,
    "function_call_output": FunctionCallOutput,
    "reasoning": ResponseReasoningItemParam,
}
PARTS: dict[str, Any] = {"input_text": ResponseInputTextParam, "input_image": ResponseInputImageParam}


def of_type(value: Any, kind: Any) -> None:
    assert set(value) <= set(get_type_hints(kind)), kind
    TypeAdapter(kind).validate_python(value, strict=True)


def test_a_small_request_is_streamed_and_stored_nowhere() -> None:
    assert sent(UserMessage("Grüße"), model="gpt-4.1") == {
        "model": "gpt-4.1",
        "stream": True,
        "store": False,
        "input": [{"type": "message", "role": "user", "content": "Grüße"}],
    }


def test_a_conversation_with_tools_is_written_as_documented() -> None:
    body = sent(
        SystemMessage("Be brief."),
        UserMessage("hi"),
        AssistantMessage("Let me see.", (ToolCall("a", "look", '{"q": "x"}'), ToolCall("b", "look", "{q"))),
        ToolMessage("a", "look", "found"),
        ToolMessage("b", "look", "no JSON"),
        AssistantMessage("Done."),
        SystemMessage("Be polite."),
        tools=(LOOK,),
        max_output_tokens=5,
        temperature=0.0,
    )
    assert body["instructions"] == "Be brief."
    assert body["input"] == [
        {"type": "message", "role": "user", "content": "hi"},
        {"type": "message", "role": "assistant", "content": "Let me see."},
        {"type": "function_call", "call_id": "a", "name": "look", "arguments": '{"q": "x"}'},
        {"type": "function_call", "call_id": "b", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "found"},
        {"type": "function_call_output", "call_id": "b", "output": "no JSON"},
        {"type": "message", "role": "assistant", "content": "Done."},
        {"type": "message", "role": "system", "content": "Be polite."},
    ]
    parameters = {"type": "object", "properties": {"q": {"type": "string"}}}
    assert body["tools"] == [
        {"type": "function", "name": "look", "description": "Looks.", "parameters": parameters, "strict": False}
    ]
    assert (body["max_output_tokens"], body["temperature"]) == (5, 0.0)


def test_a_schema_is_asked_for_to_the_letter() -> None:
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    body = sent(UserMessage("hi"), schema=msgspec.Raw(json.dumps(schema).encode()))
    assert body["text"] == {"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}}


def test_options_go_out_as_they_are_beside_ours_and_before_them() -> None:
    schema = msgspec.Raw(b'{"type":"object"}')
    options = {"reasoning": {"effort": "low"}, "store": True, "text": {"verbosity": "low"}}
    body = sent(UserMessage("hi"), options=options, schema=schema)
    assert (body["reasoning"], body["store"], body["text"]["verbosity"]) == ({"effort": "low"}, True, "low")
    assert body["text"]["format"]["schema"] == {"type": "object"}
    assert body["include"] == ["reasoning.encrypted_content"]


def test_images_are_sent_by_address_or_as_data() -> None:
    body = sent(
        UserMessage(
            (TextPart("Which?"), ImagePart(data=b"\x89PNG", media_type="image/png"), ImagePart(url="https://x/a"))
        )
    )
    assert body["input"][0]["content"] == [
        {"type": "input_text", "text": "Which?"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw==", "detail": "auto"},
        {"type": "input_image", "image_url": "https://x/a", "detail": "auto"},
    ]


@pytest.mark.parametrize(("model", "asked"), [("gpt-5-mini", True), ("o4-mini", True), ("gpt-4.1", False)])
def test_models_that_reason_are_asked_to_send_it_along_encrypted(model: str, asked: bool) -> None:
    included = sent(UserMessage("hi"), model=model).get("include")
    assert included == (["reasoning.encrypted_content"] if asked else None)


def test_what_was_reasoned_goes_back_in_its_place() -> None:
    calls = (ToolCall("a", "look", "{}"), ToolCall("b", "look", "{}"))
    second = REASONED | {"id": "rs_2"}
    extra = layout(reasoned(REASONED), spoken(4, phase="commentary"), CALLED, spoken(3), reasoned(second), CALLED)
    items = sent(AssistantMessage("Hm, so.", calls, extra))["input"]
    assert [(item["type"], item.get("content") or item.get("id") or item.get("call_id")) for item in items] == [
        ("reasoning", "rs_1"),
        ("message", "Hm, "),
        ("function_call", "a"),
        ("message", "so."),
        ("reasoning", "rs_2"),
        ("function_call", "b"),
    ]
    assert items[0] == REASONED
    assert [item.get("phase") for item in items if item["type"] == "message"] == ["commentary", None]


@pytest.mark.parametrize(
    "extra",
    [
        layout(reasoned(REASONED), spoken(4), CALLED),  # the text was changed
        layout(reasoned(REASONED), spoken(5)),  # a call was added
        '{"reasoning_content":"Hm."}',  # said by another API of the same provider
        "{}",
        "no JSON",
        '{"items":7}',
        '{"items":[{"type":"other"}]}',
    ],
)
def test_a_message_that_its_layout_does_not_fit_goes_without(extra: str) -> None:
    items = sent(AssistantMessage("Hello", (ToolCall("a", "look"),), extra))["input"]
    assert [item["type"] for item in items] == ["message", "function_call"]


def test_a_message_that_says_nothing_is_not_sent() -> None:
    assert [item["role"] for item in sent(UserMessage("hi"), AssistantMessage(""), UserMessage("?"))["input"]] == [
        "user",
        "user",
    ]


def test_a_provider_that_does_not_stream_is_not_asked_to() -> None:
    request = ModelRequest("m", (UserMessage("hi"),))
    assert json.loads(encode_responses_request(request, replace(OPENAI, stream=False)))["stream"] is False


def test_lone_surrogates_are_replaced_wherever_they_stand() -> None:
    body = sent(
        SystemMessage("\ud800"), UserMessage((TextPart("a\ud83d"), ImagePart(data=b"x", media_type="image/png")))
    )
    assert body["instructions"] == "\ufffd"
    assert body["input"][0]["content"][0]["text"] == "a\ufffd"
    assert body["input"][0]["content"][1]["image_url"] == "data:image/png;base64,eA=="


def test_a_longer_conversation_begins_like_the_shorter_one() -> None:
    asked: tuple[Message, ...] = (SystemMessage("Be brief."), UserMessage("hi"))
    short = encode_responses_request(ModelRequest("m", asked, (LOOK,)), OPENAI)
    longer = encode_responses_request(ModelRequest("m", (*asked, AssistantMessage("Hello")), (LOOK,)), OPENAI)
    assert longer.startswith(short.removesuffix(b"]}"))


def test_a_long_conversation_is_encoded_in_about_a_millisecond() -> None:
    extra = layout(reasoned(REASONED), CALLED)
    turn = (AssistantMessage("", (ToolCall("a", "look", '{"q":"x"}'),), extra), ToolMessage("a", "look", "found " * 50))
    request = ModelRequest("gpt-5", (UserMessage("hi"), *turn * 50), (LOOK,))
    best = 1.0
    for _ in range(20):
        began = time.process_time()
        encode_responses_request(request, OPENAI)
        best = min(best, time.process_time() - began)
    assert best < 2e-3
