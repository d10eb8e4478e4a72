"""Whatever becomes of a call, what the gate lent it comes back, and what it used is settled."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random

import pytest

from agentrt.errors import (
    GateTimeout,
    ProviderError,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnavailable,
    ProviderUnreachable,
)
from agentrt.events import GateWaited, Passing
from agentrt.gate.grant import Grant, Knock
from agentrt.testing.virtual import run_virtual
from tests.gate.world import Work, a_gate, everything_is_back, failing_first, now, settled, work_of


def test_20_000_cancels_leave_everything_in_its_place() -> None:
    async def main() -> None:
        gate = a_gate(requests=2000, tokens=100_000, burst=0.05, concurrency=7)
        random, cancelled, states = Random(7), 0, set[str]()
        ill = False

        async def work(grant: Grant) -> str:
            states.add(gate.statistics().breaker)
            await asyncio.sleep(random.choice([0, 0, 0.001, 0.01]))
            match 0 if ill else random.randrange(60) // 10:
                case 0:
                    raise ProviderUnavailable("ill")
                case 1:
                    raise ProviderUnreachable("no route", sent=False)
                case 2:
                    grant.report(input_tokens=random.randrange(80), output_tokens=random.randrange(80))
                case 3 if random.random() < 0.01:
                    raise ProviderThrottled("429", retry_after=random.choice([None, 0.05]))
                case _:
                    pass
            return "done"

        async def caller() -> None:
            with suppress(ProviderError, GateTimeout):
                deadline = now() + random.choice([0.05, 9])
                await gate.call(work, Knock(tokens=random.randrange(100), deadline=deadline))

        async with asyncio.TaskGroup() as group:
            while cancelled < 20_000:
                ill = random.random() < 0.1
                tasks = [group.create_task(caller()) for _ in range(60)]
                for _ in range(random.randrange(4)):
                    await asyncio.sleep(0)
                await asyncio.sleep(random.choice([0, 0, 0.001, 0.02, 1.0]))
                random.shuffle(tasks)
                cancelled += sum(task.cancel() for task in tasks)
        assert states == {"closed", "half_open"}
        await everything_is_back(gate, after=60)
        assert await settled(gate.call(work_of()) for _ in range(100)) == ["done"] * 100

    run_virtual(main())


def test_who_is_granted_and_cancelled_in_the_same_step_gives_everything_back() -> None:
    async def main() -> None:
        gate = a_gate(requests=10, tokens=1000, burst=1, concurrency=1)
        statistics = gate.statistics()
        async with asyncio.TaskGroup() as group:
            # The first call's end is told in the very step in which its permit was handed to the second.
            def cancel_the_second(_event: Passing) -> None:
                assert gate.statistics().in_flight == 1
                assert second.cancel()

            group.create_task(gate.call(work_of(1), Knock(watch=cancel_the_second)))
            await asyncio.sleep(0)
            second = group.create_task(gate.call(work_of(), Knock(tokens=500)))
            third = group.create_task(gate.call(work_of()))
        assert second.cancelled()
        assert third.result() == "done"
        assert gate.statistics().granted == statistics.granted + 2
        assert gate.statistics().tokens == statistics.tokens
        await everything_is_back(gate, after=2)

    run_virtual(main())


def test_a_large_head_that_gives_up_lets_those_behind_it_go_as_soon_as_they_can() -> None:
    async def main() -> None:
        gate, started = a_gate(tokens=100, burst=1), list[float]()
        async with asyncio.TaskGroup() as group:
            await gate.call(work_of(), Knock(tokens=81))
            large = group.create_task(gate.call(work_of(), Knock(tokens=90)))
            await asyncio.sleep(0)
            group.create_task(gate.call(work_of(0, started), Knock(tokens=5)))
            group.create_task(gate.call(work_of(0, started), Knock(tokens=60)))  # too much to overtake with
            await asyncio.sleep(0.7)
            assert started == [0.0]
            large.cancel()
        assert started == pytest.approx([0, 0.7], abs=1e-4)

    run_virtual(main())


def test_a_cancelled_attempt_keeps_its_reservation_and_returns_its_permit() -> None:
    async def main() -> None:
        gate = a_gate(tokens=1000, per=1000, burst=1000, concurrency=1)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(gate.call(work_of(10), Knock(tokens=100)))
            await asyncio.sleep(1)
            task.cancel()
        assert gate.statistics().in_flight == 0
        assert gate.statistics().tokens == pytest.approx(899, abs=1)

    run_virtual(main())


def test_a_call_cancelled_while_it_rests_before_a_retry_is_just_gone() -> None:
    async def main() -> None:
        gate = a_gate(requests=10, burst=1)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(gate.call(failing_first(ProviderUnavailable("ill"))))
            await asyncio.sleep(0)
            assert gate.statistics().in_flight == 0
            task.cancel()
        assert task.cancelled()
        await everything_is_back(gate, after=2)

    run_virtual(main())


def test_a_watcher_that_fails_takes_nothing_with_it() -> None:
    async def main() -> None:
        gate = a_gate(requests=10, tokens=100, burst=1, concurrency=1)

        def watch(event: Passing) -> None:
            if isinstance(event, GateWaited) and event.waited > 0:
                raise ValueError("the viewer's bug")

        async with asyncio.TaskGroup() as group:
            group.create_task(gate.call(work_of(1)))
            await asyncio.sleep(0)
            watched = group.create_task(settled([gate.call(work_of(), Knock(tokens=50, watch=watch))]))
            other = group.create_task(gate.call(work_of()))
        assert isinstance(watched.result()[0], ValueError)
        assert other.result() == "done"
        await everything_is_back(gate, after=5)

    run_virtual(main())


def level_after(work: Work, *, tokens: int) -> tuple[float, float]:
    """Requests and tokens that are left of 99 each after one call, whatever comes of it."""

    async def main() -> tuple[float, float]:
        gate = a_gate(requests=100, tokens=100, per=1e9, burst=1e9)
        await settled([gate.call(work, Knock(tokens=tokens))])
        statistics = gate.statistics()
        assert statistics.requests is not None
        assert statistics.tokens is not None
        return round(statistics.requests), round(statistics.tokens)

    return run_virtual(main())


def test_what_was_not_used_comes_back_and_what_was_used_on_top_is_charged() -> None:
    def using(read: int | None, written: int | None) -> Work:
        async def work(grant: Grant) -> str:
            grant.report(input_tokens=read, output_tokens=written)
            return "done"

        return work

    assert level_after(using(10, 20), tokens=60) == (98, 69)
    assert level_after(using(50, 40), tokens=60) == (98, 9)
    assert level_after(using(10, None), tokens=60) == (98, 39)
    assert level_after(using(None, None), tokens=60) == (98, 39)
    assert level_after(using(500, 100), tokens=0) == (98, -501)


def test_a_failure_after_sending_keeps_the_reservation_and_one_before_gives_everything_back() -> None:
    assert level_after(failing_first(ProviderRefused("no")), tokens=60) == (98, 39)
    assert level_after(failing_first(ValueError("bug")), tokens=60) == (98, 39)
    unsent = [ProviderUnreachable("no route", sent=False) for _ in range(3)]
    assert level_after(failing_first(*unsent), tokens=60) == (99, 99)
