"""The door over real sockets: what comes in, what is kept out, and that one client is no harm to another."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from agentrt import Agent, Runtime, tool
from agentrt.errors import KeyMissing, SettingInvalid
from agentrt.events import RunStarted
from agentrt.journal.memory import MemoryJournal
from agentrt.messages import UserMessage
from agentrt.server.auth import ConnectionInfo
from agentrt.server.listen import Server, serve, serving
from agentrt.server.settings import ServeSettings
from agentrt.testing import ScriptedModel, assert_no_leaks, call, reply
from tests.server.client import Client
from tests.server.guest import CLERK, Guest, code, has_ended, question, text_of, visiting, wait


@tool(effect="write", needs_approval=True)
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@tool(run_in="client")
async def locate() -> str:
    """Where the user is."""
    raise NotImplementedError


TALE = reply("Once upon a time there was a tale.", pieces=30, pause=0.003)


def run(main: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(30):
            await main

    asyncio.run(in_time())


@asynccontextmanager
async def served(model: ScriptedModel | None = None, **options: Any) -> AsyncIterator[Server]:
    """A server on a free port, which leaves nothing behind."""
    providers = [(model or ScriptedModel([])).provider("scripted")]
    async with assert_no_leaks(), Runtime(providers=providers) as runtime:
        async with serving(CLERK, port=0, runtime=runtime, **options) as server:
            yield server


async def known(info: ConnectionInfo, token: str | None) -> str | None:
    cookie = info.headers.get("cookie", "")
    return {"t0k3n": "alice"}.get(token or "") or ("carol" if cookie == "session=carol" else None)


async def get(server: Server, path: str, *, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of a plain request."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    lines = {"Host": address.netloc, **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    status, *fields = head.split("\r\n")
    return int(status.split()[1]), dict(field.lower().split(": ", 1) for field in fields), body


async def refused(server: Server, **options: Any) -> int:
    """The status of a handshake that is refused."""
    with pytest.raises(InvalidStatus) as refusal:
        async with connect(server.ws_url, **options):
            pass
    return refusal.value.response.status_code


async def closed(ws: Any) -> tuple[int | None, str]:
    """How the server closes; what it says before is read."""
    with suppress(ConnectionClosed):
        async for _ in ws:
            pass
    return ws.close_code, ws.close_reason


@pytest.mark.smoke
def test_a_question_is_answered_over_a_socket() -> None:
    async def main() -> None:
        async with served(ScriptedModel([TALE])) as server, visiting(server) as (guest, ws):
            assert ws.subprotocol == "agentrt.v1"
            assert server.connections == 1
            await guest.start("Tell.")
            assert text_of(await guest.ended()) == "Once upon a time there was a tale."

    run(main())


def test_people_reach_into_a_run_over_sockets(tmp_path: Path) -> None:
    """One watches and decides; the server restarts while the run rests; another one says more, and stops a call."""
    agent = Agent(name="clerk", model="scripted:m", tools=[pay, locate, wait])
    first = [reply(calls=[call("pay", amount=3)]), reply(calls=[call("locate")])]
    rest = [reply(calls=[call("wait", seconds=60)]), TALE]

    @asynccontextmanager
    async def up(replies: list[Any]) -> AsyncIterator[Server]:
        provider, journal = ScriptedModel(replies).provider("scripted"), f"sqlite:{tmp_path}/chat.db"
        async with assert_no_leaks(), Runtime(providers=[provider], journal=journal, on_exit="suspend") as runtime:
            settings = ServeSettings(approval_linger=0.05)
            async with serving(agent, port=0, runtime=runtime, settings=settings) as server:
                yield server

    async def call_that(guest: Guest, name: str, state: str) -> str:
        """The id of the call of that tool, once it is in that state."""
        wanted = {"name": name, "state": state}.items()

        def ids(run: Client) -> list[str]:
            shown = [content for kind, content in run.view.activities.values() if kind == "agentrt.tool"]
            return [content["toolCallId"] for content in shown if content.items() >= wanted]

        return ids(await guest.shown(lambda run: bool(ids(run))))[0]

    async def main() -> None:
        async with up(first) as server, visiting(server, hello=False) as (guest, ws):
            await guest.hello(features=["inline_approvals"])
            await guest.start("Pay 3.")
            paying = await call_that(guest, "pay", "waiting")
            yes = {"run_id": "r1", "approval_id": paying, "decision": "approve"}
            assert (await guest.ask("approval.respond", **yes))["ok"]
            locating = await call_that(guest, "locate", "client")
            ws.transport.abort()
            async with visiting(server) as (other, _):
                await other.attach()
                end = (await other.ended()).view.end
                assert end is not None
                assert [one["toolCallId"] for one in end["outcome"]["interrupts"]] == [locating]
        async with up(rest) as server, visiting(server) as (guest, _):
            answer = {"run_id": "r1", "tool_call_id": locating, "content": "Berlin"}
            assert (await guest.ask("tool.result", **answer))["epoch"] == 2
            waiting = await call_that(guest, "wait", "running")
            await guest.ask("run.steer", run_id="r1", message={"id": "u2", "content": "A tale, please."})
            await guest.ask("tool.cancel", run_id="r1", tool_call_id=waiting)
            run = await guest.ended()
            assert [status for _, status in run.view.results.values()] == ["ok", "ok", "cancelled"]
            assert text_of(run) == "A tale, please.Once upon a time there was a tale."

    run(main())


def test_who_offers_no_subprotocol_is_taken_to_mean_ours() -> None:
    async def main() -> None:
        async with served() as server:
            for offered in (None, [Subprotocol("other.v1")]):
                async with connect(server.ws_url, subprotocols=offered) as ws:
                    assert ws.subprotocol is None
                    await ws.send('{"type": "hello"}')
                    assert json.loads(await ws.recv())["type"] == "welcome"

    run(main())


def test_frames_that_are_none_are_answered_or_close() -> None:
    async def main() -> None:
        async with served() as server:
            async with visiting(server) as (guest, ws):
                await ws.send("{")
                refused = await guest.until("reply")
                assert (refused["id"], code(refused)) == (None, "invalid_frame")
                assert code(await guest.ask("run.hurry")) == "unknown_type"
                await ws.send(b"{}")
                assert (await closed(ws))[0] == 1003
            async with visiting(server) as (_, ws):
                await ws.send(json.dumps({"type": "ping", "t": "x" * 262_144}))
                assert (await closed(ws))[0] == 1009
            async with visiting(server) as (_, ws):
                for _ in range(3):
                    await ws.send("{")
                assert await closed(ws) == (4400, "3 bad frames in a row")
            async with visiting(server, hello=False) as (guest, ws):
                await guest.say("ping")
                assert (await closed(ws))[0] == 4400
            async with visiting(server) as (guest, ws):
                for _ in range(30):
                    await guest.say("ping")
                assert (await closed(ws))[0] == 4429

    run(main())


def test_a_frame_of_the_largest_size_is_read() -> None:
    async def main() -> None:
        async with served(ScriptedModel(["Long."])) as server, visiting(server) as (guest, _):
            await guest.start("x" * 260_000)
            assert text_of(await guest.ended()) == "Long."

    run(main())


def test_no_hello_closes() -> None:
    async def main() -> None:
        async with served(settings=ServeSettings(hello_timeout=0.05)) as server:
            async with visiting(server, hello=False) as (_, ws):
                assert await closed(ws) == (4408, "expected hello within 0.05 s")

    run(main())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Host": "evil.example"}, 403),
    ],
)
def test_a_foreign_page_may_not_connect(headers: dict[str, str], status: int) -> None:
    async def main() -> None:
        async with served() as server:
            if "Host" in headers:
                assert (await get(server, "/ws", **headers))[0] == status
                assert (await get(server, "/", **headers))[0] == status
            else:
                assert await refused(server, additional_headers=headers) == status

    run(main())


def test_the_servers_own_page_and_listed_ones_may_connect() -> None:
    async def main() -> None:
        async with served(allowed_origins=["https://app.example.org"]) as server:
            for origin in (server.url, "https://app.example.org"):
                async with visiting(server, additional_headers={"Origin": origin}):
                    pass

    run(main())


def test_two_origins_are_none() -> None:
    async def main() -> None:
        async with served() as server:
            both = [("Origin", server.url), ("Origin", "https://evil.example")]
            assert await refused(server, additional_headers=both) == 400

    run(main())


def test_who_says_who_it_is_in_a_header_is_heard_before_the_socket_opens() -> None:
    async def main() -> None:
        async with served(authenticate=known) as server:
            async with visiting(server, additional_headers={"Authorization": "Bearer t0k3n"}) as (guest, _):
                assert guest.welcome["principal"] == "alice"
            async with visiting(server, additional_headers={"Cookie": "session=carol"}) as (guest, _):
                assert guest.welcome["principal"] == "carol"
            for header in ("Bearer wrong", "Basic t0k3n", "Bearer", "x"):
                assert await refused(server, additional_headers={"Authorization": header}) == 401

    run(main())


def test_who_says_it_in_hello_is_heard_then() -> None:
    async def main() -> None:
        async with served(authenticate=known) as server:
            async with visiting(server, hello=False) as (guest, _):
                assert (await guest.hello(auth={"scheme": "bearer", "token": "t0k3n"}))["principal"] == "alice"
            for auth in ({"token": "wrong"}, None):
                async with visiting(server, hello=False) as (guest, ws):
                    await guest.say("hello", auth=auth)
                    assert await closed(ws) == (4401, "not authorized")

    run(main())


def test_what_others_can_reach_is_refused_without_authenticate() -> None:
    async def main() -> None:
        with pytest.raises(SettingInvalid, match="authenticate"):
            async with served(host="0.0.0.0"):
                pass
        async with served(host="0.0.0.0", authenticate=known) as server:
            assert server.url.startswith("http://127.0.0.1:")

    run(main())


def test_a_port_in_use_is_named() -> None:
    async def main() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(SettingInvalid, match=f"port {port} of 127.0.0.1 is in use"):
                await serve(CLERK, port=port, runtime=Runtime.current(), journal="memory")

    async def inside() -> None:
        async with Runtime(providers=[ScriptedModel([]).provider("scripted")]):
            await main()

    run(inside())


def test_a_server_that_does_not_come_up_takes_nothing_over() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        epoch = await journal.take("r1")
        asked = (UserMessage("Tell."),)
        stamp: dict[str, Any] = {"epoch": epoch, "seq": 1, "ends_at": 9e9}
        await journal.append(
            "r1", epoch, RunStarted(**stamp, run_id="r1", agent="clerk", model="scripted:m", messages=asked)
        )
        with socket.create_server(("127.0.0.1", 0)) as taken:
            async with Runtime(providers=[ScriptedModel([]).provider("scripted")], journal=journal):
                with pytest.raises(SettingInvalid, match="is in use"):
                    await serve(CLERK, port=taken.getsockname()[1])
                assert len(await journal.read("r1")) == 1
                assert await journal.take("r1") == epoch + 1

    run(main())


def test_an_agent_that_cannot_be_asked_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    async def main() -> None:
        with pytest.raises(KeyMissing):
            await serve(Agent(name="a", model="openai:x"), port=0)

    run(main())


def test_the_page_and_the_servers_health_are_plain_http() -> None:
    async def main() -> None:
        async with served() as server:
            assert (await get(server, "/healthz"))[0] == (await get(server, "/livez"))[0] == 200
            assert (await get(server, "/readyz"))[2] == "ok\n"
            status, headers, body = await get(server, "/page.json?x=1")
            assert (status, headers["content-type"]) == (200, "application/json")
            assert json.loads(body) == {"title": "clerk", "examples": []}
            assert headers["cache-control"] == "no-cache"
            assert headers["content-security-policy"].startswith(
                "default-src 'self'; connect-src 'self' ws://127.0.0.1:"
            )
            assert headers["x-content-type-options"] == "nosniff"
            for path in ("/nothing", "/../listen.py", "/%2e%2e/listen.py", "/page/index.html", "//page.json", "//[x"):
                assert (await get(server, path))[0] == 404
            assert (await get(server, "/ws"))[0] == 426
        async with served(page=False) as server:
            assert (await get(server, "/page.json"))[0] == 404

    run(main())


def test_a_page_is_got_and_nothing_else_is_done_to_it() -> None:
    async def main() -> None:
        async with served() as server:
            for method in ("POST", "DELETE", "HEAD"):
                reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
                writer.write(f"{method} / HTTP/1.1\r\nHost: {urlsplit(server.url).netloc}\r\n\r\n".encode())
                answer = await reader.read()
                assert b"200 OK" not in answer
                writer.close()

    run(main())


def test_a_bug_in_one_connection_is_logged_by_its_id_and_no_harm_to_another(caplog: pytest.LogCaptureFixture) -> None:
    async def faulty(info: ConnectionInfo, token: str | None) -> str | None:
        if token == "bug":
            raise RuntimeError("a bug")
        return "alice"

    async def main() -> None:
        async with served(ScriptedModel([TALE]), authenticate=faulty) as server:
            async with visiting(server) as (guest, _), visiting(server, hello=False) as (other, ws):
                await guest.start()
                await other.say("hello", auth={"token": "bug"})
                number, reason = await closed(ws)
                assert number == 1011
                assert reason.removeprefix("internal error ") in caplog.text and "a bug" in caplog.text
                assert text_of(await guest.ended()) == "Once upon a time there was a tale."

    with caplog.at_level(logging.ERROR, "agentrt"):
        run(main())


def test_a_client_that_reads_nothing_holds_up_nobody_and_is_no_weight() -> None:
    """Four megabytes to one who reads, and to one on a bare socket who does not and is put off in the end."""

    async def main() -> None:
        long = reply("x" * 4_000_000, pieces=500)
        settings = ServeSettings(slow_client_timeout=0.3, replay_max_bytes=2**25)
        async with (
            served(ScriptedModel([long]), settings=settings) as server,
            visiting(server, max_size=None) as (guest, _),
        ):
            address = urlsplit(server.url)
            with socket.create_connection((address.hostname, address.port)) as raw:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                raw.sendall(handshake(address.netloc) + masked({"type": "hello"}))
                raw.sendall(masked({"type": "run.start", "id": "1", "input": question()}))
                while not (await guest.attach())["ok"]:  # noqa: ASYNC110 - it has to be asked for
                    await asyncio.sleep(0.01)
                assert len(text_of(await guest.ended())) == 4_000_000
                assert server.connections == 2
                assert 0 < max(buffered(server)) < 150_000
                while server.connections == 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)

    run(main())


def buffered(server: Server) -> list[int]:
    """Bytes that wait in this process for each client to read."""
    return [one._socket._ws.transport.get_write_buffer_size() for one in server._connections]  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(8))
def test_wherever_the_socket_is_cut_the_text_is_the_same(seed: int) -> None:
    """The cut is a reset, at a random moment; whoever comes back goes on from its cursor, in the same epoch."""
    random = Random(seed)
    said = "".join(random.choice('abc déf\n"') for _ in range(300))
    model = ScriptedModel([reply(calls=[call("wait", seconds=0.01)] * 3), reply(said, pieces=150, pause=0.002)])

    async def main() -> None:
        settings = ServeSettings(tick=random.choice([0, 0.005, 0.02]), max_frame=random.choice([1, 500, 32_768]))
        async with served(model, settings=settings) as server, visiting(server) as (watcher, _):
            await watcher.start()
            seen, cuts = Client(epoch=0), 0
            while not has_ended(seen):
                async with visiting(server) as (guest, ws):
                    await guest.attach(cursor=seen)
                    if not seen.epoch:
                        seen.epoch = 1
                    with suppress(TimeoutError):
                        async with asyncio.timeout(random.uniform(0, 0.1)):
                            await guest.ended()
                    ws.transport.abort()
                    cuts += 1
            assert cuts > 2
            assert seen.snapshots == 0
            assert seen.view == (await watcher.ended()).view
            assert text_of(seen) == said

    run(main())


def test_a_server_that_stops_waits_for_runs_and_tells_clients_to_come_again() -> None:
    async def main() -> None:
        long = reply("x" * 100, pieces=100, pause=1)
        async with assert_no_leaks(), Runtime(providers=[ScriptedModel([TALE, long]).provider("scripted")]) as runtime:
            for text in ("Once upon a time there was a tale.", "xx"):
                settings = ServeSettings(grace=0.5)
                async with AsyncExitStack() as visit:
                    async with serving(CLERK, port=0, runtime=runtime, settings=settings) as server:
                        guest, ws = await visit.enter_async_context(visiting(server))
                        await guest.start(run=text)
                        await guest.shown(lambda run: bool(text_of(run)), text)
                        url = server.url
                    notice = await guest.until("notice")
                    assert (notice["code"], notice["grace_s"]) == ("draining", 0.5)
                    assert await closed(ws) == (1012, "restart")
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
            assert runtime.find("xx") is not None  # the run is the Runtime's

    run(main())


def test_while_it_stops_it_is_not_ready() -> None:
    async def main() -> None:
        model = ScriptedModel([TALE])
        async with served(model) as server, visiting(server) as (guest, _):
            await guest.start()
            async with asyncio.TaskGroup() as group:
                draining = group.create_task(server.drain(10))
                assert (await guest.until("notice"))["code"] == "draining"
                assert (await get(server, "/readyz"))[0] == 503
                assert (await get(server, "/livez"))[0] == 200
                assert code(await guest.start(run="r2")) == "draining"
            assert draining.done()
            assert text_of(await guest.ended()) == "Once upon a time there was a tale."

    run(main())


def test_somebody_who_opens_a_connection_and_says_nothing_does_not_hold_up_the_end() -> None:
    async def main() -> None:
        settings = ServeSettings(hello_timeout=0.5)
        async with assert_no_leaks(), Runtime(providers=[ScriptedModel([]).provider("scripted")]) as runtime:
            async with serving(CLERK, port=0, runtime=runtime, settings=settings) as server:
                reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
                writer.write(b"GET / HTTP/1.1\r\n")
                await writer.drain()
            assert await reader.read() == b""
            writer.close()

    run(main())


def handshake(host: str) -> bytes:
    return (
        f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def masked(frame: dict[str, Any]) -> bytes:
    """A client's text frame, with a mask of zeros."""
    body = json.dumps(frame).encode()
    assert 125 < len(body) < 65_536 or len(body) <= 125
    size = bytes([0x80 | len(body)]) if len(body) <= 125 else b"\xfe" + len(body).to_bytes(2, "big")
    return b"\x81" + size + b"\0\0\0\0" + body
