"""AG-UI's messages to ours: what a client may say to an agent. Pure.

A client speaks for its user, so it may say what the user said, and, where it keeps the conversation itself, what was
answered. It gives no instructions: those are the agent's.
"""

from __future__ import annotations

from typing import Any, assert_never

import msgspec

from agentrt.errors import SettingInvalid
from agentrt.messages import (
    AssistantMessage,
    ImagePart,
    Message,
    Part,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from agentrt.runs.asked import as_messages
from agentrt.server.commands import RunAgentInput, Words
from agentrt.server.protocol import Refused

# The part of AG-UI's messages that is read; other fields are left alone.


class _Text(msgspec.Struct, tag_field="type", tag="text"):
    text: str


class _Data(msgspec.Struct, tag_field="type", tag="data", rename="camel"):
    value: bytes  # base64 in JSON
    mime_type: str


class _Url(msgspec.Struct, tag_field="type", tag="url"):
    value: str


class _Image(msgspec.Struct, tag_field="type", tag="image"):
    source: _Data | _Url


class _User(msgspec.Struct, tag_field="role", tag="user"):
    content: str | tuple[_Text | _Image, ...]


class _Function(msgspec.Struct):
    name: str
    arguments: str


class _Call(msgspec.Struct):
    id: str
    function: _Function


class _Assistant(msgspec.Struct, tag_field="role", tag="assistant", rename="camel"):
    content: str | tuple[_Text, ...] | None = None
    tool_calls: tuple[_Call, ...] | None = None


class _Tool(msgspec.Struct, tag_field="role", tag="tool", rename="camel"):
    tool_call_id: str
    content: str | tuple[_Text, ...]


_Known = _User | _Assistant | _Tool


def conversation(given: RunAgentInput, history: str) -> tuple[Message, ...]:
    """The messages of an input: the new turn where `history` is "server", all of them where it is "client".

    Raises:
        Refused: they are none, or not such as a client may send.
    """
    if given.tools:
        raise Refused("not_supported", "input.tools: tools of the client's own are not supported yet")
    roles = ("user",) if history == "server" else ("user", "assistant", "tool")
    called: dict[str, str] = {}
    messages = [_ours(_known(raw, f"input.messages[{n}]", roles), called) for n, raw in enumerate(given.messages)]
    if not messages or isinstance(messages[-1], AssistantMessage):
        raise _invalid("input.messages: expected at least one message, and the last one to be the user's")
    return _checked(messages, "input.messages")


def said(given: Words) -> UserMessage:
    """What is said into a run.

    Raises:
        Refused: it is empty, or not such as a client may send.
    """
    message = _ours(_known({"role": "user", "content": given.content}, "message", ("user",)), {})
    assert isinstance(message, UserMessage)
    if not message.content:
        raise _invalid("message.content: expected a text, and it is empty")
    _checked([message], "message")
    return message


def _checked(messages: list[Message], where: str) -> tuple[Message, ...]:
    try:
        return as_messages(messages, ())
    except SettingInvalid as error:
        raise _invalid(f"{where}: {error}") from None


def _known(raw: dict[str, Any], where: str, roles: tuple[str, ...]) -> _Known:
    role: object = raw.get("role")
    if role not in roles:
        got = f'"{role[:80]}"' if isinstance(role, str) else type(role).__name__
        hint = "; the server has what was said before" if role in ("assistant", "tool") else ""
        raise _invalid(f"{where}.role: expected {' or '.join(roles)}, got {got}{hint}")
    try:
        known: _Known = msgspec.convert(raw, _Known)
    except msgspec.ValidationError as error:
        wrong, _, path = str(error).partition(" - at ")
        raise _invalid(f"{where}{path.strip('`').removeprefix('$')}: {wrong}") from None
    return known


def _ours(message: _Known, called: dict[str, str]) -> Message:
    """The message as ours. `called` learns the tools that were called, by the id of the call."""
    match message:
        case _User():
            return UserMessage(_content(message.content))
        case _Assistant():
            calls = tuple(
                ToolCall(one.id, one.function.name, one.function.arguments) for one in message.tool_calls or ()
            )
            called.update((call.id, call.name) for call in calls)
            return AssistantMessage(_text(message.content or ""), calls)
        case _Tool():
            return ToolMessage(message.tool_call_id, called.get(message.tool_call_id, ""), _text(message.content))
        case _:
            assert_never(message)


def _content(content: str | tuple[_Text | _Image, ...]) -> str | tuple[Part, ...]:
    """The text, where it is nothing but text."""
    if isinstance(content, str):
        return content
    texts = tuple(part for part in content if isinstance(part, _Text))
    if len(texts) == len(content):
        return _text(texts)
    return tuple(TextPart(part.text) if isinstance(part, _Text) else _image(part.source) for part in content)


def _image(source: _Data | _Url) -> ImagePart:
    if isinstance(source, _Url):
        return ImagePart(url=source.value)
    return ImagePart(data=source.value, media_type=source.mime_type)


def _text(content: str | tuple[_Text, ...]) -> str:
    return content if isinstance(content, str) else "".join(part.text for part in content)


def _invalid(message: str) -> Refused:
    return Refused("invalid_input", message)
