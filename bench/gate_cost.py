"""What a pass through the gate costs, and what a hopeless one; at the real clock."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from agentrt import Limits
from agentrt.errors import GateTimeout
from agentrt.gate.grant import Grant, Knock
from bench.gate_alone import Figure, a_gate, now

WAITING = 10_000


async def _doomed(times: int) -> list[float]:
    """Seconds until a call that cannot be in time is told so, with ten thousand in line."""
    gate = a_gate(Limits(requests=1, tokens=1000, per=1.0, concurrency=5))

    async def work(_grant: Grant) -> None:
        await asyncio.sleep(60)

    async def wait(n: int) -> None:
        await gate.call(work, Knock(tokens=100, tenant=f"{n % 10}", run=f"{n % 100}"))

    took: list[float] = []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wait(n)) for n in range(WAITING)]
        await asyncio.sleep(0.1)
        for n in range(times):
            began = time.perf_counter()
            try:
                await gate.call(work, Knock(tokens=100, tenant=f"{n % 10}", run=f"{n % 100}", deadline=now() + 1.0))
            except GateTimeout:
                took.append(time.perf_counter() - began)
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
    return took


def doomed(times: int) -> Figure:
    """How soon it is told."""
    took = sorted(asyncio.run(_doomed(times)))
    name = f"a call that cannot be in time, {WAITING:,} in line: ms until it is refused, median (p99, max)"
    if len(took) < times:
        return Figure(name, f"{times - len(took)} of {times} were not refused", "<= 1", met=False)
    middle, p99, most = (took[int(len(took) * part)] * 1e3 for part in (0.5, 0.99, 1 - 1e-9))
    return Figure(name, f"{middle:.2f} ({p99:.2f}, {most:.2f})", "<= 1", middle <= 1)


async def _passes(rounds: int, times: int) -> list[float]:
    """Seconds of CPU that the gate adds to a call that need not wait, one figure a round."""
    gate = a_gate(Limits(requests=1e9, tokens=1e12))
    knock = Knock(tokens=100, output=100, model="bench", tenant="a", run="1")

    async def work(grant: Grant) -> None:
        grant.report(status=200, input_tokens=100, output_tokens=100)

    grant = Grant(attempt=1, tokens=200, queued=0.0, started=0.0)

    async def bare() -> None:
        await work(grant)

    async def passing() -> None:
        await gate.call(work, knock)

    for _ in range(200):
        await passing()
    return [await _cpu(passing, times) - await _cpu(bare, times) for _ in range(rounds)]


async def _cpu(job: Callable[[], Awaitable[None]], times: int) -> float:
    began = time.process_time()
    for _ in range(times):
        await job()
    return (time.process_time() - began) / times


def passes(rounds: int) -> Figure:
    """CPU of an uncontended pass."""
    took = sorted(seconds * 1e6 for seconds in asyncio.run(_passes(rounds, 2000)))
    middle = statistics.median(took)
    got = f"{middle:.1f} (rounds {took[0]:.1f} to {took[-1]:.1f})"
    return Figure("us of CPU that an uncontended pass adds to a call, median", got, "<= 25", middle <= 25)
