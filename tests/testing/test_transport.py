from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from agentrt.local.handler import Cut, Request, Response, whole
from agentrt.testing.transport import InMemoryTransport
from agentrt.testing.virtual import run_virtual


async def echo(request: Request) -> Response:
    content = f"{request.method} {request.path} {request.headers['x-mark']} ".encode() + request.body
    return whole(200, content, "text/plain")


def slow(closed: list[float], *, cut: bool = False) -> InMemoryTransport:
    """One piece a second, for ever or until it is cut after the second piece."""

    async def body() -> AsyncIterator[bytes]:
        try:
            for n in range(1_000_000):
                if cut and n == 2:
                    raise Cut("enough")
                yield b"%d" % n
                await asyncio.sleep(1)
        finally:
            closed.append(asyncio.get_running_loop().time())

    async def handle(_request: Request) -> Response:
        return Response(200, {"content-type": "text/plain"}, body())

    return InMemoryTransport(handle)


def test_a_request_reaches_the_handler_whole() -> None:
    async def main() -> None:
        async with httpx2.AsyncClient(transport=InMemoryTransport(echo), base_url="http://x") as client:
            got = await client.post("/v1/thing?q=1", content=b"body", headers={"X-Mark": "m"})
            assert (got.status_code, got.text) == (200, "POST /v1/thing m body")
            assert got.headers["content-length"] == "21"

    run_virtual(main())


def test_the_path_is_as_it_was_sent() -> None:
    async def main() -> None:
        async with httpx2.AsyncClient(transport=InMemoryTransport(echo), headers={"X-Mark": "m"}) as client:
            assert (await client.get("http://x/a%2Fb%20c/\u00fc?q=%20")).text == "GET /a%2Fb%20c/%C3%BC m "
            assert (await client.get("http://x?q")).text == "GET / m "

    run_virtual(main())


def test_pieces_arrive_when_they_are_produced_and_an_early_close_closes_the_body() -> None:
    closed: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with httpx2.AsyncClient(transport=slow(closed)) as client:
            async with client.stream("GET", "http://x/") as got:
                times: list[float] = []
                async for _ in got.aiter_raw():
                    times.append(loop.time())
                    if len(times) == 3:
                        break
                assert closed == []
            assert times == pytest.approx([0.0, 1.0, 2.0])
            assert closed == pytest.approx([2.0])

    run_virtual(main())


def test_a_cancelled_reader_closes_the_body() -> None:
    closed: list[float] = []

    async def main() -> None:
        async with httpx2.AsyncClient(transport=slow(closed)) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.5):
                    await client.get("http://x/")
        assert closed == pytest.approx([1.5])

    run_virtual(main())


def test_a_cut_is_the_error_that_a_socket_would_show() -> None:
    closed: list[float] = []

    async def main() -> None:
        async with httpx2.AsyncClient(transport=slow(closed, cut=True)) as client:
            with pytest.raises(httpx2.RemoteProtocolError, match="enough"):
                await client.get("http://x/")
        assert len(closed) == 1

    run_virtual(main())
