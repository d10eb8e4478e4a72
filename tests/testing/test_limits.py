"""The limiting provider as a client meets it: in memory on the virtual clock, and on a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import get_args

import httpx2
import pytest

from agentrt.local.handler import Request, Response, whole
from agentrt.local.wire import serve
from agentrt.testing.limits import Family, Limited, Pause, asked_tokens, duration
from agentrt.testing.transport import InMemoryTransport
from agentrt.testing.virtual import run_virtual
from agentrt.testing.windows import Kind, Window

WALL = 1_800_000_000.0


async def provider(_request: Request) -> Response:
    return whole(200, b'{"fine": true}', "application/json", {"x-request-id": "req-1"})


async def teapot(_request: Request) -> Response:
    return whole(418, b"{}", "application/json")


def limited(*windows: Window, family: Family = "openai", pause: Pause = "ms") -> Limited:
    return Limited(provider, *windows, family=family, pause=pause, wall=wall)


def wall() -> float:
    return WALL + asyncio.get_running_loop().time()


def with_client(handler: Limited, main: Callable[[httpx2.AsyncClient], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with httpx2.AsyncClient(transport=InMemoryTransport(handler), base_url="http://x") as client:
            await main(client)

    run_virtual(inside())


def ratelimit(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if "ratelimit" in name or name.startswith("retry")}


def test_every_answer_says_how_the_limits_stand_in_the_words_of_openai() -> None:
    async def main(client: httpx2.AsyncClient) -> None:
        fine = await client.post("/", json={"max_tokens": 150})
        assert fine.headers["x-request-id"] == "req-1"
        assert ratelimit(fine) == {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-limit-tokens": "200",
            "x-ratelimit-remaining-tokens": "50",
            "x-ratelimit-reset-tokens": "45s",
        }
        refused = await client.post("/", json={"max_tokens": 51})
        assert refused.status_code == 429
        assert ratelimit(refused) == {
            **ratelimit(fine),
            "retry-after": "1",
            "retry-after-ms": "300",
        }
        error = json.loads(refused.content)["error"]
        assert (error["type"], error["code"]) == ("tokens", "rate_limit_exceeded")
        assert error["message"].endswith("Please try again in 300ms.")

    with_client(limited(Window(60), Window(200, of="tokens")), main)


def test_every_answer_says_how_the_limits_stand_in_the_words_of_anthropic() -> None:
    async def main(client: httpx2.AsyncClient) -> None:
        await client.get("/")
        refused = await client.get("/")
        assert refused.status_code == 429
        reset = refused.headers["anthropic-ratelimit-requests-reset"]
        assert datetime.fromisoformat(reset).timestamp() == WALL + 10
        assert ratelimit(refused) == {
            "anthropic-ratelimit-requests-limit": "1",
            "anthropic-ratelimit-requests-remaining": "0",
            "anthropic-ratelimit-requests-reset": reset,
            "retry-after": "10",
        }
        assert json.loads(refused.content)["error"]["type"] == "rate_limit_error"

    with_client(limited(Window(1, per=9.5, kind="sliding"), family="anthropic", pause="seconds"), main)


def test_a_provider_may_say_nothing_of_its_limits() -> None:
    async def main(client: httpx2.AsyncClient) -> None:
        assert ratelimit(await client.get("/")) == {}
        refused = await client.get("/")
        assert (refused.status_code, ratelimit(refused)) == (429, {})
        assert "try again" not in json.loads(refused.content)["error"]["message"]

    provider = limited(Window(1, per=10), family="none", pause="none")
    with_client(provider, main)
    assert provider.quota.early() == []


def test_a_retry_after_may_be_a_date_and_is_never_too_early() -> None:
    async def main(client: httpx2.AsyncClient) -> None:
        await asyncio.sleep(0.5)
        await client.get("/")
        date = parsedate_to_datetime((await client.get("/")).headers["retry-after"]).timestamp()
        assert date >= WALL + 10.5
        await asyncio.sleep(date - WALL - 0.5)
        assert (await client.get("/")).status_code == 200

    with_client(limited(Window(1, per=10), pause="date"), main)


def test_of_several_windows_the_longest_is_told_of_and_all_are_enforced() -> None:
    async def main(client: httpx2.AsyncClient) -> None:
        answers = [await client.get("/") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [answer.headers["x-ratelimit-limit-requests"] for answer in answers] == ["9", "9", "9"]
        assert answers[2].headers["retry-after-ms"] == "500"

    with_client(limited(Window(2, per=1), Window(9, per=60, kind="fixed")), main)


def test_the_ietf_draft_tells_of_all_windows_with_their_lengths() -> None:
    async def main(client: httpx2.AsyncClient) -> None:
        answer = await client.get("/")
        assert ratelimit(answer) == {
            "ratelimit-policy": '"1";q=2;w=1, "2";q=9;w=60',
            "ratelimit": '"1";r=1;t=1, "2";r=8;t=60',
        }

    windows = Window(2, per=1), Window(9, per=60, kind="fixed"), Window(100, of="tokens")
    with_client(limited(*windows, family="ietf"), main)


def test_what_is_let_through_is_answered_by_the_handler_whatever_it_says() -> None:
    async def main(client: httpx2.AsyncClient) -> None:
        answer = await client.get("/")
        assert (answer.status_code, answer.headers["x-ratelimit-limit-requests"]) == (418, "1")

    with_client(Limited(teapot, Window(1)), main)


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("per", [1, 10, 60])
def test_a_client_that_waits_as_it_is_told_is_served_and_no_window_is_overrun(kind: Kind, per: float) -> None:
    async def main(client: httpx2.AsyncClient) -> None:
        for _ in range(20):
            answer = await client.get("/")
            while answer.status_code == 429:
                await asyncio.sleep(float(answer.headers["retry-after-ms"]) / 1000)
                answer = await client.get("/")

    provider = limited(Window(4, per=per, kind=kind))
    with_client(provider, main)
    assert len(provider.quota.passed) == 20
    assert provider.quota.early() == []
    assert provider.quota.most(per) <= {"fixed": 8, "sliding": 4, "bucket": 8}[kind]


def test_on_a_real_socket_as_in_memory() -> None:
    async def main() -> None:
        limits = Limited(provider, Window(3, per=60))
        async with serve(limits) as server, httpx2.AsyncClient(base_url=server.url, trust_env=False) as client:
            answers = [await client.get("/") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["2", "1", "0", "0", "0"]
        assert [seen.refused is None for seen in limits.quota.seen] == [True, True, True, False, False]
        assert len(limits.quota.early()) == 1

    asyncio.run(main())


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"max_tokens": 100}, 100),
        ({"max_completion_tokens": 200, "max_tokens": 100}, 200),
        ({"max_output_tokens": 300}, 300),
        ({"max_tokens": 1, "text": "x" * 400}, 106),
        ({"max_tokens": None}, 4),
        (["max_tokens"], 3),
    ],
)
def test_a_request_counts_for_the_output_it_allows_or_a_quarter_of_its_bytes(body: object, tokens: int) -> None:
    assert asked_tokens(Request("POST", "/", {}, json.dumps(body, separators=(",", ":")).encode())) == tokens


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.02, "20ms"), (1, "1s"), (1.5, "1.5s"), (0.0001, "1ms"), (360, "6m0s"), (3661.25, "1h1m1.25s")],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
