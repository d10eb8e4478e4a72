"""Contended gates whose callers are cancelled at any moment: afterwards they must be as good as new.

All under the virtual clock. Callers come in crowds, of all classes and tenants; some meet their deadline, some fail in
the ways providers do, and most are cancelled: before they came, in line, in the step in which they were granted, in
flight, while they rest before a retry. There are two gates. At one the callers wait for its rate too, and after an hour
it must be full again. The other has a rate so slow that nothing comes back by itself: all that is missing from it in
the end must be what attempts have used.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from random import Random

from agentrt.errors import GateTimeout, ProviderError, ProviderThrottled, ProviderUnavailable
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock
from agentrt.gate.limits import Limits
from agentrt.testing.virtual import run_virtual

CANCELS = 20_000
AFTERWARDS = 100
CROWD = 200
QUICK = Limits(requests=600, tokens=60_000, per=60.0, burst=1.0, concurrency=8)
STILL = Limits(requests=1e7, tokens=1e10, per=1e16, burst=1e16, concurrency=8)
HOUR = 3_600.0


def gate(seed: int, cancels: int = CANCELS) -> Counter[str]:
    """So many cancels at two gates together, then calls that must all succeed.

    Raises:
        AssertionError: a permit, a request, a token or a place in line did not come back, or a later call failed.
    """
    return run_virtual(_soak(Random(seed), cancels))


async def _soak(chance: Random, cancels: int) -> Counter[str]:
    worlds = [_World(limits, chance) for limits in (QUICK, STILL)]
    done: Counter[str] = Counter()
    while done["cancels"] < cancels:
        await chance.choice(worlds).crowd(done)
    for world in worlds:
        await asyncio.sleep(HOUR)  # whatever the gate holds against its provider is over
        await world.afterwards(done)
    return done


class _World:
    """One gate, and every grant that it gave."""

    def __init__(self, limits: Limits, chance: Random) -> None:
        self.gate = Gate("soak", limits, random=Random(chance.random()))
        self.chance = chance
        self.full = self.level()
        self.grants: list[Grant] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.illness = 0.0

    async def crowd(self, done: Counter[str]) -> None:
        """So many callers at once, most of whom are cancelled."""
        chance = self.chance
        self.illness = chance.choice((0.0, 0.05, 0.95))
        done["calls"] += CROWD
        async with asyncio.TaskGroup() as group:
            self.tasks = [group.create_task(self.call(done)) for _ in range(CROWD)]
            for _ in range(chance.randint(20, 60)):
                for _ in range(chance.choice((0, 0, 1, 2, 3))):
                    await asyncio.sleep(0)
                if chance.random() < 0.3:
                    await asyncio.sleep(chance.uniform(0.0, 0.3))
                self.cancel_some(done)
        self.nobody_is_left()

    def cancel_some(self, done: Counter[str]) -> None:
        for task in self.chance.sample(self.tasks, self.chance.choice((1, 1, 2, 10))):
            done["cancels"] += task.cancel()

    async def call(self, done: Counter[str]) -> None:
        chance, loop = self.chance, asyncio.get_running_loop()
        knock = Knock(
            tokens=chance.choice((0, 10, 500)),
            output=chance.choice((None, 0, 100)),
            deadline=chance.choice((None, None, loop.time() + chance.uniform(0.0, 60.0))),
            priority=chance.choice(("interactive", "interactive", "background")),
            tenant=chance.choice("abc"),
            run=chance.choice("12"),
        )

        async def work(grant: Grant) -> None:
            self.grants.append(grant)
            await asyncio.sleep(chance.choice((0.0, 0.05, 1.0)))
            if chance.random() < 0.3:  # who is granted by this one's leaving may be cancelled in that very step
                loop.call_soon(self.cancel_some, done)
            if chance.random() < 0.8:
                grant.report(status=200, input_tokens=chance.randint(0, 600), output_tokens=chance.randint(0, 200))
            if chance.random() < 0.05 and self.gate.limits is QUICK:  # after this, the rate begins anew from nothing
                raise ProviderThrottled("slow down", status=429, retry_after=chance.choice((None, 0.0, 3.0)))
            if chance.random() < self.illness:
                raise ProviderUnavailable("ill", status=503, sent=chance.random() < 0.5)

        with suppress(GateTimeout, ProviderError):
            await self.gate.call(work, knock)

    async def afterwards(self, done: Counter[str]) -> None:
        """The gate is whole: so many calls succeed, and all that is missing is what was used."""
        self.nobody_is_left()

        async def work(grant: Grant) -> None:
            self.grants.append(grant)
            await asyncio.sleep(0.01)
            grant.report(status=200, input_tokens=10, output_tokens=10)
            done["calls that succeeded afterwards"] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(AFTERWARDS):
                group.create_task(self.gate.call(work))
        await asyncio.sleep(HOUR)
        self.nobody_is_left()
        requests, tokens = self.full
        if self.gate.limits is STILL:
            requests -= sum(grant.sent for grant in self.grants)
            tokens -= sum(grant.tokens - grant.unused for grant in self.grants)
        assert max(abs(requests - self.level()[0]), abs(tokens - self.level()[1])) < 0.1, (
            requests,
            tokens,
            self.level(),
        )

    def nobody_is_left(self) -> None:
        now = self.gate.statistics()
        assert (now.in_flight, now.waiting) == (0, 0), now
        assert all(group.in_flight == group.waiting == 0 for group in now.groups), now

    def level(self) -> tuple[float, float]:
        now = self.gate.statistics()
        assert now.requests is not None
        assert now.tokens is not None
        return now.requests, now.tokens
