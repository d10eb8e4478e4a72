"""A request as the bytes of a Chat Completions body.

Written by msgspec from structs of the wire's own shape: a few microseconds, where the package's typed
layer takes milliseconds on the loop. The same request gives the same bytes, tools before messages, so
that a provider's prompt cache finds the longest common beginning. In what endpoints differ is data, their profile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import structs

from agentrt.messages import (
    AssistantMessage,
    ImagePart,
    Message,
    Part,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from agentrt.model.images import image_url
from agentrt.model.model import ModelRequest
from agentrt.model.replay import replayed
from agentrt.profiles import OPENAI, Profile
from agentrt.surrogates import mended


class _Function(msgspec.Struct):
    name: str
    arguments: str


class _Call(msgspec.Struct):
    id: str
    function: _Function
    type: Literal["function"] = "function"


class _ImageUrl(msgspec.Struct, omit_defaults=True):
    url: str
    detail: str | None = None


class _Image(msgspec.Struct, tag_field="type", tag="image_url"):
    image_url: _ImageUrl


class _User(msgspec.Struct, tag_field="role", tag="user"):
    content: list[TextPart | _Image]


class _Assistant(msgspec.Struct, tag_field="role", tag="assistant"):
    content: str | None
    tool_calls: list[_Call] | msgspec.UnsetType = msgspec.UNSET


class _Result(msgspec.Struct, tag_field="role", tag="tool"):
    tool_call_id: str
    content: str


class _ToolFunction(msgspec.Struct):
    name: str
    description: str
    parameters: msgspec.Raw


class _Tool(msgspec.Struct):
    function: _ToolFunction
    type: Literal["function"] = "function"


class _StreamOptions(msgspec.Struct):
    include_usage: bool


class _Schema(msgspec.Struct):
    schema: msgspec.Raw
    name: str = "answer"
    strict: bool = True


class _Format(msgspec.Struct):
    json_schema: _Schema
    type: Literal["json_schema"] = "json_schema"


_Said = SystemMessage | UserMessage | _User | _Assistant | _Result | dict[str, Any] | msgspec.Raw


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    stream: bool
    stream_options: _StreamOptions | msgspec.UnsetType
    tools: list[_Tool] | msgspec.UnsetType
    response_format: _Format | msgspec.UnsetType
    messages: list[_Said]
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None


_WITH_USAGE = _StreamOptions(include_usage=True)
_ENCODER = msgspec.json.Encoder()
_LAYOUTS = frozenset({"items", "blocks"})
"""What the other dialects keep beside a message. A provider of the same name may have spoken one of them before."""
_MOST_KEPT = 8_000_000
_LARGEST_KEPT = 1_000_000
_PER_KEPT = 300
"""Bytes: of all messages that are kept encoded, of the largest one, and of what keeping one costs beside its own."""
_EXTRA = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EXTRA_OF_CALLS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


class KeptMessages:
    """Messages as they went out: a conversation is sent anew with every turn, and is mostly the same objects.

    They are known by their identity, which is theirs as long as they are kept here. The oldest go first.
    """

    def __init__(self, profile: Profile = OPENAI) -> None:
        self._profile = profile
        self._kept: dict[int, tuple[Message, msgspec.Raw, int]] = {}
        self._size = 0

    def encoded(self, messages: Iterable[Message]) -> list[_Said]:
        """The messages in the wire's form."""
        kept = self._kept
        return [
            known[1] if (known := kept.get(id(message))) is not None else self._keep(message) for message in messages
        ]

    def _keep(self, message: Message) -> msgspec.Raw:
        data = _ENCODER.encode(_message(message, self._profile))
        raw, size = msgspec.Raw(data), len(data) + _PER_KEPT
        if size > _LARGEST_KEPT:
            return raw
        self._kept[id(message)] = (message, raw, size)
        self._size += size
        while self._size > _MOST_KEPT:
            _, _, freed = self._kept.pop(next(iter(self._kept)))
            self._size -= freed
        return raw


def encode_request(request: ModelRequest, profile: Profile = OPENAI, kept: KeptMessages | None = None) -> bytes:
    """The body of a request; of a streamed one that asks for usage, too, where the endpoint can do that.

    A schema goes out as strict: OpenAI follows it to the letter, and takes only schemas in which all properties are
    required and no others allowed.

    Arguments of earlier calls that are no JSON object go out as `{}`: what the model wrote stays in our
    history, beside the error it got, but a provider refuses every request that repeats it.

    `kept` knows messages of earlier requests to the same kind of endpoint.
    """
    try:
        said = _said(request, profile) if kept is None else kept.encoded(request.messages)
        return _ENCODER.encode(with_options(_body(request, profile, said), request))
    except UnicodeEncodeError:
        request = mended_request(request)
        return _ENCODER.encode(with_options(_body(request, profile, _said(request, profile)), request))


def with_options(body: msgspec.Struct, request: ModelRequest) -> Any:
    """The body and the request's further fields. Of two of one name these go before ours; objects are merged."""
    if not request.options:
        return body
    fields: dict[str, Any] = {
        name: value for name, value in structs.asdict(body).items() if value is not msgspec.UNSET and value is not None
    }
    for name, value in request.options.items():
        ours = fields.get(name)
        if isinstance(ours, msgspec.Struct) and isinstance(value, Mapping):
            fields[name] = {**structs.asdict(ours), **value}
        else:
            fields[name] = value
    return fields


def _said(request: ModelRequest, profile: Profile) -> list[_Said]:
    return [_message(message, profile) for message in request.messages]


def _body(request: ModelRequest, profile: Profile, said: list[_Said]) -> _Body:
    tools = [_Tool(_ToolFunction(tool.name, tool.description, tool.parameters)) for tool in request.tools]
    return _Body(
        model=request.model,
        stream=profile.stream,
        stream_options=_WITH_USAGE if profile.stream and profile.usage_in_stream else msgspec.UNSET,
        tools=tools or msgspec.UNSET,
        response_format=msgspec.UNSET if request.schema is None else _Format(_Schema(request.schema)),
        messages=said,
        max_completion_tokens=request.max_output_tokens if profile.max_tokens == "max_completion_tokens" else None,
        max_tokens=request.max_output_tokens if profile.max_tokens == "max_tokens" else None,
        temperature=request.temperature,
    )


def _message(message: Message, profile: Profile) -> _Said:
    if isinstance(message, AssistantMessage):
        said = _Assistant(message.content)
        if message.tool_calls:
            said.content = message.content or None
            said.tool_calls = [_call(call) for call in message.tool_calls]
        return said if message.extra is None and not profile.with_calls else _with_extra(said, message.extra, profile)
    if isinstance(message, ToolMessage):
        return _Result(message.call_id, message.content)
    if isinstance(message, UserMessage) and not isinstance(message.content, str):
        return _User([_part(part) for part in message.content])
    return message


def _part(part: Part) -> TextPart | _Image:
    return _Image(_ImageUrl(image_url(part), part.detail)) if isinstance(part, ImagePart) else part


def _call(call: ToolCall) -> _Call:
    call = replayed(call)
    return _Call(call.id, _Function(call.name, call.arguments))


def _with_extra(said: _Assistant, extra: str | None, profile: Profile) -> dict[str, Any]:
    """The message with what its provider wants back; nothing of that replaces what we say ourselves."""
    message: dict[str, Any] = msgspec.to_builtins(said)
    given: dict[str, Any] = dict.fromkeys(profile.with_calls, "") if "tool_calls" in message else {}
    if extra is not None:
        kept, wanted = _EXTRA.decode(extra), profile.given_back
        given |= {name: kept[name] for name in kept if name not in _LAYOUTS and (wanted is None or name in wanted)}
    of_calls = given.pop("tool_calls", None)
    if of_calls is not None and "tool_calls" in message:
        calls = zip(message["tool_calls"], _EXTRA_OF_CALLS.decode(of_calls), strict=False)
        message["tool_calls"] = [unknown | call for call, unknown in calls]
    return given | message


def mended_request(request: ModelRequest) -> ModelRequest:
    """The request without lone surrogates, which no JSON in UTF-8 can carry."""
    messages = msgspec.convert(mended(msgspec.to_builtins(request.messages)), tuple[Message, ...])
    tools = (
        structs.replace(tool, name=mended(tool.name), description=mended(tool.description)) for tool in request.tools
    )
    return structs.replace(request, messages=messages, tools=tuple(tools), options=mended(request.options))
