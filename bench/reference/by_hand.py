"""What the loops written by hand have in common: a conversation, and what a streamed reply adds to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from bench.reference.openai_sdk import TOOL

HEADERS = {"Authorization": "Bearer none", "Content-Type": "application/json", "Accept": "text/event-stream"}


class Conversation:
    """The request's body, which grows by a reply and its tools' results, turn after turn."""

    def __init__(self, model: str, question: str) -> None:
        self._messages: list[Any] = [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": question},
        ]
        self._rest = {"model": model, "tools": [TOOL], "stream": True, "stream_options": {"include_usage": True}}

    def body(self) -> bytes:
        """The next request."""
        return orjson.dumps({**self._rest, "messages": self._messages})

    async def go_on(self, reply: Reply, tool: Callable[..., Awaitable[str]]) -> None:
        """Call what the reply asks for, side by side."""
        calls = list(reply.calls.values())
        self._messages.append({"role": "assistant", "content": reply.text or None, "tool_calls": calls})
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_call(tool, call["function"]["arguments"])) for call in calls]
        for call, task in zip(calls, tasks, strict=True):
            self._messages.append({"role": "tool", "tool_call_id": call["id"], "content": task.result()})


class Reply:
    """One streamed reply: `feed` its bytes as they come."""

    def __init__(self) -> None:
        self.text = ""
        self.calls: dict[int, dict[str, Any]] = {}
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take what these bytes complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: ") and line != b"data: [DONE]":
                self._take(orjson.loads(line[6:]))

    def _take(self, chunk: dict[str, Any]) -> None:
        if not chunk["choices"]:
            return
        delta = chunk["choices"][0]["delta"]
        self.text += delta.get("content") or ""
        for piece in delta.get("tool_calls") or ():
            call = self.calls.setdefault(
                piece["index"], {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
            )
            call["id"] = call["id"] or piece.get("id", "")
            for name, text in piece["function"].items():
                call["function"][name] += text or ""


async def _call(tool: Callable[..., Awaitable[str]], arguments: str) -> str:
    return await tool(**orjson.loads(arguments))
