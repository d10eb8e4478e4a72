"""Answers of HTTP as a server sends them, byte for byte, over a real socket on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest

from agentrt.errors import ProviderError, ProviderUnreachable
from agentrt.messages import UserMessage
from agentrt.model.model import ModelReply, ModelRequest, Told
from agentrt.model.openai import OpenAIModel
from tests.conformance.table import Fails
from tests.conformance.wire import ANSWERS, Answer
from tests.model.ways import WAYS, go_by

REFUSED_BY_AIOHTTP = frozenset(
    {
        "a length too short, behind the end",
        "a length too short, in mid-reply",
        "a length too short, not streamed",
        "garbage behind the body",
        "garbage behind the length",
        "garbage where a chunk should begin",
        "garbage instead of the last chunk",
    }
)
"""Answers of which aiohttp takes nothing if what is no HTTP comes in one packet with their head."""

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


def outcome_of(raw: bytes, size: int) -> ModelReply | ProviderError:
    async def main() -> ModelReply:
        async with sender(raw, size) as model:
            return await model.reply(ASKED, ignore)

    try:
        return asyncio.run(main())
    except ProviderError as error:
        return error


def named(answer: Answer) -> str:
    return f"{answer.row}: {answer.name}"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [7, 1_000_000], ids=["sevens", "whole"])
@pytest.mark.parametrize("answer", ANSWERS, ids=named)
def test_what_a_server_sends_becomes_what_the_table_says(
    answer: Answer, size: int, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_by(way, monkeypatch)
    came = outcome_of(answer.raw, size)
    if way == "fast" and answer.name in REFUSED_BY_AIOHTTP and isinstance(came, ProviderUnreachable):
        assert "RemoteProtocolError" in str(came)
    elif isinstance(answer.result, Fails):
        assert type(came) is answer.result.error
        assert answer.result.naming in str(came)
    else:
        assert isinstance(came, ModelReply)
        assert came.message.content == answer.result
        assert came.finish == "stop"
