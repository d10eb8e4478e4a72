"""The wire, seen from raw sockets: what a client sends and what comes back."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import h11
import pytest

from agentrt.local.handler import Cut, Handler, Request, Response, whole
from agentrt.local.wire import Server, serve

BARE = [("host", "x")]


class Client:
    """One connection, spoken by h11."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.http = h11.Connection(h11.CLIENT)

    @classmethod
    async def connect(cls, server: Server) -> Client:
        host, port = server.url.removeprefix("http://").split(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    def send(self, *events: h11.Event) -> None:
        for event in events:
            self.writer.write(self.http.send(event) or b"")

    def ask(self, path: str, body: bytes = b"", method: str = "POST") -> None:
        headers = [*BARE, ("content-length", str(len(body)))]
        self.send(h11.Request(method=method, target=path, headers=headers), h11.Data(data=body), h11.EndOfMessage())

    async def event(self) -> Any:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.reader.read(65_536))
        return event

    async def answer(self) -> tuple[int, bytes]:
        head = await self.event()
        assert isinstance(head, h11.Response), head
        body = b""
        while isinstance(piece := await self.event(), h11.Data):
            body += piece.data
        assert isinstance(piece, h11.EndOfMessage), piece
        return head.status_code, body

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


async def echo(request: Request) -> Response:
    return whole(200, request.method.encode() + b" " + request.path.encode() + b" " + request.body, "text/plain")


def streaming(body: Callable[[], AsyncIterator[bytes]]) -> Handler:
    async def handle(_request: Request) -> Response:
        return Response(200, {"content-type": "text/plain"}, body())

    return handle


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not done():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.001)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run it and let whatever was left open complain."""
    asyncio.run(main)
    gc.collect()


def with_client(handler: Handler, **settings: Any) -> Callable[[Callable[[Server, Client], Awaitable[None]]], None]:
    def call(body: Callable[[Server, Client], Awaitable[None]]) -> None:
        async def main() -> None:
            async with serve(handler, **settings) as server:
                client = await Client.connect(server)
                try:
                    await body(server, client)
                finally:
                    await client.close()

        run(main())

    return call


def test_a_connection_is_kept_alive_over_several_requests() -> None:
    @with_client(echo)
    async def _(server: Server, client: Client) -> None:
        for turn in range(3):
            client.ask(f"/{turn}?q=1", b"body")
            assert await client.answer() == (200, f"POST /{turn} body".encode())
            client.http.start_next_cycle()
        assert server.connections == 1
        await until(lambda: server.log[2].ended is not None)
        assert [(e.path, e.status, e.cut) for e in server.log] == [(f"/{n}", 200, False) for n in range(3)]
        for exchange in server.log:
            assert exchange.first_byte is not None
            assert exchange.ended is not None
            assert exchange.started <= exchange.first_byte <= exchange.ended <= asyncio.get_running_loop().time()


def test_requests_sent_ahead_are_answered_in_their_order() -> None:
    @with_client(echo)
    async def _(_server: Server, client: Client) -> None:
        one = b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n"
        client.writer.write(b"".join(one % n for n in range(3)))
        got = b""
        while got.count(b"HTTP/1.1 200") < 3 or not got.endswith(b"GET /2 "):
            got += await client.reader.readexactly(1)
        assert got.index(b"GET /0") < got.index(b"GET /1") < got.index(b"GET /2")


def test_a_request_sent_during_an_answer_waits_for_its_end() -> None:
    go_on = asyncio.Event()

    async def handle(request: Request) -> Response:
        await go_on.wait()
        return await echo(request)

    @with_client(handle)
    async def _(server: Server, client: Client) -> None:
        client.ask("/first")
        await until(lambda: len(server.log) == 1)
        client.writer.write(b"GET /second HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        await asyncio.sleep(0.01)
        go_on.set()
        got = await client.reader.read()
        assert got.index(b"POST /first") < got.index(b"GET /second")
        assert [exchange.cut for exchange in server.log] == [False, False]


def test_each_piece_of_a_body_leaves_before_the_next_is_there() -> None:
    arrived = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await arrived.wait()
        yield b"second"

    @with_client(streaming(body))
    async def _(_server: Server, client: Client) -> None:
        client.ask("/")
        head = await client.event()
        assert (b"transfer-encoding", b"chunked") in head.headers
        assert (await client.event()).data == b"first"
        arrived.set()
        assert (await client.event()).data == b"second"
        assert isinstance(await client.event(), h11.EndOfMessage)


def test_small_pieces_are_not_held_back_by_the_kernel() -> None:
    nodelay: list[int] = []

    class Watched(Server):
        def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nodelay.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            super()._welcome(reader, writer)

    async def main() -> None:
        async with Watched(echo, "127.0.0.1", 0, 1_000) as server:
            client = await Client.connect(server)
            client.ask("/")
            await client.answer()
            await client.close()
        assert nodelay == [1]

    run(main())


def test_a_client_that_leaves_a_silent_body_is_noticed_and_the_body_closed() -> None:
    closed: list[float] = []

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"begun"
            await asyncio.sleep(10)
        finally:
            closed.append(asyncio.get_running_loop().time())

    async def main() -> None:
        async with serve(streaming(body)) as server:
            clients = [await Client.connect(server) for _ in range(100)]
            for client in clients:
                client.ask("/slow")
                assert (await client.event()).status_code == 200
                assert (await client.event()).data == b"begun"
            left = asyncio.get_running_loop().time()
            for client in clients:
                client.writer.transport.abort()
            await until(lambda: len(closed) == 100 and server.connections == 0)
            assert max(closed) - left < 5
            assert {(e.path, e.status, e.cut) for e in server.log} == {("/slow", 200, True)}
            assert all(e.ended is not None and left <= e.ended <= left + 5 for e in server.log)

    run(main())


def test_a_client_that_leaves_before_the_first_byte_cancels_the_handler() -> None:
    cancelled = asyncio.Event()

    async def handle(_request: Request) -> Response:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    @with_client(handle)
    async def _(server: Server, client: Client) -> None:
        client.ask("/never")
        await until(lambda: len(server.log) == 1)
        await client.close()
        await cancelled.wait()
        await until(lambda: server.connections == 0)
        (exchange,) = server.log
        assert (exchange.status, exchange.first_byte, exchange.cut) == (None, None, True)


def test_a_client_that_leaves_while_the_socket_is_full_closes_the_body() -> None:
    closed = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            while True:
                yield bytes(1_000_000)
        finally:
            closed.set()

    @with_client(streaming(body))
    async def _(server: Server, client: Client) -> None:
        client.ask("/flood")
        await client.event()
        await client.close()
        await closed.wait()
        await until(lambda: server.connections == 0)
        assert server.log[0].cut


def test_a_client_that_leaves_after_the_answer_cut_nothing() -> None:
    async def main() -> None:
        async with serve(echo) as server:
            for _ in range(50):
                client = await Client.connect(server)
                client.ask("/", bytes(100_000))
                await client.answer()
                await client.close()
            await until(lambda: server.connections == 0)
            assert not any(exchange.cut for exchange in server.log)

    run(main())


def test_a_client_that_leaves_while_a_finished_body_tidies_up_cut_nothing() -> None:
    class Body:
        left = 1

        def __aiter__(self) -> Body:
            return self

        async def __anext__(self) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return b"all"

        async def aclose(self) -> None:
            await asyncio.sleep(10)

    @with_client(streaming(Body))
    async def _(server: Server, client: Client) -> None:
        client.ask("/")
        assert await client.answer() == (200, b"all")
        await client.close()
        await until(lambda: server.connections == 0)
        assert not server.log[0].cut


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_above_the_limit_is_refused_though_the_client_goes_on_sending(announced: bool) -> None:
    @with_client(echo, max_body=1_000)
    async def _(server: Server, client: Client) -> None:
        framing = ("content-length", "5000000") if announced else ("transfer-encoding", "chunked")
        client.send(h11.Request(method="POST", target="/", headers=[*BARE, framing]))
        for _ in range(5):
            client.send(h11.Data(data=bytes(1_000_000)))
        client.send(h11.EndOfMessage())
        status, text = await client.answer()
        assert status == 413
        assert b"may have 1000 bytes" in text
        assert not server.log


def test_a_client_that_sends_all_before_it_reads_comes_to_read_the_refusal() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with serve(echo, max_body=1_000) as server:
            host, port = server.url.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port))) as plain:
                plain.setblocking(False)
                await loop.sock_sendall(plain, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n")
                await loop.sock_sendall(plain, bytes(9_000_000))
                assert (await loop.sock_recv(plain, 1_000)).startswith(b"HTTP/1.1 413")

    run(main())


def test_a_body_that_announces_too_much_is_refused_before_it_is_sent() -> None:
    @with_client(echo, max_body=1_000)
    async def _(_server: Server, client: Client) -> None:
        headers = [*BARE, ("content-length", "1001"), ("expect", "100-continue")]
        client.send(h11.Request(method="POST", target="/", headers=headers))
        assert (await client.answer())[0] == 413


def test_a_body_at_the_limit_is_taken() -> None:
    @with_client(echo, max_body=1_000)
    async def _(_server: Server, client: Client) -> None:
        client.ask("/", bytes(1_000))
        assert (await client.answer())[0] == 200


def test_what_is_no_http_is_answered_with_400_and_harms_nobody_else() -> None:
    @with_client(echo)
    async def _(server: Server, client: Client) -> None:
        client.writer.write(b"\x16\x03\x01 hello\r\n\r\n")
        assert (await client.reader.readline()).startswith(b"HTTP/1.1 400")
        other = await Client.connect(server)
        other.ask("/")
        assert (await other.answer())[0] == 200
        await other.close()


def test_a_handler_that_raises_is_a_500_and_the_server_lives_on(caplog: pytest.LogCaptureFixture) -> None:
    async def handle(request: Request) -> Response:
        if request.path == "/bad":
            raise OSError("a disk, not the client")
        return await echo(request)

    @with_client(handle)
    async def _(server: Server, client: Client) -> None:
        with caplog.at_level(logging.CRITICAL):
            client.ask("/bad")
            assert (await client.answer())[0] == 500
        other = await Client.connect(server)
        other.ask("/good")
        assert (await other.answer())[0] == 200
        await other.close()
        assert [(e.status, e.cut) for e in server.log] == [(500, False), (200, False)]


@pytest.mark.parametrize("error", [Cut("on purpose"), ValueError("by mistake")])
def test_a_body_that_raises_sends_what_it_had_and_breaks_the_connection(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"half"
        raise error

    @with_client(streaming(body))
    async def _(server: Server, client: Client) -> None:
        with caplog.at_level(logging.CRITICAL):
            client.ask("/")
            await client.event()
            assert (await client.event()).data == b"half"
            with pytest.raises(h11.RemoteProtocolError, match="incomplete"):
                await client.event()
        assert not server.log[0].cut


def test_a_head_request_gets_no_body() -> None:
    @with_client(echo)
    async def _(_server: Server, client: Client) -> None:
        client.ask("/", method="HEAD")
        assert await client.answer() == (200, b"")
        client.http.start_next_cycle()
        client.ask("/")
        assert await client.answer() == (200, b"POST / ")


def test_an_old_client_is_answered_and_hung_up_on() -> None:
    @with_client(echo)
    async def _(_server: Server, client: Client) -> None:
        client.writer.write(b"GET /old HTTP/1.0\r\n\r\n")
        got = await client.reader.read()
        assert got.startswith(b"HTTP/1.1 200")
        assert got.endswith(b"GET /old ")


def test_a_client_that_asks_whether_to_send_its_body_is_told_to() -> None:
    @with_client(echo)
    async def _(_server: Server, client: Client) -> None:
        headers = [*BARE, ("content-length", "4"), ("expect", "100-continue")]
        client.send(h11.Request(method="POST", target="/", headers=headers))
        assert isinstance(await client.event(), h11.InformationalResponse)
        client.send(h11.Data(data=b"body"), h11.EndOfMessage())
        assert await client.answer() == (200, b"POST / body")


def test_leaving_ends_every_connection_at_once() -> None:
    closed: list[str] = []

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"begun"
            await asyncio.sleep(10)
        finally:
            closed.append("body")

    async def main() -> None:
        before = asyncio.all_tasks()
        async with serve(streaming(body)) as server:
            idle, half, busy = [await Client.connect(server) for _ in range(3)]
            half.writer.write(b"POST / HTTP/1.1\r\n")
            busy.ask("/")
            await busy.event()
            await until(lambda: server.connections == 3)
            late = [await Client.connect(server) for _ in range(20)]
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 1
        assert closed == ["body"]
        assert asyncio.all_tasks() == before
        assert server.connections == 0
        assert not server.log[0].cut
        for client in (idle, half, busy, *late):
            with suppress(OSError):
                await client.reader.read()
            await client.close()
        with pytest.raises(OSError, match="Connect"):
            await Client.connect(server)

    run(main())


def test_an_error_inside_the_block_comes_out_as_it_is() -> None:
    async def main() -> None:
        async with serve(echo):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(main())


def test_a_cancel_inside_the_block_leaves_nothing_behind() -> None:
    async def main() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as limit, serve(echo) as server:
                client = await Client.connect(server)
                await until(lambda: server.connections == 1)
                limit.reschedule(asyncio.get_running_loop().time())
                try:
                    await asyncio.sleep(10)
                finally:
                    await client.close()
        assert len(asyncio.all_tasks()) == 1
        assert server.connections == 0

    run(main())


def test_many_clients_are_served_side_by_side() -> None:
    waiting = 0
    together = asyncio.Event()

    async def handle(request: Request) -> Response:
        nonlocal waiting
        waiting += 1
        if waiting == 300:
            together.set()
        await together.wait()
        return await echo(request)

    async def one(server: Server) -> None:
        client = await Client.connect(server)
        client.ask("/")
        assert (await client.answer())[0] == 200
        await client.close()

    async def main() -> None:
        async with serve(handle) as server, asyncio.timeout(20), asyncio.TaskGroup() as group:
            for _ in range(300):
                group.create_task(one(server))

    run(main())
