"""One `get` as a chain of requests, each judged before it is made.

What an HTTP client does for comfort is absent here rather than switched off: no cookies, no proxies or credentials
from the environment, no decoding beyond gzip, no redirect that nobody looked at. A hop judges the URL (scheme,
userinfo, port); `connect.py` judges the address at the moment of connecting; `body.py` judges the bytes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import httpcore2
import httpx2

from agentrt.egress.body import Body
from agentrt.egress.connect import CheckedNetwork, Resolve
from agentrt.egress.fetched import Fetched
from agentrt.egress.hosts import Hosts
from agentrt.egress.media import media_type
from agentrt.egress.policy import EgressPolicy
from agentrt.errors import EgressFailed, EgressRefused
from agentrt.offloop import aside

_PORTS = {"http": 80, "https": 443}
_BUSY = {429, 503}
_REDIRECTS = {301, 302, 303, 307, 308}
_URL_LENGTH = 8192
_CONNECTIONS = 20
_KEEPALIVE_SECONDS = 15.0
_WENT_WRONG = (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException)


class Hops:
    """Connections kept between requests, one pool a scheme, since only https must pay for a TLS context."""

    def __init__(
        self, policy: EgressPolicy, resolve: Resolve | None = None, network: httpcore2.AsyncNetworkBackend | None = None
    ) -> None:
        self._policy = policy
        self._network = CheckedNetwork(policy, resolve, network)
        self._hosts = Hosts(policy)
        self._pools: dict[str, httpcore2.AsyncConnectionPool] = {}

    async def follow(self, url: str, clock: asyncio.Timeout | None = None) -> Fetched:
        """The answer at the end of the redirects from `url`; `clock` stands still while a host is waited for."""
        here = self._judged(url, None)
        for _ in range(self._policy.redirects + 1):
            try:
                answer = await self._ask_in_turn(here, clock)
            except _WENT_WRONG as error:
                raise EgressFailed(f'"{_short(here)}" could not be read: {error or type(error).__name__}') from error
            if isinstance(answer, Fetched):
                return answer
            here = self._judged(answer, here)
        raise EgressRefused(f'"{url[:200]}" redirects more than {self._policy.redirects} times')

    async def aclose(self) -> None:
        """Close every connection."""
        while self._pools:
            _, pool = self._pools.popitem()
            await pool.aclose()

    def _judged(self, text: str, base: httpx2.URL | None) -> httpx2.URL:
        if len(text) > _URL_LENGTH:
            raise EgressRefused(f"the URL has {len(text)} characters; at most {_URL_LENGTH} are allowed")
        try:
            url = httpx2.URL(text) if base is None else base.join(text)
        except (httpx2.InvalidURL, ValueError) as error:
            why = "" if "@" in text else f": {error}"  # the error may quote a piece of a password
            raise EgressRefused(f'"{_safe(text)}" is not a URL{why}') from error
        if url.userinfo:
            raise EgressRefused(f'a URL of the host "{url.host}" is refused: it carries a user name or password')
        if url.scheme not in _PORTS:
            raise EgressRefused(f'"{_safe(text)}" is refused: only http and https leave here, not "{url.scheme}"')
        if not url.raw_host:
            raise EgressRefused(f'"{_safe(text)}" has no host')
        host, port = _place(url)
        if port not in self._policy.ports and not self._policy.exempts(host, port):
            allowed = ", ".join(map(str, sorted(self._policy.ports)))
            raise EgressRefused(f'"{_short(url)}" is refused: port {port} is not among those allowed ({allowed})')
        return url

    async def _ask_in_turn(self, url: httpx2.URL, clock: asyncio.Timeout | None) -> Fetched | str:
        host, port = _place(url)
        async with self._hosts.turn(host, port, clock):
            answer = await self._ask(url)
        if isinstance(answer, Fetched) and answer.status in _BUSY and answer.retry_after is not None:
            self._hosts.rest(host, port, answer.retry_after)
        return answer

    async def _ask(self, url: httpx2.URL) -> Fetched | str:
        """One request: the answer, or the text of the Location to go to."""
        pool = await self._pool(url.scheme)
        response = await pool.handle_async_request(
            httpcore2.Request(
                b"GET",
                httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                headers=[
                    (b"Host", url.netloc),
                    (b"User-Agent", b"agentrt"),
                    (b"Accept", b"*/*"),
                    (b"Accept-Encoding", b"gzip"),
                ],
            )
        )
        try:
            headers = {name.lower(): value.decode("utf-8", "replace") for name, value in response.headers}
            location = headers.get(b"location")
            if response.status in _REDIRECTS and location is not None:
                return location
            content_type, charset = media_type(headers.get(b"content-type", ""))
            body = b""
            if 200 <= response.status < 300:
                body = await self._read(response, content_type, headers)
            later = headers.get(b"retry-after", "").strip()
            retry_after = float(later) if re.fullmatch("[0-9]{1,9}", later) else None
            return Fetched(str(url), response.status, content_type, charset, body, retry_after)
        finally:
            await response.aclose()

    async def _read(self, response: httpcore2.Response, content_type: str, headers: Mapping[bytes, str]) -> bytes:
        if not self._policy.reads(content_type):
            allowed = ", ".join(sorted(self._policy.content_types))
            came = f'is "{content_type}"' if content_type else "has no stated type"
            raise EgressRefused(f"the document {came}; only {allowed} are read")
        length = headers.get(b"content-length", "")
        if length.isdecimal() and int(length) > self._policy.max_bytes:
            raise EgressRefused(f"the body has {length} bytes; at most {self._policy.max_bytes} are allowed")
        body = Body(self._policy, headers.get(b"content-encoding", "").strip().lower())
        async for data in response.aiter_stream():
            body.feed(data)
        return body.finish()

    async def _pool(self, scheme: str) -> httpcore2.AsyncConnectionPool:
        if scheme in self._pools:
            return self._pools[scheme]
        context = await aside(httpcore2.default_ssl_context) if scheme == "https" else None
        pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=_CONNECTIONS,
            keepalive_expiry=_KEEPALIVE_SECONDS,
            network_backend=self._network,
        )
        return self._pools.setdefault(scheme, pool)  # two may have got here at once; the first one's is kept


def _place(url: httpx2.URL) -> tuple[str, int]:
    return url.raw_host.decode("ascii"), url.port if url.port is not None else _PORTS[url.scheme]


def _safe(text: str) -> str:
    """What may be quoted of a text that was not read as a host and what is there: nothing before its last "@"."""
    _, at, rest = text.rpartition("@")
    return f"...{at}{rest}"[:200] if at else text[:200]


def _short(url: httpx2.URL) -> str:
    return str(url)[:200]
