"""Replies of the Responses API, as OpenAI sends them."""

from __future__ import annotations

import json
from typing import Any

from agentrt.messages import ToolCall

Event = dict[str, Any]
USAGE = {
    "input_tokens": 70,
    "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 0},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 20},
    "total_tokens": 100,
}
ONE = ToolCall("call_1", "look", '{"q":1}')
TWO = ToolCall("call_2", "find", '{"q":2}')


def response(*output: Event, status: str = "completed", **fields: Any) -> Event:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1.0,
        "model": "gpt-5-mini",
        "status": status,
        "output": list(output),
        "error": None,
        "incomplete_details": None,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": USAGE,
    } | fields


def message(text: str, n: int = 0, **fields: Any) -> Event:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "id": f"msg_{n}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": content,
    } | fields


def refusal(text: str) -> Event:
    return message("", content=[{"type": "refusal", "refusal": text}])


def call(made: ToolCall, n: int) -> Event:
    return {
        "id": f"fc_{n}",
        "type": "function_call",
        "status": "completed",
        "call_id": made.id,
        "name": made.name,
        "arguments": made.arguments,
    }


def reasoning(summary: str = "", n: int = 0, **fields: Any) -> Event:
    parts = [{"type": "summary_text", "text": summary}] if summary else []
    return {"id": f"rs_{n}", "type": "reasoning", "summary": parts, "encrypted_content": "gAAA"} | fields


def told(index: int, item: Event) -> list[Event]:
    """The events that tell of an item, as OpenAI sends them."""
    place: Event = {"output_index": index, "item_id": item["id"]}
    begun = item | {"content": []} if item["type"] == "message" else item | {"arguments": "", "summary": []}
    if item["type"] != "function_call":
        begun.pop("arguments", None)
    events: list[Event] = [{"type": "response.output_item.added", "output_index": index, "item": begun}]
    match item["type"]:
        case "message":
            for n, part in enumerate(item["content"]):
                kind, text = ("refusal", part["refusal"]) if "refusal" in part else ("output_text", part["text"])
                extra: Event = {"content_index": n} | ({} if kind == "refusal" else {"logprobs": []})
                events += [{"type": f"response.{kind}.delta", "delta": half, **place, **extra} for half in halves(text)]
                done = {"refusal": text} if kind == "refusal" else {"text": text}
                events.append({"type": f"response.{kind}.done", **done, **place, **extra})
        case "function_call":
            kind, text = "response.function_call_arguments", item["arguments"]
            events += [{"type": f"{kind}.delta", "delta": half, **place} for half in halves(text)]
            events.append({"type": f"{kind}.done", "arguments": text, "name": item["name"], **place})
        case _:
            for n, part in enumerate(item["summary"]):
                kind = "response.reasoning_summary_text"
                events += [
                    {"type": f"{kind}.delta", "delta": half, "summary_index": n, **place}
                    for half in halves(part["text"])
                ]
                events.append({"type": f"{kind}.done", "text": part["text"], "summary_index": n, **place})
    events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    return events


def halves(text: str) -> list[str]:
    return [half for half in (text[: len(text) // 2], text[len(text) // 2 :]) if half]


def reply(*output: Event, **fields: Any) -> list[Event]:
    """A whole stream, as OpenAI sends it."""
    whole = response(*output, **fields)
    begun = whole | {"output": [], "status": "in_progress", "usage": None}
    kind = {"completed": "completed", "incomplete": "incomplete"}.get(whole["status"], "failed")
    return [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *(event for index, item in enumerate(output) for event in told(index, item)),
        {"type": f"response.{kind}", "response": whole},
    ]


def streamed(*events: Event) -> bytes:
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': n})}\n\n".encode()
        for n, event in enumerate(events)
    )
