"""Tools for models that cannot be trusted to call them: each reply is one JSON object, and always uses a tool.

The tools are described at the head of the conversation, and a schema over all of their arguments is what a reply must
follow: the service holds the model to it while it writes. Small models that never wrote a readable call in their own
form do well so. To answer is a tool like the others, because a model that has to choose between a call and an answer
before it has written a word takes the answer, and makes it up. And it is one call a turn: offered a list, small models
repeat it.

The conversation goes out in the same form: the model sees its earlier calls as it wrote them, and results as what it
was told next. Tools come first, and the same request gives the same bytes, so that a prompt cache finds the longest
common beginning.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import msgspec

from agentrt.messages import AssistantMessage, Message, SystemMessage, ToolCall, ToolMessage, ToolSpec, UserMessage
from agentrt.model.arguments import is_object
from agentrt.model.dialect import Assembling, Dialect
from agentrt.model.json_reply import ANSWER, JsonToolsAssembler
from agentrt.model.model import ModelRequest

_ANSWER = "Tell the user the answer, once the results of the other tools tell it."

_CALLS = """\
Reply with exactly one JSON object, which uses one tool: {"tool": "NAME", "arguments": {...}}.
Its result comes in the next message.
"""

_DEFS = "#/$defs/"


class JsonTools:
    """Another dialect, spoken without its own way of calling tools."""

    def __init__(self, inner: Dialect) -> None:
        self._inner = inner
        self.path = inner.path

    def encode(self, request: ModelRequest) -> bytes:
        return self._inner.encode(
            msgspec.structs.replace(
                request,
                messages=tuple(_joined(_rendered(request.messages, _form(request.tools, request.schema)))),
                tools=(),
                schema=reply_schema(request.tools, request.schema),
            )
        )

    def assembler(self) -> Assembling:
        return JsonToolsAssembler(self._inner.assembler())


def reply_schema(tools: Sequence[ToolSpec], answer: msgspec.Raw | None) -> msgspec.Raw:
    """What a reply must follow: a call of one of the tools, or an answer, which is a text if no schema is given."""
    defs: dict[str, Any] = {}
    kinds = [
        _closed({"tool": {"const": tool.name}, "arguments": _hoisted(tool.name, tool.parameters, defs)})
        for tool in tools
    ]
    said = {"type": "string"} if answer is None else _hoisted("answer", answer, defs)
    schema: dict[str, Any] = {"anyOf": [*kinds, _closed({"tool": {"const": ANSWER}, "content": said})]}
    return msgspec.Raw(msgspec.json.encode(schema | ({"$defs": defs} if defs else {})))


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _hoisted(name: str, schema: msgspec.Raw, defs: dict[str, Any]) -> Any:
    """The schema as a part of a larger one: its definitions are put in `defs`, under names of their own."""
    decoded: dict[str, Any] = msgspec.json.decode(schema)
    own: dict[str, Any] = decoded.pop("$defs", {})
    defs.update((f"{name}.{key}", _renamed(value, name)) for key, value in own.items())
    return _renamed(decoded, name)


def _renamed(value: Any, name: str) -> Any:
    """The value with its references to definitions turned to those that `_hoisted` makes."""
    if _is_list(value):
        return [_renamed(item, name) for item in value]
    if not _is_dict(value):
        return value
    return {key: _reference(item, name) if key == "$ref" else _renamed(item, name) for key, item in value.items()}


def _reference(value: Any, name: str) -> Any:
    if isinstance(value, str) and value.startswith(_DEFS):
        return f"{_DEFS}{name}.{value.removeprefix(_DEFS)}"
    return _renamed(value, name)


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_dict(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _form(tools: Sequence[ToolSpec], answer: msgspec.Raw | None) -> str:
    """What the model is told of its tools and of the form of its replies."""
    schema = '{"type":"string"}' if answer is None else bytes(answer).decode()
    if not tools:
        return f'Reply with exactly one JSON object: {{"tool": "{ANSWER}", "content": {schema}}}\n'
    described = (
        f'{{"tool": {_quoted(tool.name)}, "description": {_quoted(tool.description)}, '
        f'"arguments": {bytes(tool.parameters).decode()}}}\n'
        for tool in tools
    )
    answering = f'{{"tool": "{ANSWER}", "description": "{_ANSWER}", "content": {schema}}}\n'
    return f"Tools:\n{''.join(described)}{answering}\n{_CALLS}"


def _rendered(messages: Sequence[Message], form: str) -> Iterator[Message]:
    """The conversation in texts only. A call stands before its result, however many were made in one turn.

    The form stands at the end of the first instructions: before them, a small model takes little notice of it.
    """
    results = {message.call_id: message for message in messages if isinstance(message, ToolMessage)}
    calls = {call.id for message in messages if isinstance(message, AssistantMessage) for call in message.tool_calls}
    told = False
    for message in messages:
        if not told and not isinstance(message, SystemMessage):
            yield SystemMessage(form)
            told = True
        if isinstance(message, AssistantMessage):
            yield from _said(message, results)
        elif not isinstance(message, ToolMessage):
            yield message
        elif message.call_id not in calls:
            yield _result(message)


def _said(message: AssistantMessage, results: Mapping[str, ToolMessage]) -> Iterator[Message]:
    if message.content or not message.tool_calls:
        yield AssistantMessage(f'{{"tool": "{ANSWER}", "content": {_quoted(message.content)}}}')
    for call in message.tool_calls:
        yield AssistantMessage(_called(call))
        if call.id in results:
            yield _result(results[call.id])


def _called(call: ToolCall) -> str:
    arguments = call.arguments if is_object(call.arguments) else "{}"
    return f'{{"tool": {_quoted(call.name)}, "arguments": {arguments}}}'


def _result(message: ToolMessage) -> UserMessage:
    return UserMessage(f"Result of {message.name}:\n{message.content}")


def _joined(messages: Iterable[Message]) -> list[Message]:
    """Neighbours by one speaker as one message: many a model's template wants speakers to take turns."""
    joined: list[Message] = []
    for message in messages:
        match joined[-1:], message:
            case [SystemMessage(content=before)], SystemMessage(content=after):
                joined[-1] = SystemMessage(f"{before}\n\n{after}")
            case [UserMessage(content=str(before))], UserMessage(content=str(after)):
                joined[-1] = UserMessage(f"{before}\n\n{after}")
            case _:
                joined.append(message)
    return joined


def _quoted(text: str) -> str:
    """As a JSON string. Half characters stay what they are: `_inner` mends them with all others."""
    return json.dumps(text, ensure_ascii=False)
