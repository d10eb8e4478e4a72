"""How soon a provider sees that a run was cancelled: `python -m bench.cancelling`.

The provider, a process of its own, notes when a client closes a connection in mid-reply; both processes
read the same monotonic clock. Runs are cancelled one after the other, each while its text streams.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from multiprocessing.connection import Connection

from agentrt import Agent, Provider, Runtime, stream
from agentrt.events import TextDelta
from agentrt.offloop import aside
from agentrt.testing import assert_no_leaks
from bench.provider import provider


async def cancelled_runs(base_url: str, log: Connection, runs: int) -> list[float]:
    """Seconds from each cancel to the close of its connection as the provider saw it."""
    clerk = Agent(name="bench", model="bench:trickle-1000")
    asked: list[float] = []
    seen: list[float] = []
    provided = [Provider(name="bench", base_url=base_url)]
    async with assert_no_leaks(), Runtime(providers=provided) as runtime, assert_no_leaks(runtime):
        for _ in range(runs):
            async with stream(clerk, "Go on.") as running:
                texts = 0
                async for event in running:
                    texts += isinstance(event, TextDelta)
                    if texts == 3:
                        break
                asked.append(time.monotonic())
                running.cancel()
            seen.append(await aside(log.recv))
    return [b - a for a, b in zip(asked, seen, strict=True)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    arguments = parser.parse_args()
    with provider() as (base_url, log):
        delays = asyncio.run(cancelled_runs(base_url, log, arguments.runs))
    p99 = statistics.quantiles(delays, n=100)[98] * 1e3
    middle, high = statistics.median(delays) * 1e3, max(delays) * 1e3
    print("no task, permit, connection or descriptor is left")
    print(f"cancel to closed connection, {len(delays)} runs: median {middle:.2f}, p99 {p99:.2f}, max {high:.2f} ms")


if __name__ == "__main__":
    main()
