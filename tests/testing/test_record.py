from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agentrt import Agent, Provider, Runtime, run
from agentrt.errors import ProviderFailed
from agentrt.local.handler import Cut, Handler, Request, Response, whole
from agentrt.local.wire import serve
from agentrt.testing import InMemoryTransport, Recording, ScriptedModel, faults, reply, run_virtual

KEY = "sk-proj-0123456789abcdef"
AGENT = Agent(name="clerk", model="openai:m")


def provider(handler: Handler, path: Path, *, profile: str = "openai") -> Provider:
    transport = Recording(path, InMemoryTransport(handler))
    return Provider(name="openai", base_url="http://m.invalid/v1", api_key=KEY, profile=profile, transport=transport)


def exchanges(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_exchange_is_a_line_with_all_pieces_at_their_times(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    model = ScriptedModel([reply("Three are left.", pieces=3, pause=0.5)])

    async def main() -> None:
        async with Runtime(providers=[provider(model.faults, path)]):
            assert (await run(AGENT, "How many?")).output == "Three are left."

    run_virtual(main())
    (one,) = exchanges(path)
    assert (one["method"], one["url"], one["status"]) == ("POST", "http://m.invalid/v1/chat/completions", 200)
    assert one["request"] == model.requests[0]
    assert one["headers"] == {"content-type": "text/event-stream"}
    assert {piece["at"] for piece in one["body"]} >= {0.5, 1.0}
    assert "".join(piece["text"] for piece in one["body"]).endswith("data: [DONE]\n\n")
    assert "broke" not in one


@pytest.mark.parametrize("profile", ["openai", "openai-responses", "anthropic", "azure"])
def test_no_key_is_written_wherever_it_stands(profile: str, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    seen: list[Request] = []

    async def body() -> AsyncIterator[bytes]:
        for piece in (b'{"error": {"message": "no model for sk-proj-01', b'23456789abcdef", "type": "x"}}'):
            yield piece

    async def handle(request: Request) -> Response:
        seen.append(request)
        headers = {"content-type": "application/json", "x-request-id": f"r-{KEY}", "set-cookie": "session=1"}
        return Response(404, headers, body())

    async def main() -> None:
        async with Runtime(providers=[provider(handle, path, profile=profile)]):
            with pytest.raises(ProviderFailed):
                await run(AGENT, "Hi.")

    run_virtual(main())
    assert any(KEY in value for value in seen[0].headers.values())
    (one,) = exchanges(path)
    assert set(one) <= {"method", "url", "request", "status", "at", "headers", "body", "end"}
    assert set(one["headers"]) == {"content-type", "x-request-id"}
    stars = "*" * len(KEY)
    assert "".join(piece["text"] for piece in one["body"]) == (
        f'{{"error": {{"message": "no model for {stars}", "type": "x"}}}}'
    )
    assert "sk-proj" not in path.read_text()
    assert "23456789abcdef" not in path.read_text()


def test_a_key_in_the_address_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"

    async def handle(_request: Request) -> Response:
        return whole(200, f"for {KEY}".encode(), "text/plain")

    async def main() -> None:
        async with httpx2.AsyncClient(transport=Recording(path, InMemoryTransport(handle))) as client:
            await client.post(f"http://m.invalid/v1/x?api_key={KEY}&token={KEY[:12]}&v=1#there", json={"n": 1})

    run_virtual(main())
    (one,) = exchanges(path)
    assert one["url"] == "http://m.invalid/v1/x"
    assert one["body"] == [{"at": 0.0, "text": f"for {'*' * len(KEY)}"}]


def test_a_word_that_stands_for_no_key_is_left_in_the_text(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    transport = Recording(path, InMemoryTransport(ScriptedModel(["There is none."]).faults))

    async def main() -> None:
        there = Provider(name="openai", base_url="http://m.invalid/v1", api_key="none", transport=transport)
        async with Runtime(providers=[there]):
            await run(AGENT, "Is there none?")

    run_virtual(main())
    assert "There is none." in path.read_text()


def test_limits_and_requests_to_wait_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    told = {"retry-after": "2", "x-ratelimit-remaining-requests": "0", "anthropic-ratelimit-tokens-limit": "9"}

    async def handle(_request: Request) -> Response:
        return whole(429, b"{}", "application/json", {**told, "openai-organization": "us", "server": "x"})

    async def main() -> None:
        async with httpx2.AsyncClient(transport=Recording(path, InMemoryTransport(handle))) as client:
            await client.post("http://m.invalid/v1/x", json={})

    run_virtual(main())
    assert exchanges(path)[0]["headers"] == {"content-type": "application/json", **told}


def test_who_is_not_let_in_leaves_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    model = ScriptedModel([])
    model.faults.then(faults.status(401)).then(faults.status(403))

    async def main() -> None:
        for _ in range(2):
            async with Runtime(providers=[provider(model.faults, path)]):
                with pytest.raises(ProviderFailed):
                    await run(AGENT, "Hi.")

    run_virtual(main())
    assert not path.exists()


def test_bytes_that_are_no_text_are_kept_as_they_came(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"

    async def body() -> AsyncIterator[bytes]:
        yield b"caf\xc3"
        yield b"\xa9 au lait"

    async def handle(_request: Request) -> Response:
        return Response(200, {"content-type": "text/plain"}, body())

    async def main() -> None:
        async with httpx2.AsyncClient(transport=Recording(path, InMemoryTransport(handle))) as client:
            assert (await client.get("http://m.invalid/")).text == "caf\u00e9 au lait"

    run_virtual(main())
    assert exchanges(path)[0]["body"] == [{"at": 0.0, "raw": "Y2Fmww=="}, {"at": 0.0, "raw": "qSBhdSBsYWl0"}]


@pytest.mark.parametrize("answered", [True, False])
def test_a_broken_connection_is_kept_as_one(answered: bool, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"

    async def body() -> AsyncIterator[bytes]:
        yield b"half"
        raise Cut("enough")

    async def handle(_request: Request) -> Response:
        if not answered:
            raise Cut("at once")
        return Response(200, {}, body())

    async def main() -> None:
        async with httpx2.AsyncClient(transport=Recording(path, InMemoryTransport(handle))) as client:
            with pytest.raises(httpx2.RemoteProtocolError):
                await client.get("http://m.invalid/")

    run_virtual(main())
    (one,) = exchanges(path)
    assert one["broke"].startswith("RemoteProtocolError: the server cut the connection")
    assert one.get("status", 0) == (200 if answered else 0)
    assert [piece["text"] for piece in one.get("body", [])] == (["half"] if answered else [])


def test_what_was_not_read_to_its_end_says_so(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    model = ScriptedModel([reply("one two three", pieces=3, pause=60.0)])

    async def main() -> None:
        async with Runtime(providers=[provider(model.faults, path)]):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(10):
                    await run(AGENT, "Count.")

    run_virtual(main())
    (one,) = exchanges(path)
    assert one["broke"] == "its reader left"
    assert model.cut == 1


def test_an_earlier_recording_is_replaced_by_the_first_exchange(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("old\n")

    async def main() -> None:
        async with Runtime(providers=[provider(ScriptedModel(["A.", "B."]).faults, path)]):
            assert path.read_text() == "old\n"
            await run(AGENT, "a")
            await run(AGENT, "b")

    run_virtual(main())
    assert [one["request"]["messages"][-1]["content"] for one in exchanges(path)] == ["a", "b"]


def test_without_another_transport_it_is_the_network(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"

    async def main() -> str:
        async with serve(ScriptedModel(["Hello."]).faults) as server:
            there = Provider(name="openai", base_url=f"{server.url}/v1", api_key=KEY, transport=Recording(path))
            async with Runtime(providers=[there]):
                await run(AGENT, "Hi.")
            return server.url

    url = asyncio.run(main())
    (one,) = exchanges(path)
    assert (one["url"], one["status"]) == (f"{url}/v1/chat/completions", 200)
    assert KEY not in path.read_text()
