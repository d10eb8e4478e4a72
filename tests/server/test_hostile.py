"""What a hostile client cannot make of the server: one that holds more and more."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from agentrt import Runtime
from agentrt.server.listen import Server, serving
from agentrt.server.settings import ServeSettings
from agentrt.testing import ScriptedModel, assert_no_leaks, reply, run_virtual
from tests.server.guest import CLERK, has_ended, house, text_of, visiting


@asynccontextmanager
async def served(**settings: Any) -> AsyncGenerator[Server]:
    """A server on a free port, which leaves nothing behind."""
    provider = ScriptedModel(lambda body: reply("Here.")).provider("scripted")
    async with asyncio.timeout(30), assert_no_leaks(), Runtime(providers=[provider]) as runtime:
        async with serving(CLERK, port=0, runtime=runtime, settings=ServeSettings(**settings)) as server:
            yield server


def test_who_pings_and_reads_no_pongs_is_cut() -> None:
    """`websockets` answers every ping, and what nobody reads would wait in this process."""
    ping = b"\x89\xfd\0\0\0\0" + b"x" * 125

    async def main() -> None:
        async with served() as server, visiting(server) as (guest, _):
            reader, writer = await bare(server)
            writer.write(handshake(server))
            await reader.readuntil(b"\r\n\r\n")
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await until(lambda: server.connections == 2)
            most = 0
            while server.connections == 2:
                writer.write(ping * 1000)
                most = max(most, *buffered(server))
                await asyncio.sleep(0)
            writer.transport.abort()
            assert most < 400_000  # what one read of the socket can add comes on top of the limit
            await guest.start()
            assert text_of(await guest.ended()) == "Here."

    asyncio.run(main())


def test_who_reads_its_pongs_may_ping_as_much_as_it_likes() -> None:
    async def main() -> None:
        async with served() as server, visiting(server) as (guest, ws):
            for _ in range(2000):
                await (await ws.ping(b"x" * 125))
            await guest.start()
            assert text_of(await guest.ended()) == "Here."

    asyncio.run(main())


def test_more_connections_than_the_server_takes_are_cut_and_the_others_live() -> None:
    async def main() -> None:
        async with served(all_connections=3) as server, visiting(server) as (guest, _):
            with ExitStack() as silent:
                address = urlsplit(server.url)
                for _ in range(2):
                    silent.enter_context(socket.create_connection((address.hostname, address.port)))
                await refused(server)
                await guest.start()
                assert text_of(await guest.ended()) == "Here."
            async with asyncio.timeout(5):
                while not await open_to(server):  # noqa: ASYNC110 - it has to be asked for
                    await asyncio.sleep(0.01)

    asyncio.run(main())


def test_runs_that_have_ended_take_so_much_room_and_the_oldest_makes_way() -> None:
    async def main() -> None:
        model = ScriptedModel(lambda body: reply("Here."))
        async with house(model, settings=ServeSettings(replay_all_bytes=1_000_000)) as here:
            guest = await here.guest()
            for n in range(12):
                await guest.start("x" * 200_000, run=f"r{n}")
                await guest.ended(f"r{n}")
            held = [n for n in range(12) if f"r{n}" in here.desk._shows]
            assert held == [8, 9, 10, 11]
            for run in ("r0", "r11"):  # one is in the journal only
                before = guest.runs.pop(run).view
                await guest.attach(run)
                assert (await guest.ended(run)).view.conversation == before.conversation
            await asyncio.sleep(400)
            assert not here.desk._shows and not here.desk._ended and here.desk._weight == 0

    run_virtual(main())


def test_a_run_from_the_journal_is_read_once_for_all_who_look_and_not_kept() -> None:
    async def main() -> None:
        model = ScriptedModel(lambda body: reply("Here."))
        async with house(model, settings=ServeSettings(replay_ttl=1)) as here:
            guest = await here.guest()
            await guest.start()
            await guest.ended()
            await asyncio.sleep(2)
            shows = [await here.desk.find(None, "r1") for _ in range(3)]
            assert shows[0] is shows[1] is shows[2]
            shows.clear()
            gc.collect()
            assert not here.desk._reread
            assert has_ended(guest.runs["r1"])

    run_virtual(main())


async def bare(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(server.url)
    return await asyncio.open_connection(address.hostname, address.port)


def handshake(server: Server) -> bytes:
    return (
        f"GET /ws HTTP/1.1\r\nHost: {urlsplit(server.url).netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


async def open_to(server: Server) -> bool:
    """Whether somebody who comes now is answered."""
    reader, writer = await bare(server)
    try:
        writer.write(f"GET /livez HTTP/1.1\r\nHost: {urlsplit(server.url).netloc}\r\n\r\n".encode())
        return bool(await reader.read())
    except ConnectionError:
        return False
    finally:
        writer.close()


async def refused(server: Server) -> None:
    async with asyncio.timeout(5):
        while await open_to(server):  # those before it may not have been taken yet
            pass


async def until(true: Any) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


def buffered(server: Server) -> list[int]:
    """Bytes that wait in this process for each client to read."""
    return [wire.transport.get_write_buffer_size() for wire in server._wires] or [0]
