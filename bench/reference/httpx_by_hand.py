"""The agent loop written by hand on httpx: a streamed POST, events split from its bytes, tools side by side."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx

from bench.reference.by_hand import HEADERS, Conversation, Reply


def client() -> httpx.AsyncClient:
    """Connections with the limits that agentrt's own have."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30.0)
    timeout = httpx.Timeout(None, connect=5.0)
    return httpx.AsyncClient(headers=HEADERS, limits=limits, timeout=timeout, trust_env=False)


async def run(
    client: httpx.AsyncClient, base_url: str, model: str, question: str, tool: Callable[..., Awaitable[str]]
) -> str:
    """Ask, call what the model wants called, and return its answer."""
    conversation = Conversation(model, question)
    while True:
        reply = Reply()
        async with client.stream("POST", f"{base_url}/chat/completions", content=conversation.body()) as response:
            response.raise_for_status()
            async for data in response.aiter_raw():
                reply.feed(data)
        if not reply.calls:
            return reply.text
        await conversation.go_on(reply, tool)
