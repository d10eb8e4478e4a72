"""Each fault as a client meets it: in memory on the virtual clock, and once on a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx2
import pytest

from agentrt.local.handler import Cut, Handler, Request, Response, reading
from agentrt.local.wire import serve
from agentrt.testing.faults import (
    Fault,
    Faults,
    Outage,
    cut,
    half_line,
    html,
    insufficient_quota,
    none,
    silent,
    stall,
    status,
    trickle,
    unreachable,
)
from agentrt.testing.transport import InMemoryTransport
from agentrt.testing.virtual import run_virtual

EVENTS = [b'data: {"n": 0}\n\n', b'data: {"n": 1}\n\n', b"data: [DONE]\n\n"]
BODY = b"".join(EVENTS)


async def provider(_request: Request) -> Response:
    async def body() -> AsyncIterator[bytes]:
        for event in EVENTS:
            yield event

    return Response(200, {"content-type": "text/event-stream", "content-length": str(len(BODY))}, body())


def ask(*faults: Fault, times: int = 1) -> list[tuple[httpx2.Response, float]]:
    """The answers to as many requests, with the seconds each took."""

    async def main() -> list[tuple[httpx2.Response, float]]:
        loop = asyncio.get_running_loop()
        script = Faults(provider)
        for fault in faults:
            script.then(fault)
        answers: list[tuple[httpx2.Response, float]] = []
        async with httpx2.AsyncClient(transport=InMemoryTransport(script), timeout=None) as client:
            for _ in range(times):
                began = loop.time()
                answers.append((await client.get("http://x/"), loop.time() - began))
        return answers

    return run_virtual(main())


async def collect(got: httpx2.Response, read: list[bytes]) -> None:
    async for piece in got.aiter_raw():
        read.append(piece)  # noqa: PERF401 - what came before the cut has to be kept


def test_faults_come_in_the_order_of_the_script_and_then_all_is_well() -> None:
    answers = ask(status(429), none, status(503), times=4)
    assert [got.status_code for got, _ in answers] == [429, 200, 503, 200]


def test_a_fault_may_come_several_times_or_for_good() -> None:
    async def main() -> None:
        faults = Faults(provider).then(status(500), times=2).afterwards(status(404))
        async with httpx2.AsyncClient(transport=InMemoryTransport(faults)) as client:
            assert [(await client.get(f"http://x/{n}")).status_code for n in range(4)] == [500, 500, 404, 404]
            faults.afterwards(none)
            assert (await client.get("http://x/4")).status_code == 200
        assert [request.path for request in faults.requests] == [f"/{n}" for n in range(5)]

    run_virtual(main())


@pytest.mark.parametrize(
    ("fault", "code", "kind", "retry_after"),
    [
        (status(429, retry_after=1), "rate_limit_exceeded", "requests", "1"),
        (status(429, retry_after=0.25), "rate_limit_exceeded", "requests", "0.25"),
        (status(429, code="insufficient_quota"), "insufficient_quota", "requests", None),
        (status(503), None, "server_error", None),
        (status(400, code="context_length_exceeded"), "context_length_exceeded", "invalid_request_error", None),
    ],
)
def test_an_error_has_the_providers_own_form(fault: Fault, code: str, kind: str, retry_after: str | None) -> None:
    ((got, _),) = ask(fault)
    error = json.loads(got.content)["error"]
    assert (error["code"], error["type"]) == (code, kind)
    assert error["message"]
    assert got.headers.get("retry-after") == retry_after


def test_a_quota_that_is_used_up_is_told_in_openais_own_form() -> None:
    ((got, _),) = ask(insufficient_quota())
    error = json.loads(got.content)["error"]
    assert (got.status_code, error["code"], error["type"]) == (429, "insufficient_quota", "insufficient_quota")
    assert not [name for name in got.headers if name.startswith("retry")]


def test_an_unreachable_provider_answers_nothing_in_memory_as_on_a_socket() -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        ask(unreachable)

    async def main() -> None:
        async with (
            serve(Faults(provider).then(unreachable)) as server,
            httpx2.AsyncClient(base_url=server.url, trust_env=False) as client,
        ):
            with pytest.raises(httpx2.RemoteProtocolError):
                await client.get("/")
            assert (await client.get("/")).content == BODY

    asyncio.run(main())


def test_a_trickle_is_the_whole_body_piece_by_piece() -> None:
    ((got, seconds),) = ask(trickle(size=2, every=0.5))
    assert got.content == BODY
    assert seconds == pytest.approx(0.5 * sum(-(-len(event) // 2) for event in EVENTS))


def outage(*, by: Fault | None = None, one_in: int = 1, recovering: float = 0.0) -> list[int]:
    """What is answered in seconds 0 to 9 by a provider that goes away for four of them at second 1."""

    async def main() -> list[int]:
        away = Outage(provider)
        statuses: list[int] = []
        async with httpx2.AsyncClient(transport=InMemoryTransport(away), timeout=None) as client:
            for second in range(10):
                if second == 1:
                    away.begin(4, by=by, one_in=one_in, recovering=recovering)
                statuses.append((await client.get("http://x/")).status_code)
                await asyncio.sleep(1)
        assert len(away.lost) == sum(status != 200 for status in statuses)
        assert sorted(away.lost + away.answered) == pytest.approx(range(10))
        return statuses

    return run_virtual(main())


def test_an_outage_lasts_as_long_as_it_was_said() -> None:
    assert outage() == [200, 503, 503, 503, 503, 200, 200, 200, 200, 200]
    assert outage(by=status(529)) == [200, 529, 529, 529, 529, 200, 200, 200, 200, 200]


def test_an_outage_may_end_by_halves() -> None:
    assert outage(one_in=2, recovering=4) == [200, 503, 503, 503, 503, 503, 200, 503, 200, 200]
    assert outage(one_in=3, recovering=4) == [200, 503, 503, 503, 503, 503, 503, 200, 503, 200]


def test_a_silent_provider_answers_late() -> None:
    ((got, seconds),) = ask(silent(30))
    assert got.content == BODY
    assert seconds == pytest.approx(30)


@pytest.mark.parametrize("after", [0, 5, len(EVENTS[0]), len(BODY) - 1])
def test_a_stall_comes_after_so_many_bytes_and_loses_none(after: int) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport = InMemoryTransport(Faults(provider).then(stall(after=after, seconds=30)))
        async with httpx2.AsyncClient(transport=transport) as client, client.stream("GET", "http://x/") as got:
            pieces = [(piece, loop.time()) async for piece in got.aiter_raw()]
        assert b"".join(piece for piece, at in pieces if at < 1) == BODY[:after]
        assert b"".join(piece for piece, _ in pieces) == BODY
        assert pieces[-1][1] == pytest.approx(30)

    run_virtual(main())


@pytest.mark.parametrize("after", [0, 5, len(EVENTS[0]), len(BODY), 10_000])
def test_a_cut_comes_after_so_many_bytes_on_a_real_socket(after: int) -> None:
    async def main() -> None:
        async with (
            serve(Faults(provider).then(cut(after=after))) as server,
            httpx2.AsyncClient(base_url=server.url) as client,
            client.stream("GET", "/") as got,
        ):
            read: list[bytes] = []
            with pytest.raises(httpx2.RemoteProtocolError):
                await collect(got, read)
            assert b"".join(read) == BODY[:after]

    asyncio.run(main())


@pytest.mark.parametrize("fault", [cut(after=5), half_line(), stall(after=5), trickle()])
def test_the_body_behind_a_fault_is_closed_with_it(fault: Fault) -> None:
    closed: list[str] = []

    async def endless(_request: Request) -> Response:
        async def body() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"data: {}"
            finally:
                closed.append("now")

        return Response(200, {}, body())

    async def main() -> None:
        response = await fault(endless)(Request("GET", "/", {}))
        with suppress(Cut, TimeoutError):
            async with asyncio.timeout(1), reading(response.body) as body:
                async for _ in body:
                    pass
        assert closed == ["now"]

    run_virtual(main())


def test_a_page_for_people_comes_with_status_200() -> None:
    ((got, _),) = ask(html())
    assert got.status_code == 200
    assert got.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("after", [0, 1])
def test_half_a_line_of_json_ends_the_answer_as_if_all_were_well(after: int) -> None:
    ((got, _),) = ask(half_line(after=after))
    *whole, half = got.content.split(b"\n\n")
    assert whole == [event.rstrip() for event in EVENTS[:after]]
    assert half.startswith(b"data: {")
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(half[6:])


def test_a_fault_can_be_of_the_users_own_making() -> None:
    def twice(handler: Handler) -> Handler:
        async def handle(request: Request) -> Response:
            await handler(request)
            return await handler(request)

        return handle

    ((got, _),) = ask(twice)
    assert got.content == BODY
