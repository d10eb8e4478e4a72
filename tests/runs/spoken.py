"""What a model says, and what it calls, in the words of each API, with a thought before it."""

from __future__ import annotations

import json
from typing import Any

from agentrt import tool
from agentrt.messages import ToolCall
from agentrt.profiles import PROFILES
from tests.model.response_events import call, message, reasoning, reply, streamed

ONE, TWO = ToolCall("call.1", "stock", '{"sku":"A"}'), ToolCall("call.2", "stock", '{"sku":"B"}')
THOUGHT: dict[str, dict[str, Any]] = {
    "deepseek": {"reasoning_content": "Hm."},
    "groq": {"reasoning": "Hm."},
    "openrouter": {"reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "index": 0}]},
}
SIGNED = {"extra_content": {"google": {"thought_signature": "sig"}}}

Turn = tuple[ToolCall, ...] | str


@tool
async def stock(sku: str) -> int:
    """Units in the warehouse.

    Args:
        sku: Article number.
    """
    return 42


def said(turn: Turn, name: str) -> bytes:
    """The stream of a turn by the provider of that name."""
    return {"chat": chat, "responses": responses, "messages": messages}[PROFILES[name].api](turn, name)


def events(*values: dict[str, Any]) -> bytes:
    return b"".join(f"data: {json.dumps(value)}\n\n".encode() for value in values)


def chat(turn: Turn, name: str) -> bytes:
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": None} | THOUGHT.get(name, {})]
    if isinstance(turn, str):
        deltas.append({"content": turn})
    else:
        for index, one in enumerate(turn):
            function = {"name": one.name, "arguments": one.arguments}
            part = {"index": index, "id": one.id, "type": "function", "function": function}
            deltas.append({"tool_calls": [part | (SIGNED if name == "gemini" else {})]})
    finish = "stop" if isinstance(turn, str) else "tool_calls"
    chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    return events(*chunks, {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}) + b"data: [DONE]\n\n"


def responses(turn: Turn, _: str) -> bytes:
    items = [message(turn, 1)] if isinstance(turn, str) else [call(one, n) for n, one in enumerate(turn, 1)]
    return streamed(*reply(reasoning("Hm.", 9), *items))


def messages(turn: Turn, _: str) -> bytes:
    blocks: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"type": "thinking", "thinking": "Hm.", "signature": ""}, {"type": "signature_delta", "signature": "sig"})
    ]
    if isinstance(turn, str):
        blocks.append(({"type": "text", "text": ""}, {"type": "text_delta", "text": turn}))
    else:
        for one in turn:
            used: dict[str, Any] = {"type": "tool_use", "id": one.id, "name": one.name, "input": {}}
            blocks.append((used, {"type": "input_json_delta", "partial_json": one.arguments}))
    told: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}}
    ]
    for index, (begun, delta) in enumerate(blocks):
        told.append({"type": "content_block_start", "index": index, "content_block": begun})
        told.append({"type": "content_block_delta", "index": index, "delta": delta})
    stop = "end_turn" if isinstance(turn, str) else "tool_use"
    told.append({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 5}})
    return events(*told, {"type": "message_stop"})
