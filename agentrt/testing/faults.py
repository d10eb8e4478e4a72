"""Providers that misbehave: how does an agent bear a 429, a stall, half an answer?

A fault wraps a handler and gives a handler, so faults stand before anything that answers HTTP, on a socket
or in memory::

    provider = Faults(RulesProvider())
    provider.then(status(429, retry_after=1)).then(cut(after=200))    # the first two requests; then all is well

    async with serve(provider) as server:                             # or InMemoryTransport(provider)
        ...
    assert len(provider.requests) == 3

An `Outage` is a provider that is away for a while and comes back; `agentrt.testing.limits` is one that really limits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping

from agentrt.local.chat import error_body
from agentrt.local.handler import Cut, Handler, Request, Response, reading, whole

Fault = Callable[[Handler], Handler]
"""A handler in, a handler that misbehaves out."""

LONG = 3600.0
"""Seconds of a stall that nobody is expected to sit out."""


class Faults:
    """A handler that misbehaves by script, one fault a request, in the order of their coming.

    Attributes:
        requests: All that came, well treated or not.
    """

    def __init__(self, handler: Handler) -> None:
        self.requests: list[Request] = []
        self._handler = handler
        self._script: deque[Fault] = deque()
        self._afterwards: Fault = none

    def then(self, fault: Fault, *, times: int = 1) -> Faults:
        """The next `times` requests meet this fault; `none` lets one pass between others."""
        self._script.extend([fault] * times)
        return self

    def afterwards(self, fault: Fault) -> Faults:
        """Once the script is used up, all requests meet this fault, until told otherwise."""
        self._afterwards = fault
        return self

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        fault = self._script.popleft() if self._script else self._afterwards
        return await fault(self._handler)(request)


class Outage:
    """A handler that goes away for a time when told to, and may come back by halves.

    ::

        provider = Outage(RulesProvider())
        provider.begin(60)                                            # away from now on, for a minute
        provider.begin(60, by=silent(), one_in=3, recovering=30)      # then, for half a minute, a third is answered

    Attributes:
        lost: When the requests came that met the outage, in the loop's clock.
        answered: When the others came.
    """

    def __init__(self, handler: Handler) -> None:
        self.lost: list[float] = []
        self.answered: list[float] = []
        self._handler = handler
        self._by: Fault = none
        self._down_until = self._well_from = float("-inf")
        self._one_in = 1
        self._recovering = 0

    def begin(self, seconds: float, *, by: Fault | None = None, one_in: int = 1, recovering: float = 0.0) -> None:
        """Be away for so many seconds from now, on the running loop's clock.

        Every request meets `by`, by default `status(503)`; `unreachable` and `silent()` are other ways to be away.
        For `recovering` seconds after that, one in `one_in` is answered and the rest meets `by` still.
        """
        self._by = by or status(503)
        self._down_until = asyncio.get_running_loop().time() + seconds
        self._well_from = self._down_until + recovering
        self._one_in = one_in
        self._recovering = 0

    async def __call__(self, request: Request) -> Response:
        now = asyncio.get_running_loop().time()
        if self._away(now):
            self.lost.append(now)
            return await self._by(self._handler)(request)
        self.answered.append(now)
        return await self._handler(request)

    def _away(self, now: float) -> bool:
        if now < self._down_until or now >= self._well_from:
            return now < self._down_until
        self._recovering += 1
        return self._recovering % self._one_in != 0


def none(handler: Handler) -> Handler:
    """No fault."""
    return handler


def status(status: int, *, retry_after: float | None = None, code: str | None = None, message: str = "") -> Fault:
    """An error in the provider's own form, with a `retry-after` in seconds if given.

    `code` is what tells a 429 for haste (`rate_limit_exceeded`, the default) from one for want of money
    (`insufficient_quota`).
    """
    if code is None and status == 429:
        code = "rate_limit_exceeded"
    body = error_body(message or f"a fault by script: {status}", _kind(status), code=code)
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    return _instead(status, body, "application/json", headers)


def insufficient_quota() -> Fault:
    """The 429 that no waiting helps against: the account's money or quota is used up."""
    text = "You exceeded your current quota, please check your plan and billing details."
    body = error_body(text, "insufficient_quota", code="insufficient_quota")
    return _instead(429, body, "application/json", {})


def _kind(status: int) -> str:
    if status == 429:
        return "requests"
    return "server_error" if status >= 500 else "invalid_request_error"


def html(status: int = 200) -> Fault:
    """A page for people, as a proxy on the way sends it, even with status 200."""
    page = b"<!doctype html><html><body><h1>We will be back soon</h1></body></html>"
    return _instead(status, page, "text/html; charset=utf-8", {})


def _instead(status: int, body: bytes, content_type: str, headers: Mapping[str, str]) -> Fault:
    def fault(_handler: Handler) -> Handler:
        async def handle(_request: Request) -> Response:
            return whole(status, body, content_type, headers)

        return handle

    return fault


def unreachable(_handler: Handler) -> Handler:
    """The connection ends before a byte of an answer. (A handler cannot refuse it: the request has come.)"""

    async def handle(_request: Request) -> Response:
        raise Cut("by script, before the answer")

    return handle


def silent(seconds: float = LONG) -> Fault:
    """Nothing at all for so long, then the answer."""

    def fault(handler: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            await asyncio.sleep(seconds)
            return await handler(request)

        return handle

    return fault


def stall(*, after: int, seconds: float = LONG) -> Fault:
    """The answer stops for so long once `after` bytes of its body are out, then goes on."""

    async def body(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        passed = 0
        async for piece in source:
            left = after - passed
            passed += len(piece)
            if 0 <= left < len(piece):
                yield piece[:left]
                await asyncio.sleep(seconds)
                yield piece[left:]
            else:
                yield piece

    return _with_body(body)


def trickle(*, size: int = 1, every: float = 0.01) -> Fault:
    """The body comes in pieces of at most `size` bytes, one every so many seconds."""

    async def body(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in source:
            for start in range(0, len(piece), size):
                await asyncio.sleep(every)
                yield piece[start : start + size]

    return _with_body(body)


def cut(*, after: int) -> Fault:
    """The connection breaks once `after` bytes of the body are out; a shorter answer breaks at its end."""

    async def body(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        left = after
        async for piece in source:
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                break
        raise Cut(f"by script, after {after} bytes")

    return _with_body(body)


def half_line(*, after: int = 0) -> Fault:
    """The answer ends, cleanly as far as HTTP knows, in the middle of the line of JSON that follows `after` events."""

    async def body(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        events = 0
        async for piece in source:
            if events >= after:
                yield piece[: max(1, len(piece) // 2)]
                return
            events += piece.count(b"\n\n")
            yield piece

    return _with_body(body)


def _with_body(change: Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]) -> Fault:
    def fault(handler: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            response = await handler(request)
            # A length that is not kept would be a fault of its own.
            headers = {name: value for name, value in response.headers.items() if name.lower() != "content-length"}
            return Response(response.status, headers, _closing(response.body, change))

        return handle

    return fault


async def _closing(
    body: AsyncIterator[bytes], change: Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]]
) -> AsyncIterator[bytes]:
    async with reading(body), reading(change(body)) as changed:
        async for piece in changed:
            yield piece
