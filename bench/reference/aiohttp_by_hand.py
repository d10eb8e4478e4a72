"""The agent loop written by hand on aiohttp: the leanest of the usual ways."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import aiohttp

from bench.reference.by_hand import HEADERS, Conversation, Reply


def client() -> aiohttp.ClientSession:
    """Connections with the limits that agentrt's own have; to be made within the loop."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30.0)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0)
    return aiohttp.ClientSession(connector=connector, headers=HEADERS, timeout=timeout, auto_decompress=False)


async def run(
    client: aiohttp.ClientSession, base_url: str, model: str, question: str, tool: Callable[..., Awaitable[str]]
) -> str:
    """Ask, call what the model wants called, and return its answer."""
    conversation = Conversation(model, question)
    while True:
        reply = Reply()
        async with client.post(f"{base_url}/chat/completions", data=conversation.body()) as response:
            response.raise_for_status()
            async for data in response.content.iter_any():
                reply.feed(data)
        if not reply.calls:
            return reply.text
        await conversation.go_on(reply, tool)
