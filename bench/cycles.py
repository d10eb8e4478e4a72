"""A Runtime is started, runs, is cancelled and left, again and again: `python -m bench.cycles`.

On real sockets, with SQLite, threads and a provider that is a process of its own. What the process holds is counted
after the first cycles, when everything that is loaded once is there, and after the last: descriptors, sockets,
threads, children and tasks must be as many as before. Memory is told, too.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil  # type: ignore[import-untyped]

from agentrt import Agent, Provider, Runtime, stream, tool
from agentrt.errors import RunCancelled
from agentrt.events import TextDelta
from bench.provider import provider

FIRST = 10


@tool(name="tool")
def plain(n: int) -> int:
    """A plain function, which runs in a thread."""
    return n


def held() -> dict[str, int]:
    """What this process holds now."""
    process = psutil.Process()
    return {
        "descriptors": process.num_fds(),
        "sockets": len(process.net_connections()),
        "threads": process.num_threads(),
        "children": len(process.children(recursive=True)),
    }


async def cycle(base_url: str, journal: Path) -> None:
    """One Runtime: a run that calls a tool in a thread, one that is cancelled while it streams, one that is left."""
    provided = [Provider(name="bench", base_url=base_url)]
    done = Agent(name="done", model="bench:turns-1-tokens-5", tools=[plain])
    endless = Agent(name="endless", model="bench:trickle-1000")
    async with Runtime(providers=provided, journal=f"sqlite:{journal}") as runtime:
        await runtime.start(done, "Go.").answer()
        try:
            async with stream(endless, "Go on.") as running:
                async for event in running:
                    if isinstance(event, TextDelta):
                        running.cancel()
        except RunCancelled:
            pass
        left = runtime.start(endless, "Go on.")
        async for event in left.events():
            if isinstance(event, TextDelta):
                break


async def settled(wanted: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    """What is held once that is as it should be, or after five seconds."""
    until = time.monotonic() + 5.0
    while not wanted(now := held()) and time.monotonic() < until:  # noqa: ASYNC110 - threads end in their own time
        await asyncio.sleep(0.02)
    return now


async def cycles(base_url: str, log: Connection, times: int) -> tuple[dict[str, int], dict[str, int]]:
    """What is held before and after so many cycles.

    Raises:
        AssertionError: a task is left.
    """
    with TemporaryDirectory(prefix="agentrt-cycles-") as name:
        for _ in range(FIRST):
            await cycle(base_url, Path(name) / "j.db")
        before = await settled(lambda now: now["threads"] == 1)
        for _ in range(times):
            await cycle(base_url, Path(name) / "j.db")
            while log.poll():  # a provider whose log nobody reads would stand still one day
                log.recv()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return before, await settled(lambda now: now == before)


def main() -> None:
    """Count and print; exit with 1 if anything is left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1_000)
    arguments = parser.parse_args()
    with provider() as (base_url, log):
        began, size = time.monotonic(), psutil.Process().memory_info().rss
        before, after = asyncio.run(cycles(base_url, log, arguments.times))
        grown = (psutil.Process().memory_info().rss - size) / 2**20
    print(f"{arguments.times} cycles, {time.monotonic() - began:.0f} s; {grown:.1f} MiB more than in the beginning")
    for what, number in before.items():
        print(f"{what:>12}: {number} before, {after[what]} after")
    if before != after:
        raise SystemExit("something is left")


if __name__ == "__main__":
    main()
