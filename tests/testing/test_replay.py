from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agentrt import Agent, Provider, Runtime, run, tool
from agentrt.errors import ProviderFailed, SettingInvalid
from agentrt.local.handler import Cut, Request
from agentrt.local.wire import serve
from agentrt.testing import (
    InMemoryTransport,
    Recording,
    Replay,
    ScriptedModel,
    assert_no_leaks,
    call,
    faults,
    recorded,
    reply,
    run_virtual,
)
from agentrt.testing.faults import Faults


@tool(effect="read")
async def stock(sku: str) -> int:
    """Units of an article in the warehouse."""
    return {"A-1207": 3}[sku]


CLERK = Agent(name="clerk", model="openai:m", tools=[stock])
SCRIPT = [reply(calls=[call("stock", sku="A-1207")]), reply("Three are left.", pieces=3, pause=2.0)]


def provider(transport: httpx2.AsyncBaseTransport) -> Provider:
    return Provider(name="openai", base_url="http://m.invalid/v1", transport=transport)


async def ask(transport: httpx2.AsyncBaseTransport, question: str = "How many are left?") -> str:
    async with Runtime(providers=[provider(transport)]):
        return (await run(CLERK, question)).output


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A conversation of two turns: a call, and an answer of three pieces with two seconds between them."""
    path = tmp_path / "clerk.jsonl"
    model = ScriptedModel(SCRIPT)
    assert run_virtual(ask(Recording(path, InMemoryTransport(model.faults)))) == "Three are left."
    return path


def test_a_recorded_conversation_is_held_again_without_the_provider(recording: Path) -> None:
    async def main() -> float:
        async with assert_no_leaks():
            replay = Replay(recording)
            assert await ask(InMemoryTransport(replay)) == "Three are left."
            assert (replay.left, replay.unknown) == ([], [])
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(0, abs=1e-3)


def test_with_its_times_it_takes_as_long_as_it_took(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"

    async def seconds(transport: httpx2.AsyncBaseTransport) -> float:
        assert await ask(transport) == "Three are left."
        return asyncio.get_running_loop().time()

    took = run_virtual(seconds(recorded(path, InMemoryTransport(ScriptedModel(SCRIPT).faults))))
    assert took > 8
    assert "its reader left" in path.read_text()  # for the last two seconds it does not wait
    assert run_virtual(seconds(recorded(path, times=True))) == pytest.approx(took, abs=0.01)


def test_it_is_recorded_once_and_from_then_on_replayed(tmp_path: Path) -> None:
    path = tmp_path / "clerk.jsonl"
    model = ScriptedModel(SCRIPT)

    async def main() -> str:
        return await ask(recorded(path, InMemoryTransport(model.faults)))

    assert [run_virtual(main()) for _ in range(3)] == ["Three are left."] * 3
    assert len(model.requests) == 2


def test_the_bytes_are_those_that_came(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    model = ScriptedModel([reply("Three \u2026 \u00e9", pieces=4)])
    model.faults.then(faults.trickle(size=1, every=0))  # cuts within a character

    async def bytes_of(transport: httpx2.AsyncBaseTransport) -> tuple[Any, ...]:
        async with httpx2.AsyncClient(transport=transport) as client:
            async with client.stream("POST", "http://x/v1/chat/completions", json={"model": "m"}) as got:
                return got.status_code, dict(got.headers), [piece async for piece in got.aiter_raw()]

    first = run_virtual(bytes_of(recorded(path, InMemoryTransport(model.faults))))
    assert max(map(len, first[2])) == 1
    assert run_virtual(bytes_of(recorded(path))) == first


def test_calls_that_run_at_once_may_come_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    questions = [f"question {n}" for n in range(6)]

    def say(request: dict[str, Any]) -> Any:
        return reply(f"answer to {request['messages'][-1]['content']}", pause=1.0)

    async def main(transport: httpx2.AsyncBaseTransport, asked: list[str]) -> dict[str, str]:
        async with Runtime(providers=[provider(transport)]), asyncio.TaskGroup() as group:
            runs = {question: group.create_task(run(CLERK, question)) for question in asked}
        return {question: done.result().output for question, done in runs.items()}

    first = run_virtual(main(recorded(path, InMemoryTransport(ScriptedModel(say).faults)), questions))
    assert first == {question: f"answer to {question}" for question in questions}
    assert run_virtual(main(recorded(path), questions[::-1])) == first


def test_what_was_asked_twice_in_the_same_words_is_answered_in_that_order(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    model = ScriptedModel(["Sorry.", "Better now."])
    model.faults.then(faults.status(429, retry_after=7))  # the first answer; the gate asks again

    async def main(transport: httpx2.AsyncBaseTransport) -> list[str]:
        return [await ask(transport), await ask(transport)]

    assert run_virtual(main(recorded(path, InMemoryTransport(model.faults)))) == ["Sorry.", "Better now."]
    assert [json.loads(line)["status"] for line in path.read_text().splitlines()] == [429, 200, 200]
    assert run_virtual(main(recorded(path))) == ["Sorry.", "Better now."]


def test_a_request_that_is_not_there_ends_the_run_and_says_what_differs(recording: Path) -> None:
    replay = Replay(recording)

    async def main() -> None:
        with pytest.raises(ProviderFailed) as failed:
            await ask(InMemoryTransport(replay), "How many are sold?")
        assert (
            "this request is not in the recording; the nearest differs at messages[0].content: "
            'recorded "How many are left?", asked "How many are sold?". Delete clerk.jsonl to record anew'
        ) in str(failed.value)

    run_virtual(main())
    assert len(replay.unknown) == 1  # it is not asked again
    assert len(replay.left) == 2


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"a": 1, "b": [1, 2]}, "b[1]: recorded nothing, asked 2."),
        ({"a": 1}, "b: recorded [1], asked nothing."),
        ({"a": "1", "b": [1]}, 'a: recorded 1, asked "1".'),
        ({"a": 2, "b": {}, "c": 3}, "a: recorded 1, asked 2; b: recorded [1], asked {}; and at 1 more."),
        ([], 'the body: recorded {"a":1,"b":[1]}, asked [].'),
    ],
)
def test_differences_are_named_by_their_place(body: Any, says: str, tmp_path: Path) -> None:
    replay = Replay(written(tmp_path, {"a": 1, "b": [1]}))
    assert says in run_virtual(said(replay, body))


def test_long_texts_are_shown_from_where_they_part(tmp_path: Path) -> None:
    replay = Replay(written(tmp_path, {"a": "x" * 500 + "ONE" + "y" * 500}))
    text = run_virtual(said(replay, {"a": "x" * 500 + "TWO" + "y" * 500}))
    assert "recorded …xxxxxxxxxxONEyyyyyyyyyyyyyyyyyyyyyyyyyyy…, asked …xxxxxxxxxxTWO" in text


def test_a_request_that_comes_too_often_or_after_all_is_told(tmp_path: Path) -> None:
    replay = Replay(written(tmp_path, {"a": 1}))
    assert run_virtual(said(replay, {"a": 1})) == "ok"
    assert "comes more often than it was recorded. Delete r.jsonl" in run_virtual(said(replay, {"a": 1}))
    assert "all 1 recorded exchanges have been asked for. Delete r.jsonl" in run_virtual(said(replay, {"a": 2}))


def test_another_address_is_another_request(tmp_path: Path) -> None:
    replay = Replay(written(tmp_path, {"a": 1}))
    assert 'path: recorded "/v1/x", asked "/v1/y".' in run_virtual(said(replay, {"a": 1}, path="/v1/y"))


def test_what_changes_from_run_to_run_may_be_left_out(tmp_path: Path) -> None:
    def timeless(body: Any) -> Any:
        return {name: value for name, value in body.items() if name != "today"}

    replay = Replay(written(tmp_path, {"a": 1, "today": "Monday"}), compare=timeless)
    assert run_virtual(said(replay, {"a": 1, "today": "Friday"})) == "ok"


def test_a_connection_breaks_again_where_it_broke(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    model = ScriptedModel(["One.", "Two."])
    model.faults.then(faults.unreachable).then(faults.cut(after=100)).then(faults.none)

    def main(transport: httpx2.AsyncBaseTransport) -> str:
        return run_virtual(ask(transport))

    assert main(recorded(path, InMemoryTransport(model.faults))) == "Two."
    replay = Replay(path)
    assert main(InMemoryTransport(replay)) == "Two."
    assert replay.left == []


def test_an_exchange_that_broke_breaks_where_it_broke(tmp_path: Path) -> None:
    async def main() -> None:
        request = Request("POST", "/v1/x", {}, b'{"a": 1}')
        with pytest.raises(Cut, match="ConnectError: nobody there"):
            await Replay(written(tmp_path, {"a": 1}, status=0, broke="ConnectError: nobody there"))(request)
        answer = await Replay(written(tmp_path, {"a": 1}, broke="ReadError: gone"))(request)
        assert await anext(answer.body) == b"ok"
        with pytest.raises(Cut, match="ReadError: gone"):
            await anext(answer.body)

    run_virtual(main())


def test_faults_stand_before_a_recording_too(recording: Path) -> None:
    troubled = Faults(Replay(recording)).then(faults.status(503))
    assert run_virtual(ask(InMemoryTransport(troubled))) == "Three are left."
    assert len(troubled.requests) == 3


def test_a_recording_may_be_served_on_a_socket(recording: Path) -> None:
    async def main() -> str:
        async with serve(Replay(recording)) as server:
            there = Provider(name="openai", base_url=f"{server.url}/v1", api_key="none")
            async with Runtime(providers=[there]):
                return (await run(CLERK, "How many are left?")).output

    assert asyncio.run(main()) == "Three are left."


def test_a_file_that_is_no_recording_is_named_with_its_line(recording: Path) -> None:
    with recording.open("a") as file:
        file.write('{"method": 1}\n')
    with pytest.raises(SettingInvalid, match=r"clerk\.jsonl, line 3: expected a recorded exchange; "):
        recorded(recording)


def written(folder: Path, request: Any, *, status: int = 200, broke: str = "") -> Path:
    path = folder / "r.jsonl"
    one = {"method": "POST", "url": "http://m.invalid/v1/x", "request": request, "status": status, "broke": broke}
    path.write_text(json.dumps({**one, "body": [{"at": 0.0, "text": "ok"}]}) + "\n")
    return path


async def said(replay: Replay, body: Any, *, path: str = "/v1/x") -> str:
    """The answer's text, or the error's."""
    async with httpx2.AsyncClient(transport=InMemoryTransport(replay)) as client:
        got = await client.post(f"http://other.invalid{path}", json=body)
        return got.text if got.status_code == 200 else str(got.json()["error"]["message"])
