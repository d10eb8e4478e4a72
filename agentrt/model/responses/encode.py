"""A request as the bytes of a body for the Responses API, whose memory is not used.

The conversation is a list of items: messages, calls, results and, in their places between these, what the model
reasoned, which a reasoning model wants back (see `assemble.py` for how it is kept). Messages and calls go without
ids, so that nothing is looked up among what was not stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from agentrt.messages import (
    AssistantMessage,
    ImagePart,
    Message,
    Part,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from agentrt.model.encode import mended_request, with_options
from agentrt.model.images import image_url
from agentrt.model.model import ModelRequest
from agentrt.model.replay import replayed
from agentrt.model.responses.layout import Reasoned, Spoken, read_layout
from agentrt.profiles import OPENAI, Profile


class _Text(msgspec.Struct, tag_field="type", tag="input_text"):
    text: str


class _Image(msgspec.Struct, tag_field="type", tag="input_image"):
    image_url: str
    detail: str = "auto"


class _Spoken(msgspec.Struct, tag_field="type", tag="message", omit_defaults=True):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Text | _Image]
    phase: str | None = None


class _Call(msgspec.Struct, tag_field="type", tag="function_call"):
    call_id: str
    name: str
    arguments: str


class _Result(msgspec.Struct, tag_field="type", tag="function_call_output"):
    call_id: str
    output: str


class _Tool(msgspec.Struct, tag_field="type", tag="function"):
    name: str
    description: str
    parameters: msgspec.Raw
    strict: bool = False


class _Format(msgspec.Struct, tag_field="type", tag="json_schema"):
    schema: msgspec.Raw
    name: str = "answer"
    strict: bool = True


class _TextOptions(msgspec.Struct):
    format: _Format


_Item = _Spoken | _Call | _Result | dict[str, Any]


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    stream: bool
    store: bool
    include: list[str] | msgspec.UnsetType
    tools: list[_Tool] | msgspec.UnsetType
    text: _TextOptions | msgspec.UnsetType
    instructions: str | msgspec.UnsetType
    input: list[_Item]
    max_output_tokens: int | None = None
    temperature: float | None = None


_ENCRYPTED = ["reasoning.encrypted_content"]
_ENCODER = msgspec.json.Encoder()


def encode_responses_request(request: ModelRequest, profile: Profile = OPENAI) -> bytes:
    """The body of a request; nothing of it is stored at the provider's.

    A schema goes out as strict, tools do not: theirs may have optional arguments. Arguments of earlier calls that are
    no JSON object go out as `{}`.
    """
    try:
        return _ENCODER.encode(with_options(_body(request, profile), request))
    except UnicodeEncodeError:
        request = mended_request(request)
        return _ENCODER.encode(with_options(_body(request, profile), request))


def _body(request: ModelRequest, profile: Profile) -> _Body:
    messages = request.messages
    instructions: str | msgspec.UnsetType = msgspec.UNSET
    if messages and isinstance(messages[0], SystemMessage):
        instructions, messages = messages[0].content, messages[1:]
    asked = any(fnmatchcase(request.model, pattern) for pattern in profile.encrypted_reasoning)
    tools = [_Tool(tool.name, tool.description, tool.parameters) for tool in request.tools]
    return _Body(
        model=request.model,
        stream=profile.stream,
        store=False,
        include=_ENCRYPTED if asked else msgspec.UNSET,
        tools=tools or msgspec.UNSET,
        text=msgspec.UNSET if request.schema is None else _TextOptions(_Format(request.schema)),
        instructions=instructions,
        input=[item for message in messages for item in _items(message)],
        max_output_tokens=request.max_output_tokens,
        temperature=request.temperature,
    )


def _items(message: Message) -> Iterator[_Item]:
    match message:
        case AssistantMessage():
            yield from _said(message)
        case ToolMessage():
            yield _Result(message.call_id, message.content)
        case SystemMessage():
            yield _Spoken("system", message.content)
        case UserMessage(content):
            yield _Spoken("user", content if isinstance(content, str) else [_part(part) for part in content])


def _part(part: Part) -> _Text | _Image:
    return _Image(image_url(part), part.detail or "auto") if isinstance(part, ImagePart) else _Text(part.text)


def _said(message: AssistantMessage) -> Iterator[_Item]:
    """The items of a reply in the order in which they came, where that is known, or text before calls."""
    text, calls = message.content, iter(message.tool_calls)
    for place in read_layout(message):
        match place:
            case Reasoned(item):
                yield item
            case Spoken(length, phase):
                yield _Spoken("assistant", text[:length], phase)
                text = text[length:]
            case _:
                yield _call(next(calls))
    if text:
        yield _Spoken("assistant", text)
    yield from map(_call, calls)


def _call(call: ToolCall) -> _Call:
    call = replayed(call)
    return _Call(call.id, call.name, call.arguments)
