"""The fast transport by itself; what it shares with the stock one is tested where that is promised, for both."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx2
import pytest

pytest.importorskip("aiohttp", reason="needs the extra: fast")

from agentrt.model.fast import FastTransport

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def served(serve: Serve) -> AsyncGenerator[str, None]:
    serving: set[asyncio.Task[None] | None] = set()

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await serve(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.wait([task for task in serving if task is not None], timeout=10)


async def ask(transport: httpx2.AsyncBaseTransport, url: str, connect: float | None = None) -> httpx2.Response:
    """One request with its answer read."""
    async with asyncio.timeout(10):
        timeouts = {"timeout": {"connect": connect}}
        headers = {"X-Twice": "a"}
        request = httpx2.Request("POST", url, headers=headers, content=b"body", extensions=timeouts)
        answer = await transport.handle_async_request(request)
        await answer.aread()
        return answer


def test_headers_go_out_as_they_are_and_none_are_added() -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        heads.append(await reader.readexactly(4))
        writer.write(OK)

    async def main() -> str:
        transport = FastTransport()
        async with served(serve) as url:
            answer = await ask(transport, f"{url}/a%20b?c=%2F")
            await transport.aclose()
            return f"{url} {answer.text}"

    url, text = asyncio.run(main()).split(" ")
    lines = heads[0].decode().split("\r\n")
    assert lines[0] == "POST /a%20b?c=%2F HTTP/1.1"
    assert {*lines[1:-2]} == {f"Host: {url.removeprefix('http://')}", "X-Twice: a", "Content-Length: 4"}
    assert (heads[1], text) == (b"body", "ok")


def test_cookies_are_not_kept_and_redirects_not_followed() -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            await reader.readexactly(4)
            writer.write(OK.replace(b"200 OK", b"302 Found\r\nSet-Cookie: a=b; Path=/\r\nLocation: /elsewhere"))

    async def main() -> None:
        transport = FastTransport()
        async with served(serve) as url:
            assert [(await ask(transport, url)).status_code for _ in range(2)] == [302, 302]
            await transport.aclose()

    asyncio.run(main())
    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()


def test_a_connection_that_the_server_gave_up_is_not_used_again() -> None:
    async def main() -> None:
        given_up = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(4)
            writer.write(OK)
            writer.close()
            await writer.wait_closed()
            given_up.set()

        transport = FastTransport()
        async with served(serve) as url:
            for _ in range(3):
                assert (await ask(transport, url)).text == "ok"
                await given_up.wait()
                given_up.clear()
                await asyncio.sleep(0)  # the end of the connection is read before the next request
            await transport.aclose()

    asyncio.run(main())


def test_a_server_whose_certificate_nobody_signed_is_not_asked() -> None:
    async def main() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        asked = False

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            asked = bool(await reader.read())

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        transport = FastTransport()
        async with server:
            with pytest.raises(httpx2.ConnectError):
                await ask(transport, f"https://127.0.0.1:{port}/", connect=5.0)
            await transport.aclose()
        assert not asked

    asyncio.run(main())


def test_a_handshake_that_never_comes_ends_with_the_time_for_a_connection() -> None:
    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        transport = FastTransport()
        async with served(serve) as url:
            with pytest.raises(httpx2.ConnectTimeout):
                await ask(transport, url.replace("http:", "https:"), connect=0.02)
            await transport.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://"])
def test_an_address_that_is_none_is_not_sent_to(url: str) -> None:
    async def main() -> None:
        transport = FastTransport()
        with pytest.raises(httpx2.UnsupportedProtocol):
            await ask(transport, url)
        await transport.aclose()

    asyncio.run(main())


def test_a_connection_that_is_reset_after_the_request_may_have_carried_it() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async def main() -> None:
        transport = FastTransport()
        async with served(serve) as url:
            with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
                await ask(transport, url)
            await transport.aclose()

    asyncio.run(main())


def test_it_can_be_closed_unused_and_twice() -> None:
    async def main() -> None:
        transport = FastTransport()
        await transport.aclose()
        await transport.aclose()

    asyncio.run(main())
