"""A small HTTP service as one function: a request in, a response out, no socket in sight.

The same handler stands behind loopback HTTP (`wire.py`) and, in tests, behind an in-memory transport.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import msgspec


class Request(msgspec.Struct, frozen=True):
    """A whole request. `path` is as sent, without the query; names in `headers` are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


class Response(msgspec.Struct, frozen=True):
    """A response whose body is still to come; each item leaves at once, as one piece.

    Who takes a response reads its body inside `reading`, so that the body's `finally` runs in time.
    Without a `content-length` the body's length is found out by sending it.
    """

    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]


Handler = Callable[[Request], Awaitable[Response]]


class Cut(Exception):
    """Raised by a body: end the connection here, in the middle of the response."""


def whole(status: int, content: bytes, content_type: str, headers: Mapping[str, str] | None = None) -> Response:
    """A response whose body is known in full."""
    named = {"content-type": content_type, "content-length": str(len(content)), **(headers or {})}
    return Response(status, named, _once(content))


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


@asynccontextmanager
async def reading(body: AsyncIterator[bytes]) -> AsyncGenerator[AsyncIterator[bytes], None]:
    """The body, closed on leaving however far it was read."""
    try:
        yield body
    finally:
        aclose = getattr(body, "aclose", None)
        if aclose is not None:
            await aclose()
