"""How soon a cancel is through: `python -m bench.cancelling`.

The provider, a process of its own, notes when a client closes a connection in mid-reply; both processes read the same
monotonic clock. So many runs are active all the time, each streaming 20 tokens a second; one after the other is
cancelled and replaced by a new one. Then runs are cancelled whose tools take some time to clean up: what counts is how
much later than that their `RunEnded` is there. At last all runs are cancelled at once.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from agentrt import Agent, Limits, Provider, Runtime, tool
from agentrt.events import RunEnded, TextDelta, ToolStarted
from agentrt.offloop import aside
from agentrt.runs.owner import Run
from agentrt.testing import assert_no_leaks
from bench.provider import provider

CLEAN_UP = 0.05
"""Seconds that the tool takes."""


@tool(name="tool")
async def tidy(n: int) -> str:
    """Wait, and clean up when stopped."""
    try:
        await asyncio.sleep(3_600.0)
    finally:
        await asyncio.sleep(CLEAN_UP)
    return str(n)


STREAMS: Agent[Any] = Agent(name="streams", model="bench:trickle-pause-50")
WORKS: Agent[Any] = Agent(name="works", model="bench:turns-1-calls-2", tools=[tidy])


async def active(runtime: Runtime, agent: Agent[Any]) -> Run:
    """A run that is in the middle of what it does: some text has come, or its tools run."""
    run = runtime.start(agent, "Go on.")
    seen = 0
    async for event in run.events():
        seen += isinstance(event, TextDelta | ToolStarted)
        if seen == 2:
            break
    return run


async def ended(run: Run) -> float:
    """When its `RunEnded` was there to be read."""
    async for event in run.events(run.head):
        if isinstance(event, RunEnded):
            return time.monotonic()
    return time.monotonic()


async def one_by_one(runtime: Runtime, log: Connection, agent: Agent[Any], crowd: int, times: int) -> list[list[float]]:
    """Seconds from each cancel to the closed connection, where there is one, and to `RunEnded`."""
    runs = [await active(runtime, agent) for _ in range(crowd)]
    closed: list[float] = []
    over: list[float] = []
    for n in range(times):
        run = runs[n % crowd]
        asked = time.monotonic()
        run.cancel()
        over.append(await ended(run) - asked)
        if agent is STREAMS:
            closed.append(await aside(log.recv) - asked)
        runs[n % crowd] = await active(runtime, agent)
    await at_once(runs, log)
    return [closed, over]


async def at_once(runs: Sequence[Run], log: Connection) -> list[float]:
    """Seconds until each connection is closed, all runs being cancelled together."""
    streaming = [run for run in runs if run.state.turns == 0]
    asked = time.monotonic()
    for run in runs:
        run.cancel()
    for run in runs:
        await run.wait()
    return [await aside(log.recv) - asked for _ in streaming]


async def measured(base_url: str, log: Connection, crowd: int, times: int) -> dict[str, list[float]]:
    """Seconds by what they are of. Nothing may be left of the runs in between."""
    provided = [Provider(name="bench", base_url=base_url, limits=Limits(concurrency=crowd + 1))]
    async with assert_no_leaks(), Runtime(providers=provided) as runtime, assert_no_leaks(runtime):
        closed, over = await one_by_one(runtime, log, STREAMS, crowd, times)
        _, tidied = await one_by_one(runtime, log, WORKS, crowd, times)
        together = await at_once([await active(runtime, STREAMS) for _ in range(crowd)], log)
    return {
        "cancel to closed connection": closed,
        "cancel to RunEnded": over,
        f"cancel to RunEnded, beyond the {CLEAN_UP * 1e3:.0f} ms of the tools' own": [one - CLEAN_UP for one in tidied],
        "all at once: cancel to closed connection": together,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100, help="how many are active")
    parser.add_argument("--times", type=int, default=300, help="how many are cancelled one by one")
    arguments = parser.parse_args()
    with provider() as (base_url, log):
        figures = asyncio.run(measured(base_url, log, arguments.runs, arguments.times))
    print(f"{arguments.runs} runs active; no task, permit, connection or descriptor is left")
    for what, seconds in figures.items():
        p99 = statistics.quantiles(seconds, n=100)[98] * 1e3
        middle, high = statistics.median(seconds) * 1e3, max(seconds) * 1e3
        print(f"{what}, {len(seconds)} times: median {middle:.2f}, p99 {p99:.2f}, max {high:.2f} ms")


if __name__ == "__main__":
    main()
