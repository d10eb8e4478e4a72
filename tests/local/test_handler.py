from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from agentrt.local.handler import reading, whole


def test_a_whole_response_announces_its_length() -> None:
    async def main() -> bytes:
        response = whole(404, "nö".encode(), "text/plain", {"allow": "GET"})
        assert response.status == 404
        assert response.headers == {"content-type": "text/plain", "content-length": "3", "allow": "GET"}
        async with reading(response.body) as body:
            return b"".join([piece async for piece in body])

    assert asyncio.run(main()) == "nö".encode()


def test_a_body_is_closed_in_time_however_far_it_was_read() -> None:
    closed: list[str] = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
        finally:
            closed.append("now")

    async def main() -> None:
        async with reading(endless()) as body:
            async for _ in body:
                break
            assert not closed
        assert closed == ["now"]

    asyncio.run(main())


def test_a_body_without_a_close_is_read_all_the_same() -> None:
    class Plain:
        def __init__(self) -> None:
            self.left = 2

        def __aiter__(self) -> Plain:
            return self

        async def __anext__(self) -> bytes:
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return b"x"

    async def main() -> int:
        async with reading(Plain()) as body:
            return len([piece async for piece in body])

    assert asyncio.run(main()) == 2
