"""Many runs at once, by one side in a process of its own: for `bench.overhead`, and to be called alone with a base URL.

A run asks six times, 10 ms each, and calls five tools of 40 ms in between: 260 ms are ideal. All runs begin at the
same moment, which is the hardest: what they do then they all want to do at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.overhead_sides import side

MODEL = "turns-5-tokens-20-wait-10"
PAUSE = 0.04
IDEAL = 0.26
Figures = dict[str, float]


def measured(name: str, base_url: str, runs: int) -> Figures:
    """The figures of that many runs at once: see `_crowd`."""
    command = [sys.executable, "-m", "bench.overhead_crowd", name, base_url, str(runs)]
    figures: Figures = json.loads(subprocess.check_output(command, text=True))
    return figures


async def _crowd(name: str, base_url: str, runs: int) -> Figures:
    """Seconds of p50 and p99 of a run, of CPU a run, and of the longest time the loop did not come round, on the wall
    and of its own CPU (the same, where nobody else wants the processor); runs a second; KB of RSS that a run adds.
    """
    async with side(name, base_url, PAUSE) as once:
        for _ in range(5):
            await once(MODEL)
        watch = _Watch()
        watching = asyncio.create_task(watch.look())
        await asyncio.sleep(0.02)
        before, cpu, began = _rss(), time.process_time(), time.perf_counter()
        watch.longest = watch.busiest = 0.0

        async def timed() -> float:
            start = time.perf_counter()
            await once(MODEL)
            return time.perf_counter() - start

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(timed()) for _ in range(runs)]
        wall, spent = time.perf_counter() - began, time.process_time() - cpu
        watching.cancel()
    took = sorted(task.result() for task in tasks)
    return {
        "p50": statistics.median(took),
        "p99": took[min(runs - 1, round(runs * 0.99))],
        "cpu": spent / runs,
        "gap": watch.longest,
        "gap_cpu": watch.busiest,
        "rate": runs / wall,
        "rss": (watch.rss - before) / runs / 1024,
    }


class _Watch:
    """The longest times the loop did not come round, and the most memory seen."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.busiest = 0.0
        self.rss = 0

    async def look(self) -> None:
        last, spent = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now, busy = time.perf_counter(), time.thread_time()
            self.longest, last = max(self.longest, now - last - 0.001), now
            self.busiest, spent = max(self.busiest, busy - spent), busy
            self.rss = max(self.rss, _rss())


def _rss() -> int:
    """Bytes; 0 where nobody says."""
    said = Path("/proc/self/statm")
    return int(said.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if said.exists() else 0


def main() -> None:
    """Measure, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("base_url")
    parser.add_argument("runs", type=int)
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    print(json.dumps(asyncio.run(_crowd(asked.name, asked.base_url, asked.runs))))


if __name__ == "__main__":
    main()
