"""The whole way out, against a real server on loopback."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any

import httpcore2
import pytest

from agentrt.egress.egress import Egress
from agentrt.egress.fetched import Fetched
from agentrt.egress.hosts import HostResting
from agentrt.egress.policy import MIB, EgressPolicy
from agentrt.errors import EgressFailed, EgressRefused

Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]
PUBLIC = "93.184.216.34"
MISSING = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Site:
    """A web server that says what `pages` holds for a path: bytes to send, or a coroutine function that sends."""

    def __init__(self, pages: dict[str, bytes | Answer]) -> None:
        self.pages = pages
        self.connections = 0
        self.requests: list[bytes] = []
        self.asked = asyncio.Event()
        self.gone = asyncio.Event()
        self.port = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(request)
                self.asked.set()
                page = self.pages.get(request.split()[1].decode(), MISSING)
                if isinstance(page, bytes):
                    writer.write(page)
                else:
                    await page(request.decode(), writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.gone.set()
            writer.close()


@asynccontextmanager
async def site(pages: dict[str, bytes | Answer]) -> AsyncIterator[Site]:
    world = Site(pages)
    server = await asyncio.start_server(world.talk, "127.0.0.1", 0)
    world.port = server.sockets[0].getsockname()[1]
    try:
        yield world
    finally:
        server.close()


class Detour(httpcore2.AsyncNetworkBackend):
    """Below the check: notes the address and connects to the site instead, so that "public" hosts can be met here."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.addresses: list[str] = []
        self.server_names: list[str | None] = []
        self._real: Any = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self.addresses.append(host)
        stream: httpcore2.AsyncNetworkStream = await self._real.connect_tcp("127.0.0.1", self.port)
        return PlainTls(stream, self.server_names)


class PlainTls(httpcore2.AsyncNetworkStream):
    """A stream whose TLS is only noted, not done."""

    def __init__(self, stream: httpcore2.AsyncNetworkStream, server_names: list[str | None]) -> None:
        self._stream = stream
        self._server_names = server_names

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        self._server_names.append(server_hostname)
        return self

    def get_extra_info(self, info: str) -> Any:
        return None if info == "ssl_object" else self._stream.get_extra_info(info)


async def public(host: str, port: int) -> Sequence[str]:
    return [PUBLIC]


def page(body: bytes = b"hello", *headers: str, status: str = "200 OK", kind: str = "text/plain") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def moved(to: str, status: str = "302 Found") -> bytes:
    return f"HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n".encode()


def local(world: Site, **settings: Any) -> Egress:
    """The way out with the site as an allowed origin."""
    return Egress(EgressPolicy(allow=frozenset({f"127.0.0.1:{world.port}"}), **settings))


def fetch(pages: dict[str, bytes | Answer], path: str = "/", **settings: Any) -> Fetched:
    async def main() -> Fetched:
        async with site(pages) as world, local(world, **settings) as egress:
            return await egress.get(f"http://127.0.0.1:{world.port}{path}")

    return asyncio.run(main())


# ---- what comes back ----------------------------------------------------------------------------------


def test_a_document_comes_with_its_type_charset_and_body() -> None:
    fetched = fetch({"/": page("grün".encode("latin-1"), kind="Text/Plain; charset=ISO-8859-1")})

    assert (fetched.status, fetched.content_type, fetched.charset) == (200, "text/plain", "iso8859-1")
    assert fetched.text == "grün"


def test_a_gzip_body_is_decompressed() -> None:
    fetched = fetch({"/": page(gzip.compress(b"hello " * 100), "Content-Encoding: gzip")})
    assert fetched.body == b"hello " * 100


def test_the_status_is_an_answer_and_the_body_of_an_error_is_not_read() -> None:
    fetched = fetch({"/": page(b"\x00 not even text", status="404 Not Found", kind="application/x-evil")})
    assert (fetched.status, fetched.body) == (404, b"")


def test_a_redirect_is_followed_and_the_url_is_where_the_document_was() -> None:
    fetched = fetch({"/": moved("/a/", "301 Moved"), "/a/": moved("b?x=1#part", "308 Gone On"), "/a/b?x=1": page()})
    assert (fetched.url.partition("/a")[2], fetched.body) == ("/b?x=1#part", b"hello")


def test_nothing_of_ours_is_told_but_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    async def main() -> None:
        async with site({"/": page(b"x", "Set-Cookie: a=b; Path=/")}) as world, local(world) as egress:
            for _ in range(2):
                await egress.get(f"http://127.0.0.1:{world.port}/")
            told = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{world.port}\r\nUser-Agent: agentrt\r\nAccept: */*\r\n"
            assert world.requests == [told.encode() + b"Accept-Encoding: gzip\r\n\r\n"] * 2
            assert world.connections == 1

    asyncio.run(main())


def test_the_name_stays_in_url_host_and_tls_while_the_address_is_dialled() -> None:
    async def main() -> None:
        async with site({"/x": page()}) as world:
            detour = Detour(world.port)
            async with Egress(resolve=public, network=detour) as egress:
                fetched = await egress.get("https://www.example/x")
            assert fetched.url == "https://www.example/x"
            assert detour.addresses == [PUBLIC]
            assert detour.server_names == ["www.example"]
            assert b"Host: www.example\r\n" in world.requests[0]

    asyncio.run(main())


# ---- how often ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_host_is_left_alone_for_as_long_as_it_says(status: str) -> None:
    async def main() -> None:
        pages: dict[str, bytes | Answer] = {"/": page(b"", "Retry-After: 3600", status=status), "/x": page()}
        async with site(pages) as world, local(world) as egress:
            assert (await egress.get(f"http://127.0.0.1:{world.port}/")).retry_after == 3600
            with pytest.raises(HostResting, match=r'"127\.0\.0\.1" wants to be left alone for another 3600 s'):
                await egress.get(f"http://127.0.0.1:{world.port}/x")
            assert len(world.requests) == 1

    asyncio.run(main())


def test_only_a_host_that_is_busy_is_left_alone() -> None:
    async def main() -> None:
        pages: dict[str, bytes | Answer] = {"/": page(b"", "Retry-After: 3600", status="404 Gone"), "/x": page()}
        async with site(pages) as world, local(world) as egress:
            await egress.get(f"http://127.0.0.1:{world.port}/")
            assert (await egress.get(f"http://127.0.0.1:{world.port}/x")).status == 200

    asyncio.run(main())


def test_a_host_is_asked_eight_times_at_once_and_the_wait_is_no_part_of_the_timeout() -> None:
    at_once: list[int] = []

    async def main() -> None:
        async def slowly(request: str, writer: asyncio.StreamWriter) -> None:
            busy.append(1)
            at_once.append(len(busy))
            await asyncio.sleep(0.2)
            busy.pop()
            writer.write(page())

        busy: list[int] = []
        async with site({"/": slowly}) as world, local(world, timeout=0.5) as egress:
            async with asyncio.TaskGroup() as group:
                for _ in range(32):
                    group.create_task(egress.get(f"http://127.0.0.1:{world.port}/"))
        assert max(at_once) == 8

    asyncio.run(main())


# ---- how long and how much ----------------------------------------------------------------------------


async def drip(request: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def endless_headers(request: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Filler: " + b"x" * 1000 + b"\r\n")
        await writer.drain()


async def endless_body(request: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        await writer.drain()


async def endless_continues(request: str, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 10)
        await writer.drain()
        await asyncio.sleep(0.01)


async def silence(request: str, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("trick", [drip, silence, endless_continues])
def test_the_whole_of_a_get_ends_with_the_deadline(trick: Answer) -> None:
    async def main() -> None:
        async with site({"/": trick}) as world, local(world, timeout=0.3) as egress:
            with pytest.raises(EgressRefused, match=r"took longer than 0.3 s in all"):
                await egress.get(f"http://127.0.0.1:{world.port}/")

    asyncio.run(main())


def test_a_name_server_that_does_not_answer_ends_with_the_deadline() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    async def main() -> None:
        async with Egress(EgressPolicy(timeout=0.05), resolve=never) as egress:
            with pytest.raises(EgressRefused, match="took longer"):
                await egress.get("http://public.example/")

    asyncio.run(main())


def test_endless_headers_and_bodies_are_ended_by_their_size() -> None:
    with pytest.raises(EgressFailed):
        fetch({"/": endless_headers})
    with pytest.raises(EgressRefused, match="larger than 1048576 bytes"):
        fetch({"/": endless_body}, max_bytes=MIB)


def test_a_length_that_is_too_much_is_refused_before_the_body() -> None:
    with pytest.raises(EgressRefused, match="11000000 bytes; at most 10485760"):
        fetch({"/": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 11000000\r\n\r\n"})


def test_a_bomb_is_refused() -> None:
    with pytest.raises(EgressRefused, match="grows more than 100 times"):
        fetch({"/": page(gzip.compress(bytes(50 * MIB)), "Content-Encoding: gzip")})


def test_redirects_end() -> None:
    with pytest.raises(EgressRefused, match="redirects more than 5 times"):
        fetch({"/": moved("/")})
    with pytest.raises(EgressRefused, match="redirects more than 0 times"):
        fetch({"/": moved("/x"), "/x": page()}, redirects=0)


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/png", "video/mp4", ""])
def test_a_type_that_is_not_read_is_refused(kind: str) -> None:
    with pytest.raises(EgressRefused, match="only application/json"):
        fetch({"/": page(kind=kind)})


def test_an_encoding_that_was_not_asked_for_is_refused() -> None:
    with pytest.raises(EgressRefused, match='encoded as "br"'):
        fetch({"/": page(b"x", "Content-Encoding: br")})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nshort", id="cut"),
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n\r\n", id="not http"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_a_broken_answer_failed_and_was_not_refused(answer: bytes) -> None:
    async def hang_up(request: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    with pytest.raises(EgressFailed, match="could not be read"):
        fetch({"/": hang_up})


def test_a_port_where_nobody_listens_failed() -> None:
    async def main() -> None:
        async with site({}) as world:
            pass
        async with local(world) as egress:
            with pytest.raises(EgressFailed, match=r"could not connect to 127\.0\.0\.1"):
                await egress.get(f"http://127.0.0.1:{world.port}/")

    asyncio.run(main())


def test_cancelling_closes_the_connection() -> None:
    async def main() -> None:
        async with site({"/": drip}) as world, local(world) as egress:
            async with asyncio.TaskGroup() as group:
                getting = group.create_task(egress.get(f"http://127.0.0.1:{world.port}/"))
                await world.asked.wait()
                getting.cancel()
            assert getting.cancelled()
            await world.gone.wait()

    asyncio.run(main())


def test_importing_the_way_out_does_not_import_an_http_client() -> None:
    program = "import sys, agentrt.egress.egress; print([name for name in sys.modules if name.startswith('http')])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
