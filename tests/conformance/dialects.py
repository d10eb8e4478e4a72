"""Every dialect, with a composer of its replies for the grammar; a new dialect is a line in `SPOKEN`."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from agentrt.model.anthropic.dialect import AnthropicMessages
from agentrt.model.dialect import ChatCompletions
from agentrt.model.json_reply import JsonToolsAssembler
from agentrt.model.responses.dialect import Responses
from tests.conformance.grammar import (
    ARGUMENTS,
    IDS,
    INDICES,
    NAMES,
    STRANGE,
    TEXTS,
    Event,
    Events,
    broken,
    chat,
    chat_whole,
    confuse,
    damaged,
    written,
)
from tests.conformance.promises import Make


class Spoken(NamedTuple):
    """A dialect: its assembler, and replies of it in events and whole."""

    make: Make
    compose: Callable[[Random], Events]
    whole: Callable[[Random], bytes]


def reply(spoken: Spoken, chance: Random) -> bytes:
    """A reply in one of its forms, more or less broken."""
    data = spoken.whole(chance) if chance.random() < 0.2 else written(broken(spoken.compose(chance), chance), chance)
    return damaged(data, chance) if chance.random() < 0.5 else data


# ---- Responses -------------------------------------------------------------------------------------------

STATUSES = ("completed", "completed", "incomplete", "failed", "cancelled", None, "x")
REASONS = ("max_output_tokens", "content_filter", None)


def responses(chance: Random) -> Events:
    """A reply of the Responses API, item by item."""
    events = [_typed("response.created", response={"status": "in_progress"})]
    items = [_item(chance) for _ in range(chance.randint(0, 4))]
    for index, item in enumerate(items):
        events += _told(index, item, chance)
    status = chance.choice(STATUSES)
    if status is not None:
        events.append(_typed(f"response.{status}", response=_response(status, items, chance)))
    return events


def responses_whole(chance: Random) -> bytes:
    """The same, as one JSON body."""
    items = [_item(chance) for _ in range(chance.randint(0, 4))]
    return _confused(_response(chance.choice(STATUSES), items, chance), chance)


def _response(status: str | None, items: list[dict[str, Any]], chance: Random) -> dict[str, Any]:
    usage = chance.choice((None, {}, {"input_tokens": chance.choice((7, *STRANGE)), "output_tokens": 3}))
    error = {"code": "server_error", "message": "boom"} if status == "failed" else None
    why = {"reason": chance.choice(REASONS)}
    return {"status": status, "error": error, "output": items, "usage": usage, "incomplete_details": why, "model": "m"}


def _item(chance: Random) -> dict[str, Any]:
    name = chance.choice((f"i{chance.randint(0, 3)}", None))
    kind = chance.choice(("message", "message", "function_call", "function_call", "reasoning", "web_search_call"))
    if kind == "message":
        part = chance.choice(("output_text", "refusal"))
        key = "refusal" if part == "refusal" else "text"
        return {"id": name, "type": kind, "content": [{"type": part, key: chance.choice(TEXTS)}]}
    if kind == "function_call":
        said = {"call_id": chance.choice(IDS), "name": chance.choice(NAMES), "arguments": chance.choice(ARGUMENTS)}
        return {"id": name, "type": kind, **said}
    summary = [{"type": "summary_text", "text": chance.choice(TEXTS)}]
    return {"id": name, "type": kind, "summary": summary, "encrypted_content": chance.choice((None, "e"))}


def _told(index: int, item: dict[str, Any], chance: Random) -> Events:
    events = [_typed("response.output_item.added", output_index=index, item={**item, "content": [], "arguments": ""})]
    grows = {
        "message": "response.output_text.delta",
        "function_call": "response.function_call_arguments.delta",
        "reasoning": "response.reasoning_summary_text.delta",
    }
    said = item.get("arguments") or (item.get("content") or item.get("summary") or [{}])[0].get("text")
    text = said if isinstance(said, str) else json.dumps(said)
    middle = chance.randint(0, len(text))
    for part in (text[:middle], text[middle:]):
        if chance.random() < 0.8:
            kind = grows.get(item["type"], "response.x")
            events.append(_typed(kind, output_index=index, item_id=item["id"], delta=part))
    return [*events, _typed("response.output_item.done", output_index=index, item=item)]


def _typed(kind: str, **fields: Any) -> Event:
    return Event({"type": kind, **fields}, kind)


# ---- Anthropic's Messages --------------------------------------------------------------------------------

STOPS = ("end_turn", "end_turn", "tool_use", "max_tokens", "refusal", "pause_turn", None, 7)


def messages(chance: Random) -> Events:
    """A reply of the Messages API, block by block."""
    usage = {"input_tokens": 7, "cache_read_input_tokens": 2, "output_tokens": chance.choice((1, *STRANGE))}
    events = [_typed("message_start", message={"model": "m", "content": [], "usage": usage})]
    for index in range(chance.randint(0, 4)):
        events += _block(index, chance)
    events.append(_typed("message_delta", delta={"stop_reason": chance.choice(STOPS)}, usage={"output_tokens": 9}))
    return [*events, _typed("message_stop")] if chance.random() < 0.8 else events


def messages_whole(chance: Random) -> bytes:
    """The same, as one JSON body."""
    content = [_content(chance) for _ in range(chance.randint(0, 4))]
    whole = {"type": "message", "model": "m", "content": content, "stop_reason": chance.choice(STOPS)}
    return _confused({**whole, "usage": {"input_tokens": 7, "output_tokens": chance.choice((3, *STRANGE))}}, chance)


def _content(chance: Random) -> dict[str, Any]:
    return chance.choice(
        (
            {"type": "text", "text": chance.choice(TEXTS)},
            {
                "type": "tool_use",
                "id": chance.choice(IDS),
                "name": chance.choice(NAMES),
                "input": chance.choice(STRANGE),
            },
            {"type": "thinking", "thinking": chance.choice(TEXTS), "signature": "s"},
            {"type": "redacted_thinking", "data": "d"},
        )
    )


def _block(index: int, chance: Random) -> Events:
    block = _content(chance)
    at = chance.choice((index, index, index, *INDICES))
    grown = [
        _typed("content_block_delta", index=chance.choice((at, at, index)), delta=_delta(block, chance))
        for _ in range(chance.randint(0, 3))
    ]
    ping = [_typed("ping")] if chance.random() < 0.2 else []
    begun = _typed("content_block_start", index=at, content_block=block)
    return [begun, *ping, *grown, _typed("content_block_stop", index=at)]


def _delta(block: dict[str, Any], chance: Random) -> dict[str, Any]:
    if block["type"] == "text":
        return {"type": "text_delta", "text": chance.choice(TEXTS)}
    if block["type"] == "tool_use":
        return {"type": "input_json_delta", "partial_json": chance.choice(ARGUMENTS)}
    kind, field = chance.choice((("thinking_delta", "thinking"), ("signature_delta", "signature")))
    return {"type": kind, field: chance.choice(TEXTS)}


def _confused(value: dict[str, Any], chance: Random) -> bytes:
    events = [Event(value)]
    for _ in range(chance.randint(0, 2)):
        confuse(events, chance)
    return json.dumps(events[0].value).encode()


# ---- tools in JSON, around the text of any dialect -------------------------------------------------------

WRITTEN = ('{"tool":', '"look"', ',"arguments":', '{"q":1}', "}", '{"answer":', '"x"', "{", "Hello", '{"tool":"look"}')


def in_json(chance: Random) -> Events:
    """A reply of Chat Completions whose text is more or less what the JSON tool protocol asks for."""
    events = chat(chance)
    for _ in range(chance.randint(0, 6)):
        said = {"choices": [{"index": 0, "delta": {"content": chance.choice(WRITTEN)}}]}
        events.insert(chance.randint(0, len(events)), Event(said))
    return events


SPOKEN = {
    "chat": Spoken(ChatCompletions().assembler, chat, chat_whole),
    "responses": Spoken(Responses().assembler, responses, responses_whole),
    "messages": Spoken(AnthropicMessages().assembler, messages, messages_whole),
    "json tools": Spoken(lambda: JsonToolsAssembler(ChatCompletions().assembler()), in_json, chat_whole),
}
