"""The provider in a process of its own, and its clients in one process or in several."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

from agentrt.local.wire import serve
from agentrt.testing.windows import Seen
from bench.gate_contenders import CONTENDERS
from bench.gate_world import BURST, By, Calls, Outcome, calls, drive, provider

_SPAWN = multiprocessing.get_context("spawn")


@contextmanager
def provider_process(by: By) -> Iterator[tuple[str, Callable[[], list[Seen]]]]:
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


def ask_in_processes(name: str, base_url: str, by: By, wanted: Calls, count: int) -> list[Outcome]:
    """What one contender makes of the calls in so many processes, each with its part of them and of the limits.

    They begin together, once all of them are ready.
    """
    barrier = _SPAWN.Barrier(count)
    pipes = [_SPAWN.Pipe() for _ in range(count)]
    processes = [
        _SPAWN.Process(
            target=_ask, args=(theirs, barrier, name, base_url, by, wanted.share(n, count), 1 / count), daemon=True
        )
        for n, (_, theirs) in enumerate(pipes)
    ]
    for process, (_, theirs) in zip(processes, pipes, strict=True):
        process.start()
        theirs.close()  # else nobody would hear of it if the process died
    outcomes: list[Outcome] = [ours.recv() for ours, _ in pipes]
    for process in processes:
        process.join()
    return outcomes


def _ask(parent: Connection, ready: Barrier, name: str, base_url: str, by: By, wanted: Calls, share: float) -> None:  # noqa: PLR0917
    async def main() -> Outcome:
        async with CONTENDERS[name](base_url, None, by, share) as client:
            # What is imported, built and connected at a first call is no part of the measurement.
            await drive(client, calls(round(BURST * share)))
            await asyncio.sleep(1)
            ready.wait(60)
            return await drive(client, wanted)

    parent.send(asyncio.run(main()))
