"""Answers of HTTP as a server sends them, byte for byte, over a real socket on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest

from agentrt.errors import ProviderError
from agentrt.messages import UserMessage
from agentrt.model.model import ModelReply, ModelRequest, Told
from agentrt.model.openai import OpenAIModel
from tests.conformance.table import Fails
from tests.conformance.wire import ANSWERS, Answer

ASKED = ModelRequest("m", (UserMessage("hi"),))


def ignore(told: Told) -> None:
    pass


@asynccontextmanager
async def sender(raw: bytes, size: int) -> AsyncGenerator[OpenAIModel, None]:
    """A client of a server that answers every request with these bytes, in parts of this size, and hangs up."""

    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        await reader.readexactly(int(lengths[0]))
        with suppress(ConnectionError):  # the client may have seen enough
            for start in range(0, len(raw), size):
                writer.write(raw[start : start + size])
                await writer.drain()
        writer.close()
        gone.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    model = OpenAIModel("x", base_url=f"http://127.0.0.1:{port}/v1", api_key="hush-hush", first_byte_timeout=5.0)
    async with server:
        try:
            yield model
        finally:
            await model.aclose()
            await gone.wait()


async def reply_to(raw: bytes, size: int) -> ModelReply:
    async with sender(raw, size) as model:
        return await model.reply(ASKED, ignore)


def named(answer: Answer) -> str:
    return f"{answer.row}: {answer.name}"


@pytest.mark.parametrize("size", [7, 1_000_000], ids=["sevens", "whole"])
@pytest.mark.parametrize("answer", ANSWERS, ids=named)
def test_what_a_server_sends_becomes_what_the_table_says(answer: Answer, size: int) -> None:
    if isinstance(answer.result, Fails):
        with pytest.raises(ProviderError) as caught:
            asyncio.run(reply_to(answer.raw, size))
        assert type(caught.value) is answer.result.error
        assert answer.result.naming in str(caught.value)
    else:
        reply = asyncio.run(reply_to(answer.raw, size))
        assert reply.message.content == answer.result
        assert reply.finish == "stop"
