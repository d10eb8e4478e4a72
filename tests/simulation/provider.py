"""A provider that fails in every way on the lists: the gate's table of refusals, the conformance table of replies.

Each way is a fault by its name. A simulated provider draws one for some of its requests; `FAULTS` is all that it draws
from.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from random import Random

import httpx2

from agentrt.local.handler import Handler, Request, Response, whole
from agentrt.testing import faults
from agentrt.testing.faults import Fault
from tests.conformance import arguments, broken, ends, fields, fragments, framing, kept

Drawn = Callable[[Random], Fault]
"""A fault whose details are drawn anew for each request."""

SILENCE = 100.0
"""Seconds: longer than any timeout of a call to a model."""


def instead(body: bytes, content_type: str = "text/event-stream", status: int = 200) -> Fault:
    """Whatever was asked, this comes."""

    def fault(_handler: Handler) -> Handler:
        async def handle(_request: Request) -> Response:
            return whole(status, body, content_type)

        return handle

    return fault


def raising(error: type[httpx2.TransportError], text: str) -> Fault:
    """The connection fails before a byte of an answer."""

    def fault(_handler: Handler) -> Handler:
        async def handle(_request: Request) -> Response:
            raise error(text)

        return handle

    return fault


def ends_early(after: int) -> Fault:
    """The body ends, cleanly, behind so many of its pieces: no finish reason, no `[DONE]`."""

    async def body(source: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        left = after
        async for piece in source:
            if left == 0:
                return
            left -= 1
            yield piece

    def fault(handler: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            response = await handler(request)
            headers = {name: value for name, value in response.headers.items() if name != "content-length"}
            return Response(response.status, headers, body(response.body))

        return handle

    return fault


GARBAGE = ("", "soon", "-1", "1e999", "6m0s", "20ms", "1s", "NaN", "Thu, 01 Jan 1970 00:00:00 GMT", "\x7f", "0", "50")
HEADERS = ("limit-requests", "remaining-requests", "reset-requests", "limit-tokens", "remaining-tokens", "reset-tokens")


def strange_headers(random: Random) -> Fault:
    """A good answer whose headers say of the limits what came to somebody's mind."""
    said = {f"x-ratelimit-{name}": random.choice(GARBAGE) for name in random.sample(HEADERS, 3)}
    said["retry-after"] = random.choice(GARBAGE)

    def fault(handler: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            response = await handler(request)
            return Response(response.status, {**response.headers, **said}, response.body)

        return handle

    return fault


def _statuses() -> Iterator[tuple[str, Drawn]]:
    for status in (400, 401, 403, 404, 408, 409, 413, 422, 500, 502, 503, 504, 529):
        yield f"{status}", lambda _, status=status: faults.status(status)  # type: ignore[misc]
    yield "429", lambda _: faults.status(429)
    yield "429 with a pause", lambda random: faults.status(429, retry_after=round(random.uniform(0.0, 20.0), 3))
    yield "429 for longer than anybody waits", lambda _: faults.status(429, retry_after=100_000)
    yield "429 without quota", lambda _: faults.insufficient_quota()
    yield "429 for the day", lambda _: faults.status(429, code="x", message="Limit of requests per day reached")
    yield "498", lambda _: faults.status(498)
    yield "402 in flight", lambda _: faults.status(402, message="too many in-flight requests")
    yield "402 money", lambda _: faults.status(402, message="Insufficient Balance")
    yield "503 with a pause", lambda random: faults.status(503, retry_after=round(random.uniform(0.0, 9.0), 3))
    yield "529 with a pause", lambda random: faults.status(529, retry_after=round(random.uniform(0.0, 9.0), 3))
    yield "400 too long", lambda _: faults.status(400, code="context_length_exceeded")


def _connections() -> Iterator[tuple[str, Drawn]]:
    yield "no connection", lambda _: raising(httpx2.ConnectError, "refused")
    yield "no TLS", lambda _: raising(httpx2.ConnectError, "[SSL: CERTIFICATE_VERIFY_FAILED]")
    yield "connect timeout", lambda _: raising(httpx2.ConnectTimeout, "5 s")
    yield "pool timeout", lambda _: raising(httpx2.PoolTimeout, "no connection is free")
    yield "read error", lambda _: raising(httpx2.ReadError, "reset by peer")
    yield "cut before the answer", lambda _: faults.unreachable
    yield "silent", lambda _: faults.silent(SILENCE)
    yield "slow to begin", lambda random: faults.silent(random.uniform(0.0, 30.0))
    yield "stalls", lambda random: faults.stall(after=random.randrange(1500), seconds=SILENCE)
    yield "pauses", lambda random: faults.stall(after=random.randrange(1500), seconds=random.uniform(0.0, 20.0))
    yield "cut", lambda random: faults.cut(after=random.randrange(1500))
    yield "half a line", lambda random: faults.half_line(after=random.randrange(6))
    yield "ends early", lambda random: ends_early(random.randrange(6))
    yield "trickles", lambda random: faults.trickle(size=random.choice((7, 40)), every=random.choice((0.0, 0.001, 0.1)))
    yield "a page", lambda _: faults.html(200)
    yield "a page of 502", lambda _: faults.html(502)
    yield "nothing", lambda _: instead(b"")
    yield "strange headers", strange_headers


def _replies() -> Iterator[tuple[str, Drawn]]:
    for family in (fragments, fields, arguments, broken, framing, kept, ends):
        for row in family.ROWS:
            for case in row.cases:
                for form, body, content_type in (
                    ("streamed", case.streamed, "text/event-stream"),
                    ("whole", case.whole, "application/json"),
                ):
                    if body is not None and len(body) < 20_000:
                        fault = instead(body, content_type)
                        yield f"row {row.number}, {case.name}, {form}", lambda _, fault=fault: fault  # type: ignore[misc]


STATUSES = dict(_statuses())
CONNECTIONS = dict(_connections())
REPLIES = dict(_replies())
FAULTS = STATUSES | CONNECTIONS | REPLIES
"""Every way to fail, by name; some of the replies are good ones in a strange form."""

_FAMILIES = tuple(tuple(family.items()) for family in (STATUSES, CONNECTIONS, CONNECTIONS, REPLIES))


def drawn(random: Random, rate: float, met: Callable[[str], object]) -> Fault:
    """A fault for that part of all requests; `met` is told the name of each."""

    def fault(handler: Handler) -> Handler:
        if random.random() >= rate:
            return handler
        name, make = random.choice(random.choice(_FAMILIES))
        met(name)
        return make(random)(handler)

    return fault
