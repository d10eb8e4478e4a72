"""`agentrt serve` as a process: what it says, how it stops, and what is left when it is killed."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sqlite3
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from agentrt.local.wire import serve
from agentrt.testing import ScriptedModel, call, reply
from tests.server.client import Client
from tests.server.guest import Guest, has_ended, text_of

COMMAND = (sys.executable, "-m", "agentrt.cli.main")

SHOP = """
import asyncio
from pathlib import Path
from agentrt import Agent, tool

@tool
async def note(text: str) -> str:
    \"\"\"Write a line.\"\"\"
    with Path(__file__).with_name("notes.txt").open("a") as notes:
        notes.write(text + chr(10))
    return "noted"

@tool
async def hold() -> str:
    \"\"\"Hold on, whatever happens.\"\"\"
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

clerk = Agent(name="clerk", model="openai:m", tools=[note, hold])
staff = [clerk, Agent(name="poet", model="openai:m")]
number = 7
"""

TEXT = "Once upon a time there was a tale, and it was told to its end."
TURNS = [
    reply(calls=[call("note", text="a"), call("note", text="b")]),
    reply(TEXT, pieces=40, pause=0.05),
]


def turn(asked: dict[str, Any]) -> Any:
    return TURNS[asked["messages"][-1]["role"] == "tool"]


def run(main: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(60):
            await main

    asyncio.run(in_time())


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def start(folder: Path, *arguments: str, model: str = "http://127.0.0.1:9/v1") -> Process:
    """`agentrt serve`, or another command if its name comes first."""
    arguments = arguments if arguments[0] == "demo" else ("serve", *arguments)
    env = {**os.environ, "OPENAI_BASE_URL": model, "OPENAI_API_KEY": "none"}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*COMMAND, *arguments, cwd=folder, env=env, stdout=pipe, stderr=pipe)


@asynccontextmanager
async def running(
    folder: Path, *arguments: str, model: ScriptedModel | None = None
) -> AsyncIterator[tuple[Process, str]]:
    """A server's process and the address of its socket; killed at the end if it is still there."""
    async with serve((model or ScriptedModel([])).faults) as provider:
        process = await start(folder, *arguments, model=f"{provider.url}/v1")
        assert process.stdout is not None and process.stderr is not None
        try:
            found = None
            while not found and (said := (await process.stdout.readline()).decode()):
                found = re.match(r"(?:open|serving) (?:http|ws)://(\S+?)(?:/ws)?\n", said)
            assert found, (await process.stderr.read()).decode()
            yield process, f"ws://{found[1]}/ws"
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@asynccontextmanager
async def visiting(url: str) -> AsyncIterator[Guest]:
    async with connect(url) as ws:
        guest = Guest(ws.send, ws.recv)
        await guest.hello()
        yield guest


async def failed(folder: Path, *arguments: str) -> str:
    """What is said by a server that does not come up, in one line."""
    process = await start(folder, *arguments)
    out, err = await process.communicate()
    assert (process.returncode, out.decode()) == (1, "")
    (line,) = err.decode().splitlines()
    return line


def test_an_agent_of_ones_own_is_served_and_ctrl_c_ends_it(shop: Path) -> None:
    async def main() -> None:
        model = ScriptedModel(turn)
        async with running(shop, "shop:staff", "--port", "0", "--no-page", model=model) as (process, url):
            async with visiting(url) as guest:
                assert guest.welcome["agents"] == ["clerk", "poet"]
                await guest.start("Tell.")
                assert text_of(await guest.ended()) == TEXT
                process.send_signal(signal.SIGINT)
                with pytest.raises(ConnectionClosed) as closed:
                    await guest.read()
                assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
            assert await process.wait() == 130

    run(main())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("shop",), 'expected MODULE:AGENT; "shop:clerk" is `clerk` of shop.py in this folder'),
        (("shop.py:clerk",), '"shop.py:clerk": expected MODULE:AGENT'),
        (("./shop.py:clerk",), '"./shop.py:clerk": expected MODULE:AGENT'),
        (("nowhere:clerk",), "\"nowhere\" cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        (("broken:clerk",), '"broken" cannot be imported: ZeroDivisionError: division by zero; --debug shows where'),
        (("shop:nobody",), '"shop" has no "nobody"'),
        (("shop:number",), '"shop:number" is of type int; expected an Agent, or a list of at least one'),
        (("shop:clerk", "--host", "0.0.0.0"), 'host="0.0.0.0" can be reached from other machines'),
        (("shop:clerk", "--journal", "postgres:x"), "journal='postgres:x': expected \"memory\""),
        (("shop:clerk", "--journal", "sqlite:shop.py"), "shop.py"),
        (("shop:clerk", "--journal", "sqlite:newer.db"), "newer"),
        (("shop:clerk", "--grace", "-1"), "ServeSettings(grace=-1.0): expected 0 or more"),
        (("shop:clerk", "--port", "70000"), "70000"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_line(arguments: tuple[str, ...], says: str, shop: Path) -> None:
    (shop / "broken.py").write_text("1 / 0")
    with sqlite3.connect(shop / "newer.db") as other:
        other.execute("PRAGMA user_version = 999")
        other.execute("CREATE TABLE facts (x)")

    async def main() -> None:
        if "--port" in arguments:
            assert says in await failed(shop, *arguments)
        else:
            assert says in await failed(shop, *arguments, "--port", "0")

    run(main())


def test_a_port_in_use_is_named(shop: Path) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            assert f"port {port} of 127.0.0.1 is in use" in await failed(shop, "shop:clerk", "--port", port)

    run(main())


def test_sigterm_closes_1012_and_the_next_start_goes_on(shop: Path) -> None:
    async def main() -> None:
        arguments = ("shop:clerk", "--port", str(free_port()), "--journal", "sqlite:chat.db", "--grace", "0.2")
        async with running(shop, *arguments, model=ScriptedModel(turn)) as (process, url):
            async with visiting(url) as guest:
                await guest.start("Tell.")
                seen = await guest.shown(lambda run: len(text_of(run)) > 10)
                process.send_signal(signal.SIGTERM)
                assert (await guest.until("notice"))["code"] == "draining"
                with pytest.raises(ConnectionClosed) as closed:
                    await guest.ended()
                assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
            assert await process.wait() == 0
        assert not has_ended(seen)
        await assert_gone_on_with(shop, arguments, seen)

    run(main())


def test_a_tool_that_will_not_stop_does_not_hold_up_the_end(shop: Path) -> None:
    async def main() -> None:
        model = ScriptedModel([reply(calls=[call("hold")])])
        arguments = ("shop:clerk", "--port", "0", "--journal", "sqlite:chat.db", "--grace", "0")
        async with running(shop, *arguments, model=model) as (process, url):
            async with visiting(url) as guest:
                await guest.start("Wait.")
                await guest.shown(lambda run: any(state["state"] == "running" for _, state in tools(run)))
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0

    def tools(run: Client) -> list[tuple[str, dict[str, Any]]]:
        return [activity for activity in run.view.activities.values() if activity[0] == "agentrt.tool"]

    run(main())


@pytest.mark.parametrize("characters", [1, 20])
def test_a_server_that_is_killed_in_mid_answer_goes_on_when_it_is_started_again(shop: Path, characters: int) -> None:
    async def main() -> None:
        arguments = ("shop:clerk", "--port", str(free_port()), "--journal", "sqlite:chat.db")
        async with running(shop, *arguments, model=ScriptedModel(turn)) as (process, url):
            async with visiting(url) as guest:
                await guest.start("Tell.")
                seen = await guest.shown(lambda run: len(text_of(run)) >= characters)
                process.kill()
                with pytest.raises(ConnectionClosed):
                    await guest.ended()
        await assert_gone_on_with(shop, arguments, seen)

    run(main())


async def assert_gone_on_with(shop: Path, arguments: tuple[str, ...], seen: Client) -> None:
    """The next process resumes the run; a viewer's old cursor gets a snapshot of the new epoch and the whole text."""
    model = ScriptedModel(turn)
    async with running(shop, *arguments, model=model) as (_, url):
        async with visiting(url) as guest:
            assert seen.epoch == 1 and seen.after > 0
            replied = await guest.attach(cursor=seen)
            assert replied["epoch"] == 2
            run = await guest.ended()
            assert (run.snapshots, run.epoch) == (1, 2)
            assert run.view.question == ["Tell."]
            assert text_of(run) == TEXT
            assert sorted(run.view.results.values()) == [("noted", "ok"), ("noted", "ok")]
            assert run.view.end is not None and run.view.end["outcome"] == {"type": "success"}
    assert len(model.requests) == 1  # the turn that was cut off, and not the one before
    assert (shop / "notes.txt").read_text() == "a\nb\n"


def test_the_demo_answers_on_a_page(shop: Path) -> None:
    async def main() -> None:
        assert "ask on the page" in await failed(shop, "demo", "--serve", "how does `with` work?")
        async with running(shop, "demo", "--serve", "--port", "0") as (process, url):
            async with visiting(url) as guest:
                await guest.start("how does `with` work?")
                run = await guest.ended()
                assert "context manager" in text_of(run)
                assert {name for name, _, _ in run.view.calls.values()} == {"search", "fetch_document"}
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0

    run(main())
