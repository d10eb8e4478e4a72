"""The fast transport: `httpx2` requests carried by aiohttp, the extra `agentrt[fast]`.

The stock transport looks at all of its connections with every request and reads HTTP in Python. aiohttp does
neither: a call costs a third of the CPU, and no more with a thousand in flight. Errors are put into `httpx2`'s words
with care for the one question that matters, whether the request may have been sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager

import aiohttp
import httpx2
from yarl import URL

_LONGEST_FIELD = 65_536
"""Bytes of a line of an answer's head, as much as the stock transport takes in all."""

_KEPT = 30.0
"""Seconds for which a connection without a request stays open."""


class FastTransport(httpx2.AsyncBaseTransport):
    """Connections without a limit to their number; limits are the gate's.

    Of a request's timeouts, "connect" is kept: it is the time for the connection, with its TLS handshake twice as
    long. What the environment says of proxies and certificates is not read, as by the stock transport.
    """

    def __init__(self) -> None:
        self._tls = httpx2.create_ssl_context(trust_env=False)
        self._tls.set_alpn_protocols(["http/1.1"])
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        session = self._session or self._opened()
        with _in_words_of_httpx2(request):
            answer = await session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=[(name.decode(), value.decode()) for name, value in request.headers.raw],
                data=await request.aread() or None,
                allow_redirects=False,
                timeout=_timeout(request),
            )
        body = _Body(answer, request)
        return httpx2.Response(answer.status, headers=answer.raw_headers, stream=body, request=request)

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        """Made at the first request, because it belongs to the loop."""
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT, ssl=self._tls)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            max_line_size=_LONGEST_FIELD,
            max_field_size=_LONGEST_FIELD,
        )
        return self._session


class _Body(httpx2.AsyncByteStream):
    """What is there of a body, whenever something is. Closed before its end, it closes its connection."""

    def __init__(self, answer: aiohttp.ClientResponse, request: httpx2.Request) -> None:
        self._answer = answer
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _in_words_of_httpx2(self._request):
            async for data in self._answer.content.iter_any():
                yield data

    async def aclose(self) -> None:
        if not self._answer.content.at_eof():
            self._answer.close()
        self._answer.release()


def _timeout(request: httpx2.Request) -> aiohttp.ClientTimeout:
    seconds: float | None = request.extensions.get("timeout", {}).get("connect")
    if seconds is not None and request.url.scheme == "https":
        seconds *= 2
    return aiohttp.ClientTimeout(total=None, connect=seconds)


@contextmanager
def _in_words_of_httpx2(request: httpx2.Request) -> Generator[None, None, None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise _kind_of(error)(str(error) or type(error).__name__, request=request) from error


def _kind_of(error: BaseException) -> type[httpx2.RequestError]:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return httpx2.ConnectTimeout
    if isinstance(error, aiohttp.ClientConnectorError):
        return httpx2.ConnectError
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return httpx2.UnsupportedProtocol
    if isinstance(error, OSError):
        return httpx2.ReadError
    return httpx2.RemoteProtocolError
