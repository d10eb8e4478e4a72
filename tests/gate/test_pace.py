from __future__ import annotations

import asyncio
from itertools import count
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrt.gate.pace import Pace, as_rate
from agentrt.testing.virtual import run_virtual


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        (0, "above 0"),
        (-1, "above 0"),
        (float("nan"), "above 0"),
        (float("inf"), "above 0"),
        (True, "above 0"),
        ("5", "above 0"),
        ((5,), "above 0"),
        ((5, 0), "above 0"),
        ((5, 1, 1), "above 0"),
        (0.5, r"write \(1, 2\)"),
        ((0.1, 6), r"write \(1, 60\)"),
    ],
)
def test_what_is_no_rate_says_what_is_needed(rate: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        as_rate(rate)


def test_a_number_is_calls_a_second() -> None:
    assert as_rate(5) == (5.0, 1.0)
    assert as_rate((30, 60)) == (30.0, 60.0)


async def beginnings(pace: Pace, arrivals: list[float]) -> list[tuple[int, float]]:
    """Who began and when, in the order of beginning; they are numbered in the order of their coming."""
    number = count()
    began: list[tuple[int, float]] = []

    async def one(at: float) -> None:
        await asyncio.sleep(at - now())
        n = next(number)
        await pace.wait()
        began.append((n, now()))

    async with asyncio.TaskGroup() as group:
        for at in arrivals:
            group.create_task(one(at))
    return began


def test_after_a_pause_a_periods_calls_begin_at_once_and_then_evenly() -> None:
    async def main() -> list[float]:
        return [at for _, at in await beginnings(Pace((3, 6)), [0.0] * 6)]

    assert run_virtual(main()) == pytest.approx([0, 0, 0, 2, 4, 6], abs=1e-4)


def test_one_call_in_a_period_has_no_burst() -> None:
    async def main() -> list[float]:
        return [at for _, at in await beginnings(Pace((1, 2)), [0.0, 0.0, 100.0, 100.0])]

    assert run_virtual(main()) == pytest.approx([0, 2, 100, 102], abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(
    calls=st.integers(1, 8),
    seconds=st.sampled_from([0.07, 1 / 3, 1.0, 60.0]),
    waits=st.lists(st.floats(0, 0.5), min_size=1, max_size=40),
    start=st.sampled_from([0.0, 12_345.678, 1e6]),
)
def test_who_comes_first_begins_first_and_no_period_has_more_than_twice_its_calls(
    calls: int, seconds: float, waits: list[float], start: float
) -> None:
    async def main() -> list[tuple[int, float]]:
        arrivals = [now() + wait * seconds for wait in waits]
        return await beginnings(Pace((calls, seconds)), arrivals)

    began = run_virtual(main(), start=start)
    assert [n for n, _ in began] == list(range(len(waits)))
    times = [at for _, at in began]
    for first in times:
        assert sum(first <= at < first + seconds * 0.999 for at in times) <= 2 * calls


def test_who_is_cancelled_while_waiting_has_taken_nothing() -> None:
    async def main() -> None:
        pace, random = Pace((2, 1)), Random(1)
        for _ in range(200):
            tasks = [asyncio.create_task(pace.wait()) for _ in range(5)]
            await asyncio.sleep(random.choice([0.0, 0.1, 0.5, 0.500001, 1.0]))
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await asyncio.sleep(1.001)
        assert pace.free()
        began = now()
        await pace.wait()
        await pace.wait()
        assert now() == began

    run_virtual(main())


def test_it_is_free_when_nobody_waits_and_a_call_may_begin() -> None:
    async def main() -> None:
        pace = Pace((1, 2))
        assert pace.free()
        await pace.wait()
        assert not pace.free()
        async with asyncio.TaskGroup() as group:
            group.create_task(pace.wait())
            await asyncio.sleep(1.5)
            assert not pace.free()
        await asyncio.sleep(2.001)
        assert pace.free()

    run_virtual(main())
