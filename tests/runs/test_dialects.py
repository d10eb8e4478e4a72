"""Whole runs over each kind of API: streams that break, errors in them, cancelling in the middle, and where keys go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from agentrt import Agent, Provider, Runtime, run, stream
from agentrt.errors import ProviderFailed, RunCancelled
from agentrt.events import Event, ReasoningDelta, Rewound, TextDelta
from agentrt.local.handler import Cut, Handler, Request, Response, whole
from agentrt.local.wire import serve
from agentrt.testing.transport import InMemoryTransport
from agentrt.testing.virtual import run_virtual
from tests.runs.spoken import ONE, TWO, Turn, said, stock

NAMES = ("openai", "openai-responses", "anthropic")
KEY = "planted-key-0123456789"
LONG = "It is a long story."
FAILURES = {
    "openai": {"error": {"message": f"ill, {KEY}", "type": "server_error"}},
    "openai-responses": {"type": "error", "code": "server_error", "message": f"ill, {KEY}", "param": None},
    "anthropic": {"type": "error", "error": {"type": "overloaded_error", "message": f"ill, {KEY}"}},
}
"""Errors in the middle of a stream, each with the key that was sent."""

Body = Callable[[bytes], AsyncIterator[bytes]]


def service(name: str, *turns: Turn | Body) -> Handler:
    """Takes these turns; a body is what becomes of the stream of a long story."""
    left = iter(turns)

    async def handle(_: Request) -> Response:
        turn = next(left)
        if callable(turn):
            return Response(200, {"content-type": "text/event-stream"}, turn(said(LONG, name)))
        return whole(200, said(turn, name), "text/event-stream")

    return handle


def half(body: bytes) -> bytes:
    """Up to and with the text."""
    return body[: body.index(b"\n\n", body.index(LONG.encode())) + 2]


async def cut(body: bytes) -> AsyncIterator[bytes]:
    yield half(body)
    raise Cut("in the middle")


def failing(name: str) -> Body:
    async def body(whole: bytes) -> AsyncIterator[bytes]:
        yield half(whole) + f"data: {json.dumps(FAILURES[name])}\n\n".encode()

    return body


def provider(name: str, handler: Handler) -> Provider:
    return Provider(name=name, api_key=KEY, transport=InMemoryTransport(handler))


def clerk(name: str) -> Agent[None]:
    return Agent(name="clerk", model=f"{name}:m", instructions="Be brief.", tools=[stock])


@pytest.mark.parametrize("name", NAMES)
def test_three_turns_with_parallel_calls(name: str) -> None:
    seen: list[Event] = []

    async def main() -> None:
        async with Runtime(providers=[provider(name, service(name, (ONE, TWO), (ONE,), "42 of each."))]):
            async with stream(clerk(name), "How many?") as running:
                seen.extend([event async for event in running])
                answer = await running.answer()
            assert answer.output == "42 of each."
            assert answer.usage.requests == 3

    run_virtual(main())
    assert "".join(event.text for event in seen if isinstance(event, TextDelta)) == "42 of each."


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("breaks", ["cut", "failing"])
def test_a_stream_that_breaks_is_begun_again_and_what_was_shown_is_taken_back(name: str, breaks: str) -> None:
    body = cut if breaks == "cut" else failing(name)
    shown: dict[str, str] = {}

    async def main() -> None:
        async with (
            Runtime(providers=[provider(name, service(name, body, "It is short."))]),
            stream(clerk(name), "Tell me.") as running,
        ):
            async for event in running:
                if isinstance(event, TextDelta):
                    shown[event.message_id] = shown.get(event.message_id, "") + event.text
                elif isinstance(event, Rewound):
                    assert shown.pop(event.message_id) == LONG
            assert (await running.answer()).output == "It is short."

    run_virtual(main())
    assert list(shown.values()) == ["It is short."]


@pytest.mark.parametrize("name", NAMES)
def test_a_key_that_a_provider_repeats_is_in_no_event_no_error_and_no_journal(name: str, tmp_path: Path) -> None:
    told: list[bytes] = []

    async def main() -> None:
        handler = service(name, *[failing(name)] * 9)
        async with Runtime(providers=[provider(name, handler)], journal=f"sqlite:{tmp_path / 'chat.db'}"):
            async with stream(clerk(name), "Tell me.", thread="t") as running:
                told.extend([msgspec.json.encode(event) async for event in running])
                with pytest.raises(ProviderFailed) as failed:
                    await running.answer()
            told.append(repr((failed.value, failed.value.__cause__, failed.value.answer)).encode())

    asyncio.run(main())
    told += [file.read_bytes() for file in tmp_path.iterdir()]
    assert any(b"ill, ***" in text for text in told)
    assert not any(KEY.encode() in text for text in told)


@pytest.mark.parametrize("name", NAMES)
def test_cancelling_in_the_middle_closes_the_connection_at_once(name: str) -> None:
    async def main() -> None:
        closed = asyncio.Event()

        async def endless(body: bytes) -> AsyncIterator[bytes]:
            try:
                yield half(body)
                while True:
                    await asyncio.sleep(0.01)
                    yield b": still here\n\n"
            finally:
                closed.set()

        async with serve(service(name, endless)) as server:
            there = Provider(name=name, api_key=KEY, base_url=f"{server.url}/v1")
            async with Runtime(providers=[there]), asyncio.timeout(10):
                async with stream(clerk(name), "Tell me.") as running:
                    async for event in running:
                        if isinstance(event, TextDelta):
                            running.cancel()
                    with pytest.raises(RunCancelled) as cancelled:
                        await running.answer()
                assert cancelled.value.answer.output == LONG
                await closed.wait()

    asyncio.run(main())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(name: str, status: int) -> None:
    async def main() -> None:
        elsewhere: list[Request] = []

        async def other(request: Request) -> Response:
            elsewhere.append(request)
            return whole(200, said("Hello.", name), "text/event-stream")

        async with serve(other) as thief:

            async def handle(request: Request) -> Response:
                return whole(status, b"", "text/plain", {"location": f"{thief.url}{request.path}"})

            async with serve(handle) as server:
                there = Provider(name=name, api_key=KEY, base_url=f"{server.url}/v1")
                with pytest.raises(ProviderFailed, match=f"HTTP {status}"):
                    async with Runtime(providers=[there]):
                        await run(clerk(name), "Hello?")
        assert not elsewhere

    asyncio.run(main())


@pytest.mark.parametrize("name", NAMES[1:])
def test_thoughts_are_told_apart_from_text(name: str) -> None:
    seen: list[Event] = []

    async def main() -> None:
        async with (
            Runtime(providers=[provider(name, service(name, "Yes."))]),
            stream(clerk(name), "Is it?") as running,
        ):
            seen.extend([event async for event in running])

    run_virtual(main())
    assert "".join(event.text for event in seen if isinstance(event, ReasoningDelta)) == "Hm."
    assert "".join(event.text for event in seen if isinstance(event, TextDelta)) == "Yes."
