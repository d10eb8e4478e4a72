"""Several gates that share a limit keep to it together, whatever becomes of who hands it out."""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Coroutine
from typing import Any, NoReturn

import pytest

from agentrt.gate.bucket import Bucket
from agentrt.gate.leases import Leases, LeasesDown, LocalLeases, Share
from agentrt.gate.stock import Ask, Pool
from agentrt.testing.virtual import run_virtual

NAME = ("openai", "*")


def now() -> float:
    return asyncio.get_running_loop().time()


class Member:
    """One process: a bucket of its own, its share, and calls that are always waiting."""

    def __init__(self, leases: Leases, *, requests: float = 50, tokens: float | None = None, need: float = 0) -> None:
        self.moves = asyncio.Event()
        self.share = Share(leases, NAME, 1.0, self.moves.set)
        self.share.stock.limit(requests, tokens)
        self.times: list[float] = []
        self._bucket = Bucket.within(requests, 1.0, 1.0)
        self._need = need

    async def flood(self, settled: float = 0.0) -> NoReturn:
        """Call as fast as it may; each call gives back a part of its tokens at once."""
        stock = self.share.stock
        while True:
            self.moves.clear()
            wait = max(self._bucket.wait(1, now()), stock.wait(self._need, now()))
            if wait > 0:
                try:
                    async with asyncio.timeout(wait + 1e-6):
                        await self.moves.wait()
                except TimeoutError:
                    pass
                continue
            self._bucket.take(1, now())
            stock.take(self._need, now())
            stock.give_back(0, settled, now())
            self.times.append(now())


class Failing(LocalLeases):
    """Is down from one moment to another."""

    def __init__(self, since: float, until: float) -> None:
        super().__init__()
        self.since, self.until = since, until
        self.asked: list[float] = []

    async def lease(self, name: tuple[str, str], ask: Ask) -> float:
        self.asked.append(now())
        if self.since <= now() < self.until:
            raise LeasesDown("gone")
        return await super().lease(name, ask)


class Slow(LocalLeases):
    """As far away as another continent."""

    async def lease(self, name: tuple[str, str], ask: Ask) -> float:
        await asyncio.sleep(0.1)
        wait = await super().lease(name, ask)
        await asyncio.sleep(0.1)
        return wait


async def for_a_while(seconds: float, *tasks: Coroutine[Any, Any, None]) -> None:
    try:
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(task)
    except TimeoutError:
        pass


async def flooded(members: list[Member], seconds: float, settled: float = 0.0) -> list[float]:
    """When calls went, of all members together."""
    tasks = [task for member in members for task in (member.share.tend(), member.flood(settled))]
    await for_a_while(seconds, *tasks)
    return sorted(time for member in members for time in member.times)


def most_in(times: list[float], window: float) -> int:
    return max(bisect_left(times, start + window) - first for first, start in enumerate(times))


@pytest.mark.parametrize("leases", [LocalLeases, Slow])
def test_four_use_what_one_may_have_and_share_it_equally(leases: type[LocalLeases]) -> None:
    async def main() -> None:
        backend = leases()
        members = [Member(backend) for _ in range(4)]
        times = await flooded(members, 60)
        assert len(times) >= 0.95 * 50 * 60
        assert most_in(times, 1.0) <= 50 + 50
        assert most_in(times, 10.0) <= 500 + 50
        assert all(len(member.times) >= 0.9 * len(times) / 4 for member in members)

    run_virtual(main())


def test_one_that_is_alone_has_all_of_it() -> None:
    async def main() -> None:
        backend = LocalLeases()
        busy, idle = Member(backend), Member(backend)
        await for_a_while(20, busy.share.tend(), idle.share.tend(), busy.flood())
        assert len(busy.times) >= 0.95 * 50 * 20

    run_virtual(main())


def test_tokens_that_calls_did_not_need_are_used_by_others() -> None:
    async def main() -> None:
        backend = LocalLeases()
        members = [Member(backend, tokens=10_000, need=1000) for _ in range(4)]
        times = await flooded(members, 60, settled=500)
        assert 0.95 * 20 * 60 <= len(times) <= 20 * 60 + 20

    run_virtual(main())


def test_a_large_call_comes_to_its_turn_between_small_ones() -> None:
    async def main() -> None:
        backend = LocalLeases()
        small = [Member(backend, requests=1000, tokens=1000, need=10) for _ in range(3)]
        large = Member(backend, requests=1000, tokens=1000, need=2000)
        await flooded([*small, large], 60)
        assert len(large.times) >= 8

    run_virtual(main())


def test_while_the_backend_is_down_each_goes_on_by_itself_and_it_is_asked_once_a_second(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        backend = Failing(since=10.0, until=20.0)
        members = [Member(backend) for _ in range(2)]
        times = await flooded(members, 40)
        assert sum(time < 10 for time in times) <= 500 + 50
        assert sum(11 <= time < 19 for time in times) >= 0.95 * 2 * 50 * 8
        assert sum(22 <= time < 40 for time in times) <= 50 * 18 + 50
        assert sum(11 <= time < 19 for time in backend.asked) in range(14, 19)

    with caplog.at_level(logging.INFO, "agentrt"):
        run_virtual(main())
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO", "INFO"]
    assert "gate 'openai': gone; until it answers" in caplog.messages[0]


def test_a_process_that_stops_keeps_nothing_from_the_others() -> None:
    async def main() -> None:
        backend = LocalLeases()
        stays, stops = Member(backend), Member(backend)
        async with asyncio.TaskGroup() as group:
            group.create_task(for_a_while(5, stops.share.tend(), stops.flood()))
            group.create_task(for_a_while(20, stays.share.tend(), stays.flood()))
        assert sum(6 <= time < 20 for time in stays.times) >= 0.95 * 50 * 14

    run_virtual(main())


def test_until_it_is_tended_nobody_goes_and_afterwards_nobody_is_held_up() -> None:
    async def main() -> None:
        member = Member(LocalLeases())
        assert member.share.stock.wait(0, now()) > 0
        await for_a_while(1, member.share.tend())
        assert member.share.stock.wait(0, now()) == 0

    run_virtual(main())


def test_an_idle_share_asks_for_nothing() -> None:
    async def main() -> None:
        backend = Failing(since=0.0, until=0.0)
        await for_a_while(1000, Member(backend).share.tend())
        assert backend.asked == []

    run_virtual(main())


def test_what_is_asked_for_is_handed_out_in_the_order_of_asking() -> None:
    async def main() -> None:
        leases, pool = LocalLeases(), Pool(rate=10, capacity=10)
        waits = [await leases.lease(NAME, Ask(pool, Pool(), requests=10)) for _ in range(3)]
        assert waits == [0, 1, 2]
        assert await leases.lease(("openai", "embed-*"), Ask(pool, Pool(), requests=10)) == 0
        assert await leases.lease(NAME, Ask(pool, Pool(), back_requests=5)) == 0
        assert await leases.lease(NAME, Ask(pool, Pool(), requests=10)) == 2.5

    run_virtual(main())


def test_requests_and_tokens_are_handed_out_together() -> None:
    async def main() -> None:
        leases, requests, tokens = LocalLeases(), Pool(rate=10, capacity=10), Pool(rate=100, capacity=100)
        assert await leases.lease(NAME, Ask(requests, tokens, requests=1, tokens=100)) == 0
        assert await leases.lease(NAME, Ask(requests, tokens, requests=1, tokens=50)) == 0.5
        assert await leases.lease(NAME, Ask(requests, Pool(), requests=8)) == 0

    run_virtual(main())
