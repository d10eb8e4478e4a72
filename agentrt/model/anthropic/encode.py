"""A request as the bytes of a body of Anthropic's Messages API.

The API knows two roles. The system's messages stand apart; results of calls are the user's, all of one turn in one
message, right behind the message that called; an assistant's message is a list of blocks, whose order counts where
the model thinks between them (see `assemble.py` for how it is kept).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from agentrt.messages import (
    AssistantMessage,
    ImagePart,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
    text_of,
)
from agentrt.model.model import ModelRequest
from agentrt.model.replay import replayed
from agentrt.profiles import PROFILES, Profile
from agentrt.surrogates import mended

MAX_TOKENS = 8192
"""Tokens of a reply where nobody says; this API does not go without a bound."""

_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
"""What no id of a call may hold here; those of other providers do."""

_THOUGHTS = ("thinking", "redacted_thinking")

_ENCODER = msgspec.json.Encoder()
_LAYOUT = msgspec.json.Decoder(dict[str, Any])

Block = dict[str, Any]


def encode_messages_request(request: ModelRequest, profile: Profile = PROFILES["anthropic"]) -> bytes:
    """The body of a request; of a streamed one, where the endpoint streams.

    The same request gives the same bytes, what seldom changes first. Arguments of earlier calls that are no JSON object
    go out as `{}`.
    """
    body: dict[str, Any] = {
        "model": request.model,
        "stream": profile.stream,
        "max_tokens": request.max_output_tokens or MAX_TOKENS,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.schema is not None:
        body["output_config"] = {"format": {"type": "json_schema", "schema": request.schema}}
    if request.tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in request.tools
        ]
    system = "\n\n".join(message.content for message in request.messages if isinstance(message, SystemMessage))
    if system:
        body["system"] = system
    body["messages"] = _turns(request.messages)
    for name, value in (request.options or {}).items():
        ours = body.get(name)
        body[name] = {**ours, **value} if isinstance(ours, dict) and isinstance(value, Mapping) else value
    try:
        return _ENCODER.encode(body)
    except UnicodeEncodeError:
        return _ENCODER.encode(mended(body))


def _turns(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """Messages by turns: what follows one another in one role is one message, for results must be."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if isinstance(message, SystemMessage):
            continue
        role = "assistant" if isinstance(message, AssistantMessage) else "user"
        blocks = list(_blocks(message))
        if not blocks:
            continue  # the API refuses a message without content
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    return turns


def _blocks(message: Message) -> Iterator[Block]:
    if isinstance(message, AssistantMessage):
        yield from _without_last_thoughts(list(_said(message)))
    elif isinstance(message, ToolMessage):
        result: Block = {"type": "tool_result", "tool_use_id": _id(message.call_id)}
        if message.content:
            result["content"] = message.content
        yield result
    elif isinstance(message, UserMessage) and not isinstance(message.content, str):
        for part in message.content:
            yield from _image(part) if isinstance(part, ImagePart) else _text(part.text)
    else:
        yield from _text(text_of(message))


def _said(message: AssistantMessage) -> Iterator[Block]:
    """The blocks of a reply, in the order in which they came where that is known."""
    text, calls = message.content, iter(message.tool_calls)
    for block in _LAYOUT.decode(message.extra).get("blocks", ()) if message.extra else ():
        if block.get("type") == "text":
            length = block["length"]
            yield from _text(text[:length])
            text = text[length:]
        elif block.get("type") == "tool_use":
            yield from (_call(call) for call in (next(calls, None),) if call is not None)
        else:
            yield block
    yield from _text(text)
    yield from map(_call, calls)


def _without_last_thoughts(blocks: list[Block]) -> list[Block]:
    """Thoughts that led to nothing, for want of tokens, would have every later request of the thread refused.

    "The final block in an assistant message cannot be `thinking`" (forgecode#2107).
    """
    while blocks and blocks[-1].get("type") in _THOUGHTS:
        blocks.pop()
    return blocks


def _text(text: str) -> Iterator[Block]:
    if text.strip():
        yield {"type": "text", "text": text}


def _call(call: ToolCall) -> Block:
    call = replayed(call)
    arguments = msgspec.Raw(call.arguments.encode("utf-8", "replace"))
    return {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": arguments}


def _image(image: ImagePart) -> Iterator[Block]:
    source = {"type": "url", "url": image.url}
    if image.data is not None:
        source = {"type": "base64", "media_type": image.media_type, "data": b64encode(image.data).decode()}
    yield {"type": "image", "source": source}


def _id(call_id: str) -> str:
    """The id as this API takes it; unlike ids stay unlike."""
    return _FOREIGN.sub(lambda found: f"_{ord(found[0]):x}_", call_id)
