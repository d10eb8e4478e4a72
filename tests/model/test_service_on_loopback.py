"""Single attempts over real sockets: what is sent, and what becomes of connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from agentrt.errors import (
    ProviderThrottled,
    ProviderUnreachable,
    ReplyIncomplete,
)
from agentrt.messages import UserMessage
from agentrt.model.encode import encode_request
from agentrt.model.model import ModelRequest, TextPiece, Told
from agentrt.model.openai import OpenAIModel
from tests.model.ways import WAYS, go_by

ASKED = ModelRequest("m", (UserMessage("hi"),))
DONE = b"data: [DONE]\n\n"


def text(said: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": said}, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


HELLO = text("Hel") + text("lo") + text("", "stop") + DONE


def ignore(piece: Told) -> None:
    pass


class Connection:
    """The provider's side of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head: dict[str, str] = {}
        self.line = ""
        self.body = b""

    async def request(self) -> bool:
        """Reads a request; False once the client has left."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return False
        self.line, *fields = head.decode().split("\r\n")[:-2]
        self.head = {key.lower(): value for key, value in (field.split(": ", 1) for field in fields)}
        self.body = await self.reader.readexactly(int(self.head["content-length"]))
        return True

    def begin(self, status: str = "200 OK", *fields: str) -> None:
        head = "\r\n".join((f"HTTP/1.1 {status}", "Transfer-Encoding: chunked", "x-request-id: r1", *fields))
        self.writer.write(head.encode() + b"\r\n\r\n")

    def send(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")

    async def client_leaves(self) -> None:
        with suppress(ConnectionError):
            assert await self.reader.read() == b""


@pytest.fixture(autouse=True, params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    go_by(request.param, monkeypatch)


Play = Callable[[Connection], Awaitable[None]]


class Provider:
    """A server on loopback that plays what it is told, and the model that asks it."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.connections = 0
        self.open = 0
        self.changed = asyncio.Condition()
        self.model: OpenAIModel

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        connection = Connection(reader, writer)
        try:
            while not writer.is_closing() and await connection.request():
                await self.play(connection)
        finally:
            self.open -= 1
            writer.close()
            async with self.changed:
                self.changed.notify_all()

    async def deserted(self) -> None:
        """Waits until no connection is open."""
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(lambda: self.open == 0)


@asynccontextmanager
async def provider(play: Play) -> AsyncGenerator[Provider, None]:
    world = Provider(play)
    server = await asyncio.start_server(world.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    world.model = OpenAIModel("x", base_url=f"http://127.0.0.1:{port}/v1", api_key="hush-hush")
    async with server:
        yield world
        await world.model.aclose()
        await world.deserted()


async def plain(connection: Connection) -> None:
    connection.begin()
    connection.send(HELLO)
    connection.end()


def test_the_request_is_what_was_encoded_and_goes_where_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("OPENAI_ORG_ID", "org")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    seen: list[Connection] = []

    async def play(connection: Connection) -> None:
        seen.append(connection)
        await plain(connection)

    async def main() -> None:
        async with provider(play) as world:
            reply = await world.model.reply(ASKED, ignore)
            assert reply.message.content == "Hello"
            assert (reply.finish, reply.status, reply.request_id) == ("stop", 200, "r1")
            assert reply.first_byte is not None
            assert 0 < reply.first_byte < 5

    asyncio.run(main())
    assert seen[0].line == "POST /v1/chat/completions HTTP/1.1"
    assert seen[0].body == encode_request(ASKED)
    assert seen[0].head["authorization"] == "Bearer hush-hush"
    assert seen[0].head["content-type"] == "application/json"
    assert "openai-organization" not in seen[0].head


def test_pieces_are_told_as_they_arrive() -> None:
    async def main() -> None:
        told: list[Told] = []
        arrived = asyncio.Event()

        def tell(piece: Told) -> None:
            told.append(piece)
            if isinstance(piece, TextPiece):
                arrived.set()

        async def play(connection: Connection) -> None:
            connection.begin()
            connection.send(text("Hel"))
            await arrived.wait()  # the next chunk leaves only once this one was told
            connection.send(text("lo") + text("", "stop") + DONE)
            connection.end()

        async with asyncio.timeout(5), provider(play) as world:
            await world.model.reply(ASKED, tell)
        assert told[1:] == [TextPiece("Hel"), TextPiece("lo")]

    asyncio.run(main())


def test_a_connection_read_to_its_end_is_used_again() -> None:
    async def main() -> None:
        async with provider(plain) as world:
            for _ in range(5):
                await world.model.reply(ASKED, ignore)
            assert world.connections == 1

    asyncio.run(main())


def test_a_cancelled_reply_has_closed_its_connection_when_it_returns() -> None:
    async def main() -> None:
        begun, left = asyncio.Event(), asyncio.Event()

        async def play(connection: Connection) -> None:
            connection.begin()
            connection.send(text("Hel"))
            begun.set()
            await connection.client_leaves()
            left.set()

        async with provider(play) as world, asyncio.TaskGroup() as group:
            for told_first in (True, False):
                told = asyncio.Event()
                task = group.create_task(world.model.reply(ASKED, lambda piece, told=told: told.set()))  # type: ignore[misc]
                await (told if told_first else begun).wait()
                task.cancel()
                async with asyncio.timeout(5):
                    await left.wait()
                assert task.cancelled()
                begun.clear()
                left.clear()
            assert world.connections == 2

    asyncio.run(main())


def test_a_cancel_at_any_step_leaves_no_connection_open_and_the_model_usable() -> None:
    async def main() -> None:
        async with provider(plain) as world:
            await world.model.reply(ASKED, ignore)
            for steps in range(60):
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(world.model.reply(ASKED, ignore))
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    task.cancel()
            assert (await world.model.reply(ASKED, ignore)).message.content == "Hello"
            assert world.open <= 1

    asyncio.run(main())


def test_a_stream_cut_in_a_chunk_is_incomplete() -> None:
    async def play(connection: Connection) -> None:
        connection.begin()
        connection.writer.write(b"1000\r\n" + text("Hel"))
        connection.writer.close()

    async def main() -> None:
        async with provider(play) as world:
            with pytest.raises(ReplyIncomplete, match="broke in mid-reply") as caught:
                await world.model.reply(ASKED, ignore)
            assert (caught.value.status, caught.value.request_id, caught.value.sent) == (200, "r1", True)

    asyncio.run(main())


def test_a_stream_cut_after_its_finish_reason_is_a_reply() -> None:
    async def play(connection: Connection) -> None:
        connection.begin()
        connection.writer.write(b"1000\r\n" + text("Hello", "stop"))
        connection.writer.close()

    async def main() -> None:
        async with provider(play) as world:
            assert (await world.model.reply(ASKED, ignore)).message.content == "Hello"

    asyncio.run(main())


def test_an_answer_that_never_comes_and_a_port_nobody_listens_on_are_told_apart() -> None:
    async def play(connection: Connection) -> None:
        connection.writer.close()

    async def main() -> None:
        async with provider(play) as world:
            with pytest.raises(ProviderUnreachable, match="RemoteProtocolError") as caught:
                await world.model.reply(ASKED, ignore)
            assert caught.value.sent
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        model = OpenAIModel("x", base_url=f"http://127.0.0.1:{port}/v1", api_key="k")
        with pytest.raises(ProviderUnreachable, match=f"127.0.0.1:{port}") as refused:
            await model.reply(ASKED, ignore)
        assert not refused.value.sent
        await model.aclose()

    asyncio.run(main())


def test_a_refusal_is_read_and_its_connection_is_used_again() -> None:
    async def play(connection: Connection) -> None:
        connection.begin("429 Too Many Requests", "Retry-After: 7")
        connection.send(b'{"error":{"message":"slow down, hush-hush","code":"rate_limit_exceeded"}}')
        connection.end()

    async def main() -> None:
        async with provider(play) as world:
            for _ in range(3):
                with pytest.raises(ProviderThrottled, match="slow down") as caught:
                    await world.model.reply(ASKED, ignore)
                assert (caught.value.status, caught.value.retry_after, caught.value.request_id) == (429, 7.0, "r1")
                assert "hush" not in str(caught.value)
            assert world.connections == 1

    asyncio.run(main())


def test_many_replies_at_once_each_get_their_own() -> None:
    async def play(connection: Connection) -> None:
        asked = json.loads(connection.body)["messages"][0]["content"]
        connection.begin()
        for letter in asked:
            connection.send(text(letter))
            await asyncio.sleep(0)
        connection.send(text("", "stop") + DONE)
        connection.end()

    async def main() -> None:
        async def one(number: int) -> None:
            reply = await world.model.reply(ModelRequest("m", (UserMessage(f"number {number}"),)), ignore)
            assert reply.message.content == f"number {number}"

        async with provider(play) as world, asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(one(number))

    asyncio.run(main())
