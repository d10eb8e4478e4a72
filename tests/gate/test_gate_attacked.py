"""Whoever hands something to a gate may hand it nonsense: a backend of leases, a tool's error, a header."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf, nan
from random import Random
from typing import Any

import pytest

from agentrt.errors import ProviderThrottled
from agentrt.gate.backoff import decide
from agentrt.gate.gate import Gate
from agentrt.gate.group import Group
from agentrt.gate.headers import read_limits
from agentrt.gate.leases import LocalLeases, Share
from agentrt.gate.limits import Limits
from agentrt.gate.stock import Ask
from agentrt.testing import run_virtual


class Ill(LocalLeases):
    """Answers as it should until half a second has passed, and then in its own way."""

    def __init__(self, way: Callable[[], Awaitable[Any]]) -> None:
        super().__init__()
        self.asked = 0
        self._way = way

    async def lease(self, name: tuple[str, str], ask: Ask) -> float:
        self.asked += 1
        if asyncio.get_running_loop().time() < 0.5:
            return await super().lease(name, ask)
        answer: float = await self._way()
        return answer


async def fails() -> None:
    raise ValueError("could not convert string to float: b'hello'")


async def hangs() -> None:
    await asyncio.sleep(1e9)


def says(answer: Any) -> Callable[[], Awaitable[Any]]:
    async def say() -> Any:
        return answer

    return say


WAYS = {"fails": fails, "hangs": hangs} | {str(answer): says(answer) for answer in (inf, nan, -5.0, "0.0", None)}


@pytest.mark.parametrize("way", WAYS)
def test_a_backend_that_answers_nonsense_is_down_and_brings_nothing_down(way: str) -> None:
    async def main() -> None:
        leases, moves = Ill(WAYS[way]), asyncio.Event()
        share = Share(leases, ("openai", "*"), 1.0, moves.set)
        share.stock.limit(10, None)
        tending = asyncio.create_task(share.tend())
        await asyncio.sleep(1)
        moves.clear()
        assert share.stock.wait(0, 1.0) > 0, "what was handed out has expired"
        async with asyncio.timeout(6):
            await moves.wait()
        assert share.stock.down
        assert share.stock.wait(0, asyncio.get_running_loop().time()) == 0
        asked = leases.asked
        await asyncio.sleep(60)
        assert asked + 9 <= leases.asked <= asked + 61, "it is asked once a second, and given 5 s to answer"
        assert not tending.done()
        tending.cancel()

    run_virtual(main())


@pytest.mark.parametrize("asked", [1e9, 1e308])
def test_a_pause_that_nobody_can_mean_closes_a_key_for_a_day_and_not_for_good(asked: float) -> None:
    error = ProviderThrottled("slow down", status=429, retry_after=asked)
    assert decide(error, 0, 600.0, Random(1)).late

    async def main() -> None:
        gate = Gate("openai", Limits(), random=Random(1))
        time = asyncio.get_running_loop().time

        async def throttled(_grant: object) -> None:
            if time() == 0:
                raise error

        await gate.call(throttled)
        assert 86_400 <= time() <= 86_406

    run_virtual(main())


ENDLESS = read_limits(
    {"ratelimit": '"a";r=0;t=900000000000000', "ratelimit-policy": '"a";q=1;w=900000000000000'}, wall=0.0
)
"""One request in 28 million years, and it is used up."""


def test_nobody_is_held_for_longer_than_a_day_by_what_is_told() -> None:
    group = Group(Limits(requests=600, per=60))
    group.learn(ENDLESS, 0.0, 0.0)
    assert group.waits(0, 0.0)[0] == 86_400
    assert group.waits(0, 86_400.0)[0] == 0


def test_where_nothing_is_configured_what_was_told_is_forgotten_with_its_hold() -> None:
    group = Group(Limits())
    group.learn(ENDLESS, 0.0, 0.0)
    assert group.waits(0, 0.0)[0] == 300, "as a wait of that long is admitted, it must be over then"
    assert group.waits(0, 300.0)[0] == 0
