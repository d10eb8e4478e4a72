"""Who cannot be served is told so at once, with the reason."""

from __future__ import annotations

import asyncio
from statistics import quantiles
from time import perf_counter

import pytest

from agentrt.errors import GateTimeout, ProviderExhausted, ProviderThrottled
from agentrt.events import CallAttempted, Passing
from agentrt.gate.grant import Grant, Knock
from agentrt.testing.virtual import run_virtual
from tests.gate.world import Work, a_gate, everything_is_back, failing_first, now, settled, work_of

NO_MONEY = ProviderExhausted("insufficient_quota", status=429)


def test_a_key_without_money_is_asked_once_and_nobody_waits_for_it() -> None:
    async def main() -> None:
        gate, started, events = a_gate(requests=0.5, burst=0), list[float](), list[Passing]()

        async def broke(_grant: Grant) -> str:
            started.append(now())
            await asyncio.sleep(1)
            raise NO_MONEY

        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(settled([gate.call(broke, Knock(watch=events.append))])) for _ in range(100)]
            await asyncio.sleep(1.001)
            assert all(task.done() for task in waiting)
            coming = await settled(gate.call(broke) for _ in range(100))
        first, *others = [task.result()[0] for task in waiting]
        assert first is NO_MONEY
        for error in (*others, *coming):
            assert isinstance(error, ProviderExhausted)
            assert not error.sent
            assert error.retry_after == pytest.approx(60, abs=0.01)
        assert started == [0.0]
        assert sum(isinstance(event, CallAttempted) for event in events) == 1
        assert gate.statistics().exhausted_until == pytest.approx(61)
        await everything_is_back(gate, after=60)
        assert gate.statistics().exhausted_until is None
        assert await gate.call(work_of()) == "done"

    run_virtual(main())


def test_a_grant_that_meets_the_news_of_an_empty_account_is_not_used() -> None:
    async def main() -> None:
        gate, started = a_gate(concurrency=2), list[float]()

        def work(n: int) -> Work:
            async def second_is_broke(_grant: Grant) -> str:
                started.append(now())
                await asyncio.sleep(1)  # the first hands its permit on, and in the same step the second fails
                if n == 1:
                    raise NO_MONEY
                return "done"

            return second_is_broke

        ends = await settled(gate.call(work(n)) for n in range(10))
        assert started == [0.0, 0.0]
        assert [type(end) for end in ends] == [str, *[ProviderExhausted] * 9]
        await everything_is_back(gate, after=61)

    run_virtual(main())


def test_a_retry_after_beyond_the_deadline_fails_at_once_and_says_how_long() -> None:
    async def main() -> None:
        gate = a_gate()
        with pytest.raises(ProviderThrottled) as caught:
            await gate.call(failing_first(ProviderThrottled("429", retry_after=30.0)), Knock(deadline=29.0))
        assert (now(), caught.value.retry_after) == (0, 30.0)

    run_virtual(main())


def test_a_doomed_wait_is_refused_within_a_millisecond_though_ten_thousand_wait() -> None:
    async def main() -> None:
        gate, took = a_gate(requests=10, per=1, burst=0), list[float]()
        time = asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(gate.call(work_of(), Knock(tenant=f"t{n % 300}", run=f"r{n % 3000}")))
                for n in range(10_000)
            ]
            await asyncio.sleep(0)
            for n in range(300):
                began = perf_counter()
                with pytest.raises(GateTimeout) as caught:
                    await gate.call(work_of(), Knock(tenant=f"t{n}", run=f"r{n}", deadline=time() + 5))
                took.append(perf_counter() - began)
                assert caught.value.reason == "rate"
            for task in tasks:
                task.cancel()
        assert quantiles(took, n=20)[-1] <= 0.001

    asyncio.run(main())


def test_a_wait_is_not_called_doomed_because_others_flood_the_gate() -> None:
    async def main() -> None:
        gate, done = a_gate(requests=10, burst=0), list[float]()
        async with asyncio.TaskGroup() as group:
            flood = [group.create_task(gate.call(work_of(), Knock(tenant="greedy"))) for _ in range(5000)]
            await asyncio.sleep(0.05)
            for _ in range(10):  # half of the rate is theirs: ten of them in two seconds
                group.create_task(gate.call(work_of(0, done), Knock(tenant="modest", deadline=2.5)))
            await asyncio.sleep(3)
            assert len(done) == 10
            for _ in range(100):
                group.create_task(gate.call(work_of(0, done), Knock(tenant="modest")))
            await asyncio.sleep(0)
            with pytest.raises(GateTimeout):  # they alone take twenty
                await gate.call(work_of(), Knock(tenant="modest", deadline=now() + 15))
            for task in flood:
                task.cancel()

    run_virtual(main())


def test_nobody_is_called_doomed_who_could_have_been_in_time() -> None:
    async def main(seconds: float) -> bool:
        """Whether the last of these, all of one run, is served within so many seconds."""
        gate = a_gate(tokens=100, burst=0.5)
        async with asyncio.TaskGroup() as group:
            for n in range(50):
                group.create_task(gate.call(work_of(), Knock(tokens=10 + n % 7)))
            await asyncio.sleep(0)
            task = group.create_task(settled([gate.call(work_of(), Knock(tokens=20, deadline=seconds))]))
        return task.result() == ["done"]

    assert not run_virtual(main(6.0))
    served = [run_virtual(main(seconds / 10)) for seconds in range(60, 80)]
    assert served == sorted(served)
    assert served[-1]
