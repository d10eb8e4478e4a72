"""A request as the bytes of a Chat Completions body.

Written by msgspec from structs of the wire's own shape: a few microseconds, where the package's typed
layer takes milliseconds on the loop. The same request gives the same bytes, tools before messages, so
that a provider's prompt cache finds the longest common beginning.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agentrt.messages import AssistantMessage, Message, SystemMessage, ToolCall, ToolMessage, UserMessage
from agentrt.model.arguments import is_object
from agentrt.model.model import ModelRequest
from agentrt.surrogates import mended


class _Function(msgspec.Struct):
    name: str
    arguments: str


class _Call(msgspec.Struct):
    id: str
    function: _Function
    type: Literal["function"] = "function"


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


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    stream: bool
    stream_options: _StreamOptions
    tools: list[_Tool] | msgspec.UnsetType
    messages: list[SystemMessage | UserMessage | _Assistant | _Result | dict[str, Any]]
    max_completion_tokens: int | None = None
    temperature: float | None = None


_ENCODER = msgspec.json.Encoder()
_EXTRA = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EXTRA_OF_CALLS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def encode_request(request: ModelRequest) -> bytes:
    """The body of a streamed request that asks for usage, too.

    Arguments of earlier calls that are no JSON object go out as `{}`: what the model wrote stays in our
    history, beside the error it got, but a provider refuses every request that repeats it.
    """
    try:
        return _ENCODER.encode(_body(request))
    except UnicodeEncodeError:
        return _ENCODER.encode(_body(_mended(request)))


def _body(request: ModelRequest) -> _Body:
    tools = [_Tool(_ToolFunction(tool.name, tool.description, tool.parameters)) for tool in request.tools]
    return _Body(
        model=request.model,
        stream=True,
        stream_options=_StreamOptions(include_usage=True),
        tools=tools or msgspec.UNSET,
        messages=[_message(message) for message in request.messages],
        max_completion_tokens=request.max_output_tokens,
        temperature=request.temperature,
    )


def _message(message: Message) -> SystemMessage | UserMessage | _Assistant | _Result | dict[str, Any]:
    if isinstance(message, AssistantMessage):
        said = _Assistant(message.content)
        if message.tool_calls:
            said.content = message.content or None
            said.tool_calls = [_call(call) for call in message.tool_calls]
        return said if message.extra is None else _with_extra(said, message.extra)
    if isinstance(message, ToolMessage):
        return _Result(message.call_id, message.content)
    return message


def _call(call: ToolCall) -> _Call:
    return _Call(call.id, _Function(call.name, call.arguments if is_object(call.arguments) else "{}"))


def _with_extra(said: _Assistant, extra: str) -> dict[str, Any]:
    """The message with what its provider wants back; nothing of that replaces what we say ourselves."""
    message: dict[str, Any] = msgspec.to_builtins(said)
    given = _EXTRA.decode(extra)
    of_calls = given.pop("tool_calls", None)
    if of_calls is not None and "tool_calls" in message:
        calls = zip(message["tool_calls"], _EXTRA_OF_CALLS.decode(of_calls), strict=False)
        message["tool_calls"] = [unknown | call for call, unknown in calls]
    return given | message


def _mended(request: ModelRequest) -> ModelRequest:
    """The request without lone surrogates, which no JSON in UTF-8 can carry."""
    messages = msgspec.convert(mended(msgspec.to_builtins(request.messages)), tuple[Message, ...])
    tools = (
        msgspec.structs.replace(tool, name=mended(tool.name), description=mended(tool.description))
        for tool in request.tools
    )
    return msgspec.structs.replace(request, messages=messages, tools=tuple(tools))
