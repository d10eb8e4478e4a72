"""Under more demand than is allowed: are the limits kept, are they used, and does everybody get a fair part?"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random

from agentrt import Limits
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock
from agentrt.testing import run_virtual
from bench.gate_alone import Figure, Work, a_gate, above, now, succeeds
from bench.gate_world import By

RATE, MEAN = 10.0, 200
"""Requests a second, or as many times so many tokens; the burst is one second's."""
LARGEST = 6_000
"""Tokens of one call in two hundred: three times the burst."""
_TAKES = 0.2
"""Seconds that a call takes."""
PATIENCE = 30.0
"""Seconds that a call waits at most."""


def limits(by: By, *, concurrency: int = 100) -> Limits:
    """What is allowed."""
    each = {"requests": RATE * 60} if by == "requests" else {"tokens": RATE * 60 * MEAN}
    return Limits(per=60.0, burst=1.0, concurrency=concurrency, **each)


# ---- an hour at ten times the rate -----------------------------------------------------------------------


def windows(by: By, seconds: float) -> list[Figure]:
    """No second and no minute above limit and burst, and as much used as is allowed."""
    left = run_virtual(_flood(a_gate(limits(by)), by, seconds))
    size = 1 if by == "requests" else MEAN
    burst = max(RATE * size, LARGEST if by == "tokens" else 0)
    figures: list[Figure] = []
    for length in (1.0, 60.0):
        most = RATE * size * length + burst
        over, fullest = above(left, length, most)
        got = f"{over} (fullest {fullest:.0f} of {most:.0f})"
        figures.append(Figure(f"{by}: windows of {length:g} s above limit + burst", got, "0", over == 0))
    share = sum(amount for _, amount in left) / (RATE * size * (seconds + 1))
    figures.append(Figure(f"{by}: share of the allowance used", f"{share:.1%}", ">= 95 %", share >= 0.95))
    return figures


async def _flood(gate: Gate, by: By, seconds: float) -> list[tuple[float, float]]:
    """What the gate let out, with the moment, while ten times the rate knocks; a call waits so long at most."""
    left: list[tuple[float, float]] = []
    random = Random(2)

    async def one(tokens: int, latency: float) -> None:
        async def work(grant: Grant) -> None:
            left.append((now(), tokens if by == "tokens" else 1))
            await asyncio.sleep(latency)
            grant.report(input_tokens=0, output_tokens=tokens)

        await succeeds(gate, work, Knock(output=tokens, deadline=now() + PATIENCE))

    async with asyncio.TaskGroup() as group:
        while now() < seconds:
            tokens = LARGEST if random.random() < 0.005 else random.randint(MEAN // 2, MEAN * 3 // 2)
            group.create_task(one(tokens, random.uniform(0.05, 1.0)))
            await asyncio.sleep(random.expovariate(10 * RATE))
    return [(at, amount) for at, amount in left if at <= seconds]


# ---- tenants -------------------------------------------------------------------------------------------


def tenants(by: By, seconds: float) -> Figure:
    """Ten tenants, one of which sends a hundred times as much."""
    served = run_virtual(_tenants(a_gate(limits(by, concurrency=20)), by, seconds))
    equal = served.total() / 10
    least = min(served[f"tenant-{n}"] for n in range(1, 10)) / equal
    name = f"{by}: ten tenants, one sends 100x: the others' least part of an equal share"
    return Figure(name, f"{least:.1%}", ">= 90 %", least >= 0.9)


async def _tenants(gate: Gate, by: By, seconds: float) -> Counter[str]:
    served = Counter[str]()

    async def caller(tenant: str, n: int) -> None:
        random = Random(f"{tenant}/{n}")
        while True:
            tokens = random.randint(MEAN // 2, MEAN * 3 // 2)

            async def work(grant: Grant, tokens: int = tokens) -> None:
                served[tenant] += tokens if by == "tokens" else 1
                await asyncio.sleep(_TAKES)
                grant.report(input_tokens=0, output_tokens=tokens)

            await gate.call(work, Knock(output=tokens, tenant=tenant, run=f"{n}"))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(caller("tenant-0", n)) for n in range(1000)]
        tasks += [group.create_task(caller(f"tenant-{1 + n % 9}", n)) for n in range(90)]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
    return served


# ---- one large request among small ones ----------------------------------------------------------------


def largest() -> list[Figure]:
    """A request of ten times the burst, among callers of other tenants and among callers of its own run."""
    size, rate = round(10 * RATE * MEAN), RATE * MEAN
    among = run_virtual(_largest(size, [f"tenant-{n % 9}" for n in range(45)]))
    behind = run_virtual(_largest(size, ["large"] * 45))
    alone = run_virtual(_largest(size, []))
    fair = [size / (rate / 10), (45 * MEAN + size) / rate, size / rate]
    names = ["nine other tenants", "45 calls of its own run before it", "nobody else"]
    return [
        Figure(
            f"a request of {size} tokens, {name}: its wait over its fair {time:.1f} s",
            f"{wait / time:.2f}",
            "<= 2",
            wait <= 2 * time,
        )
        for name, wait, time in zip(names, (among, behind, alone), fair, strict=True)
    ]


async def _largest(size: int, others: Sequence[str]) -> float:
    """Seconds that it waits, asked for in the tenth second."""
    gate = a_gate(limits("tokens"))
    done = asyncio.Event()

    def work_of(tokens: int) -> Work:
        async def work(grant: Grant) -> None:
            await asyncio.sleep(_TAKES)
            grant.report(input_tokens=0, output_tokens=tokens)

        return work

    async def caller(tenant: str) -> None:
        while not done.is_set():
            await succeeds(gate, work_of(MEAN), Knock(output=MEAN, tenant=tenant, run=tenant))

    async with asyncio.TaskGroup() as group:
        for tenant in others:
            group.create_task(caller(tenant))
        await asyncio.sleep(10)
        began = now()
        await gate.call(work_of(size), Knock(output=size, tenant="large", run="large"))
        done.set()
        return max(0.0, now() - began - _TAKES)
