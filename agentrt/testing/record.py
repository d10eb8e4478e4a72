"""Conversations kept on the wire: what a provider really said, in a file, one exchange a line.

`Recording` is the transport that writes the file, `replay.py` answers from it. What is kept is what an answer is made
of: the request's address and body, the status, the headers that our gates and errors read, and each piece of the body
with its time. Who asked is not kept: no header of a request and no query is written, and where the provider repeats a
key it is struck out, each character by a star, so that every piece keeps its length.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import msgspec

_KEPT = re.compile(r"content-type|content-encoding|retry-after(-ms)?|(x-)?request-id|x-should-retry|.*ratelimit.*")
_SECRET = re.compile(r"auth|key|token|secret|cookie|password|credential", re.IGNORECASE)
_SHORTEST = 8
"""Characters from which on a value is a secret; a shorter one, such as "none", may be a word of the text."""
_NOT_KEPT = (401, 403)
"""Who is not let in has no conversation to keep."""
LEFT = "its reader left"
"""What ended an answer that was not read to its end."""


class Piece(msgspec.Struct, frozen=True, omit_defaults=True):
    """What arrived of a body at once, `at` so many seconds after the request; in `raw` what is no text."""

    at: float
    text: str = ""
    raw: bytes = b""

    @property
    def content(self) -> bytes:
        """The bytes that arrived."""
        return self.raw or self.text.encode()


class Exchange(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request and its answer: one line of the file.

    `request` is the decoded body. `at` and `end` are the seconds until the answer's head came and until all was over.
    `status` is 0 if no answer came, and `broke` says what ended the exchange before its end.
    """

    method: str
    url: str
    request: Any
    status: int = 0
    at: float = 0.0
    headers: dict[str, str] = {}
    body: tuple[Piece, ...] = ()
    end: float = 0.0
    broke: str = ""


class Recording(httpx2.AsyncBaseTransport):
    """Carries requests to the provider and writes each exchange to a file, when it has ended.

    ::

        provider = Provider(name="openai", api_key=..., transport=Recording("clerk.jsonl"))

    An answer of 401 or 403 is not written. A file of an earlier recording is replaced by the first exchange.

    Args:
        path: The file.
        around: What carries the requests; by default the network.
    """

    def __init__(self, path: str | Path, around: httpx2.AsyncBaseTransport | None = None) -> None:
        self._path = Path(path)
        self._around = around or httpx2.AsyncHTTPTransport(trust_env=False)
        self._begun = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        taking = _Taking(request, body, self._write)
        try:
            response = await self._around.handle_async_request(request)
        except httpx2.HTTPError as error:
            taking.end(f"{type(error).__name__}: {error}")
            raise
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Watched(response.stream, taking.answered(response)),
            extensions=response.extensions,
            request=request,
        )

    async def aclose(self) -> None:
        await self._around.aclose()

    def _write(self, exchange: Exchange) -> None:
        if exchange.status in _NOT_KEPT:
            return
        with self._path.open("ab" if self._begun else "wb") as file:
            file.write(msgspec.json.encode(exchange) + b"\n")
        self._begun = True


class _Taking:
    """An exchange as it is being taken down."""

    def __init__(self, request: httpx2.Request, body: bytes, write: Callable[[Exchange], None]) -> None:
        self._write: Callable[[Exchange], None] | None = write
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._secrets = _secrets(request)
        self._method = request.method
        self._url = self._struck(str(request.url.copy_with(query=None, fragment=None)).encode()).decode()
        self._request = decoded(self._struck(body))
        self._status = 0
        self._at = 0.0
        self._headers: dict[str, str] = {}
        self._pieces: list[tuple[float, bytes]] = []

    def answered(self, response: httpx2.Response) -> _Taking:
        self._at = self._now()
        self._status = response.status_code
        kept = {name.lower(): value for name, value in response.headers.items() if _KEPT.fullmatch(name.lower())}
        self._headers = {name: self._struck(value.encode()).decode() for name, value in kept.items()}
        return self

    def arrived(self, piece: bytes) -> None:
        self._pieces.append((self._now(), piece))

    def end(self, broke: str = "") -> None:
        """Write it down, once."""
        if self._write is None:
            return
        write, self._write = self._write, None
        write(
            Exchange(
                method=self._method,
                url=self._url,
                request=self._request,
                status=self._status,
                at=self._at,
                headers=self._headers,
                body=self._body(),
                end=self._now(),
                broke=self._struck(broke.encode()).decode(),
            )
        )

    def _body(self) -> tuple[Piece, ...]:
        content = self._struck(b"".join(piece for _, piece in self._pieces))  # a key may be cut in two
        made: list[Piece] = []
        for at, piece in self._pieces:
            taken, content = content[: len(piece)], content[len(piece) :]
            try:
                made.append(Piece(at, taken.decode()))
            except UnicodeDecodeError:
                made.append(Piece(at, raw=taken))
        return tuple(made)

    def _struck(self, text: bytes) -> bytes:
        for secret in self._secrets:
            text = text.replace(secret, b"*" * len(secret))
        return text

    def _now(self) -> float:
        return round(self._clock() - self._began, 4)


class _Watched(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, taking: _Taking) -> None:
        self._stream = stream
        self._taking = taking

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._stream:
                self._taking.arrived(piece)
                yield piece
        except httpx2.HTTPError as error:
            self._taking.end(f"{type(error).__name__}: {error}")
            raise
        self._taking.end()

    async def aclose(self) -> None:
        self._taking.end(LEFT)  # unless it has ended
        await self._stream.aclose()


def decoded(body: bytes) -> Any:
    """A request's body as it is compared: JSON by its value, anything else as text."""
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body.decode("utf-8", "backslashreplace")


def _secrets(request: httpx2.Request) -> list[bytes]:
    """What in the request's headers and query says who asks, longest first."""
    named = [*request.headers.multi_items(), *request.url.params.multi_items()]
    words = {word for name, value in named if _SECRET.search(name) for word in value.split()}
    return sorted((word.encode() for word in words if len(word) >= _SHORTEST), key=len, reverse=True)
