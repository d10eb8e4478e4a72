"""What the gate does when the provider fails, refuses or is given up on."""

from __future__ import annotations

import asyncio
from random import Random

from agentrt import Limits
from agentrt.errors import ProviderError, ProviderUnavailable, ProviderUnreachable
from agentrt.gate.grant import Grant, Knock
from agentrt.model.openai import OpenAIModel
from agentrt.testing import InMemoryTransport, Limited, Window, faults, run_virtual
from agentrt.testing.limits import Family, Pause
from bench.gate_alone import Figure, a_gate, now, succeeds
from bench.gate_contenders import Gated
from bench.gate_world import calls, drive, provider

WELL, DOWN = 30.0, 60.0
"""Seconds for which the provider is well, and then down; then it is well again for as long as both."""


# ---- down ----------------------------------------------------------------------------------------------


def outage(name: str, error: ProviderError, takes: float, rate: float) -> list[Figure]:
    """A provider that is down for a minute and fails so late, with so many calls a second wanted all the time."""
    sent, wanted, back = run_virtual(_outage(error, takes, rate))
    each = f"down for {DOWN:g} s ({name}, {rate:g} calls/s wanted)"
    return [
        Figure(f"{each}: requests sent per call wanted", f"{sent / wanted:.2f}", "<= 1.1", sent <= 1.1 * wanted),
        Figure(f"{each}: seconds until work flows again", f"{back:.1f}", "<= 10", back <= 10),
    ]


async def _outage(error: ProviderError, takes: float, rate: float) -> tuple[int, int, float]:
    """Requests sent and calls wanted while it is down, and seconds until the first call succeeds after that."""
    gate = a_gate(Limits(requests=50, per=1.0, burst=0.2))
    sent: list[float] = []
    wanted: list[float] = []
    answered: list[float] = []

    async def work(grant: Grant) -> None:
        sent.append(now())
        if WELL <= now() < WELL + DOWN:
            await asyncio.sleep(takes)
            raise type(error)(str(error), status=error.status, sent=error.sent)
        await asyncio.sleep(0.2)
        answered.append(now())
        grant.report(status=200, input_tokens=1, output_tokens=1)

    async with asyncio.TaskGroup() as group:
        while now() < 2 * (WELL + DOWN):
            wanted.append(now())
            group.create_task(succeeds(gate, work, Knock(deadline=now() + 2 * DOWN)))
            await asyncio.sleep(1 / rate)
    while_down = [sum(WELL <= at < WELL + DOWN for at in times) for times in (sent, wanted)]
    back = next((at for at in answered if at > WELL + DOWN + 0.2), float("inf"))
    return while_down[0], while_down[1], back - WELL - DOWN


def outages() -> list[Figure]:
    """In three ways."""
    unavailable, unreachable = ProviderUnavailable("503", status=503), ProviderUnreachable("refused", sent=False)
    return [
        *outage("503 at once", unavailable, 0.02, 10),
        *outage("refused connections", unreachable, 0.001, 2),
        *outage("silent for 5 s", ProviderUnreachable("no byte"), 5.0, 10),
    ]


# ---- refusals ------------------------------------------------------------------------------------------


async def _sent_without_quota() -> int:
    """Requests that a provider without quota sees of 30 calls within half a minute."""
    broke = faults.Faults(provider("requests")).afterwards(faults.insufficient_quota())
    model = OpenAIModel("bench", base_url="http://bench.invalid/v1", api_key="none", transport=InMemoryTransport(broke))
    await drive(Gated(model, a_gate(Limits())), calls(30, within=30))
    await model.aclose()
    return len(broke.requests)


async def _too_fast(family: Family, pause: Pause) -> tuple[int, int, int]:
    """Requests sent before a Retry-After was over, 429s, and failures of 200 calls at once."""
    limited = Limited(provider("requests"), Window(20 * 60, burst=5), family=family, pause=pause)
    transport = InMemoryTransport(limited)
    model = OpenAIModel("bench", base_url="http://bench.invalid/v1", api_key="none", transport=transport)
    outcome = await drive(Gated(model, a_gate(Limits(requests=40, per=1.0, burst=0.25))), calls(200))
    await model.aclose()
    return len(limited.quota.early()), len(limited.quota.refused), outcome.failed


def refusals() -> list[Figure]:
    """Money and haste."""
    sent = run_virtual(_sent_without_quota())
    figures = [Figure("insufficient_quota: requests sent for 30 calls in 30 s", f"{sent}", "1", sent == 1)]
    provider_says: list[tuple[str, Family, Pause]] = [
        ("x-ratelimit-* and retry-after-ms", "openai", "ms"),
        ("retry-after-ms alone", "none", "ms"),
        ("retry-after in seconds alone", "none", "seconds"),
        ("nothing", "none", "none"),
    ]
    for says, family, pause in provider_says:
        early, refused, failed = run_virtual(_too_fast(family, pause))
        name = f"twice the provider's limit configured, it says {says}: early requests, failures of 200 calls (429s)"
        figures.append(Figure(name, f"{early}, {failed} ({refused})", "0, 0", early == failed == 0))
    return figures


# ---- cancels -------------------------------------------------------------------------------------------


async def _cancels(cancels: int) -> tuple[int, bool]:
    """Calls of 100 that succeed after so many were cancelled in line or at work; and whether all is back."""
    limits = Limits(requests=200, tokens=20_000, per=1.0, concurrency=5)
    gate, random = a_gate(limits), Random(3)

    async def work(grant: Grant) -> None:
        await asyncio.sleep(random.choice((0.0, 0.0, 0.01)))
        grant.report(input_tokens=50, output_tokens=50)

    async def one(n: int) -> bool:
        return await succeeds(gate, work, Knock(output=100, tenant=f"{n % 7}", run=f"{n % 3}"))

    for _ in range(cancels // 100):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(n)) for n in range(100)]
            random.shuffle(tasks)
            for task in tasks:
                await asyncio.sleep(random.choice((0.0, 0.0, 0.0, 0.002)))
                task.cancel()
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(one(n)) for n in range(100)]
    await asyncio.sleep(60)
    stands, new = gate.statistics(), a_gate(limits).statistics()
    back = (stands.in_flight, stands.waiting, stands.requests, stands.tokens) == (0, 0, new.requests, new.tokens)
    return sum(task.result() for task in asked), back


def cancels(count: int) -> Figure:
    """Nobody leaves with a permit."""
    succeeded, back = run_virtual(_cancels(count))
    name = f"after {count:,} contended cancels: calls of 100 that succeed"
    return Figure(name, f"{succeeded}, {'all' if back else 'NOT all'} is back", "100", succeeded == 100 and back)
