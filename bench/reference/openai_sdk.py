"""The agent loop as one writes it on the openai package as documented: streamed, tools side by side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from openai import AsyncOpenAI

TOOL: Any = {
    "type": "function",
    "function": {
        "name": "tool",
        "description": "A tool.",
        "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    },
}


async def run(client: AsyncOpenAI, model: str, question: str, tool: Callable[..., Awaitable[str]]) -> str:
    """Ask, call what the model wants called, and return its answer."""
    messages: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question}]
    while True:
        text = ""
        calls: dict[int, dict[str, str]] = {}
        stream = await client.chat.completions.create(
            model=model, messages=messages, tools=[TOOL], stream=True, stream_options={"include_usage": True}
        )
        async for chunk in stream:
            if not chunk.choices:
                continue
            delta = chunk.choices[0].delta
            text += delta.content or ""
            for piece in delta.tool_calls or []:
                call = calls.setdefault(piece.index, {"id": "", "name": "", "arguments": ""})
                if piece.id:
                    call["id"] = piece.id
                if piece.function:
                    call["name"] += piece.function.name or ""
                    call["arguments"] += piece.function.arguments or ""
        if not calls:
            return text
        wished = [
            {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}}
            for c in calls.values()
        ]
        messages.append({"role": "assistant", "content": text, "tool_calls": wished})
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_call(tool, c["arguments"])) for c in calls.values()]
        for c, task in zip(calls.values(), tasks, strict=True):
            messages.append({"role": "tool", "tool_call_id": c["id"], "content": task.result()})


async def _call(tool: Callable[..., Awaitable[str]], arguments: str) -> str:
    return await tool(**json.loads(arguments))
