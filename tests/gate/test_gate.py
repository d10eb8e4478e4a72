"""The gate keeps the limits and the order, and lets nobody wait in vain."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from random import Random

import pytest

from agentrt.errors import GateTimeout
from agentrt.gate.bucket import Bucket
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock
from agentrt.gate.limits import Limits
from agentrt.testing.virtual import run_virtual
from tests.gate.world import a_gate, everything_is_back, now, settled, work_of


def most_within(seconds: float, moments: list[float]) -> int:
    """The largest number of moments in any closed window of that length."""
    return max(sum(start <= moment <= start + seconds for moment in moments) for start in moments)


@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_500_calls_at_once_use_the_allowance_and_never_exceed_it(seconds: float) -> None:
    async def main() -> None:
        gate = a_gate(requests=50, burst=0.2, concurrency=100)
        provider, refused, started = Bucket(rate=50, capacity=10), 0, list[float]()

        async def work(_grant: Grant) -> str:
            nonlocal refused
            refused += provider.wait(1, now()) > 0
            provider.take(1, now())
            started.append(now())
            await asyncio.sleep(seconds)
            return "done"

        assert await settled(gate.call(work) for _ in range(500)) == ["done"] * 500
        assert refused == 0
        for window in (0.1, 0.5, 1.0, 5.0):
            assert most_within(window, started) <= 50 * window + 10
        assert 0.95 * (50 * started[-1] + 10) <= 500

    run_virtual(main())


def test_an_hour_at_ten_times_the_allowance_keeps_every_window() -> None:
    async def main() -> None:
        gate = a_gate(requests=60, per=60, burst=5, concurrency=5)
        started = list[float]()
        work = work_of(0.5, started)
        async with asyncio.TaskGroup() as group:
            for _ in range(36_000 // 10):
                group.create_task(gate.call(work))
                await asyncio.sleep(0.1)
        assert len(started) == 3600
        for window in (1.0, 60.0):
            assert most_within(window, started) <= window + 5

    run_virtual(main())


def test_with_the_default_burst_three_minutes_at_ten_times_the_allowance_keep_every_sliding_minute() -> None:
    async def main() -> None:
        gate, started = Gate("openai", Limits(requests=600), random=Random(1)), list[float]()

        async def call() -> None:
            with suppress(GateTimeout):
                await gate.call(work_of(0.1, started), Knock(deadline=now() + 1))

        async with asyncio.TaskGroup() as group:
            for _ in range(180):
                for _ in range(100):
                    group.create_task(call())
                await asyncio.sleep(1)
        assert most_within(59.999, started) <= 600
        assert len(started) >= 0.95 * 3 * 600

    run_virtual(main())


def test_ten_minutes_at_ten_times_the_tokens_keep_every_window_and_waste_nothing() -> None:
    async def main() -> None:
        gate, random = a_gate(tokens=60_000, requests=600, per=60, burst=1, concurrency=100), Random(3)
        started = list[tuple[float, int]]()

        async def call(tokens: int) -> None:
            async def work(_grant: Grant) -> None:
                started.append((now(), tokens))
                await asyncio.sleep(2)

            with suppress(GateTimeout):
                await gate.call(work, Knock(tokens=tokens, deadline=now() + 30))

        async with asyncio.TaskGroup() as group:
            for _ in range(60_000 // 60):
                for _ in range(10):  # 1000 tokens each, 1500 now and then: ten times what there is
                    group.create_task(call(random.choice([10, 200, 900, 4000])))
                await asyncio.sleep(0.6)
        for window in (1.0, 10.0, 60.0):
            first, total = 0, 0
            for moment, tokens in started:
                total += tokens
                while started[first][0] < moment - window:
                    total -= started[first][1]
                    first += 1
                assert total <= 1000 * window + 4000  # the burst of a second is less than the largest request
        used = sum(tokens for _, tokens in started) / (1000 * 600)
        assert used >= 0.95

    run_virtual(main())


def test_no_more_calls_are_in_flight_than_permitted() -> None:
    async def main() -> None:
        gate, inside, most = a_gate(concurrency=3), 0, 0

        async def work(_grant: Grant) -> str:
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(1)
            inside -= 1
            return "done"

        await settled(gate.call(work) for _ in range(10))
        assert most == 3
        assert now() == pytest.approx(4)

    run_virtual(main())


def test_calls_leave_in_the_order_in_which_they_came() -> None:
    async def main() -> None:
        gate, order = a_gate(requests=10, burst=0, concurrency=2), list[int]()

        async def call(n: int) -> None:
            async def work(_grant: Grant) -> None:
                order.append(n)

            await gate.call(work)

        async with asyncio.TaskGroup() as group:
            for n in range(50):
                group.create_task(call(n))
        assert order == list(range(50))

    run_virtual(main())


def test_a_large_request_is_overtaken_eight_times_and_then_goes_first() -> None:
    async def main() -> None:
        gate, order = a_gate(tokens=100, burst=1), list[str]()

        async def call(name: str, tokens: int) -> None:
            async def work(_grant: Grant) -> None:
                order.append(f"{name} at {now():.1f}")

            await gate.call(work, Knock(tokens=tokens))

        async with asyncio.TaskGroup() as group:
            group.create_task(call("first", 86))
            await asyncio.sleep(0)
            group.create_task(call("large", 86))
            for _ in range(20):  # small ones keep coming, and there would be enough for each
                group.create_task(call("small", 1))
                await asyncio.sleep(0.04)
        assert [name.split()[0] for name in order[:11]] == ["first", *["small"] * 8, "large", "small"]
        assert order[9] == "large at 0.9"  # 86 and the eight tokens of those who overtook it, less the four at hand
        assert len(order) == 22

    run_virtual(main())


def test_who_may_overtake_goes_as_soon_as_there_is_enough_for_it() -> None:
    async def main() -> None:
        gate, started = a_gate(tokens=100, burst=1), list[float]()
        await gate.call(work_of(), Knock(tokens=90))
        async with asyncio.TaskGroup() as group:
            for tokens in (90, 9, 18):
                group.create_task(gate.call(work_of(0, started), Knock(tokens=tokens)))
        assert started == pytest.approx([9 / 99, 27 / 99, 117 / 99], abs=1e-4)

    run_virtual(main())


def test_a_request_larger_than_the_bucket_waits_for_a_full_one_and_is_paid_for_afterwards() -> None:
    async def main() -> None:
        gate, started = a_gate(tokens=100, burst=1), list[float]()
        await gate.call(work_of(0, started), Knock(tokens=50))
        await gate.call(work_of(0, started), Knock(tokens=400))
        await gate.call(work_of(0, started), Knock(tokens=1))
        assert started == pytest.approx([0, 50 / 99, 50 / 99 + 311 / 99], abs=1e-4)

    run_virtual(main())


def test_an_uncontended_pass_never_yields_to_the_loop() -> None:
    async def main() -> None:
        gate = a_gate(requests=50, tokens=1000, burst=1)
        passing = gate.call(work_of(), Knock(tokens=10, deadline=now() + 1))
        with pytest.raises(StopIteration) as ended:
            passing.send(None)
        assert ended.value.value == "done"

    run_virtual(main())


def test_after_the_loop_was_held_up_no_more_leaves_than_the_burst() -> None:
    async def main() -> None:
        gate, started = a_gate(requests=50, burst=0.2), list[float]()
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(gate.call(work_of(0, started)))
            await asyncio.sleep(0.5)
            vars(loop)["_now"] += 5.0  # somebody computed for 5 s without awaiting
        assert max(started.count(moment) for moment in started) == 5  # of ten; the others would be those five seconds'

    run_virtual(main())


@pytest.mark.parametrize(
    ("gate", "tokens", "reason", "eta"),
    [
        (a_gate(requests=1, burst=0), 0, "rate", 10 / 0.99),
        (a_gate(tokens=10, burst=1), 9, "tokens", 90 / 9.9),
    ],
)
def test_a_wait_that_cannot_end_in_time_is_refused_at_once(gate: Gate, tokens: int, reason: str, eta: float) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(gate.call(work_of(), Knock(tokens=tokens)))
            await asyncio.sleep(0)
            with pytest.raises(GateTimeout) as caught:
                await gate.call(work_of(), Knock(tokens=tokens, deadline=now() + eta - 0.1))
            assert now() == 0
            assert caught.value.reason == reason
            assert caught.value.eta == pytest.approx(eta)
            assert reason in str(caught.value)
            assert gate.statistics().waiting == 9
            await gate.call(work_of(), Knock(tokens=tokens, deadline=now() + eta + 0.1))
            assert now() == pytest.approx(eta, abs=1e-3)

    run_virtual(main())


def test_a_wait_for_a_permit_ends_with_the_deadline() -> None:
    async def main() -> None:
        gate = a_gate(concurrency=1)
        async with asyncio.TaskGroup() as group:
            group.create_task(gate.call(work_of(10)))
            await asyncio.sleep(1)
            with pytest.raises(GateTimeout) as caught:
                await gate.call(work_of(), Knock(deadline=4.0))
            assert now() == pytest.approx(4.0)
            assert caught.value.reason == "concurrency"
            assert "within 3.000 s" in str(caught.value)
        await everything_is_back(gate, after=1)

    run_virtual(main())


def test_a_wait_that_ended_in_time_leaves_no_timer_behind() -> None:
    async def main() -> None:
        gate = a_gate(concurrency=1)
        await settled(gate.call(work_of(1), Knock(deadline=1000.0)) for _ in range(3))
        await everything_is_back(gate, after=1)

    run_virtual(main())


def test_a_deadline_that_passed_is_refused_even_if_the_way_is_free() -> None:
    async def main() -> None:
        await asyncio.sleep(5)
        with pytest.raises(GateTimeout, match=r"it passed 2\.000 s ago"):
            await a_gate().call(work_of(), Knock(deadline=3.0))

    run_virtual(main())


def test_statistics_count_who_is_where() -> None:
    async def main() -> None:
        gate = a_gate(requests=10, tokens=100, burst=1, concurrency=2)
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(gate.call(work_of(1), Knock(tokens=10)))
            await asyncio.sleep(0.5)
            statistics = gate.statistics()
        assert (statistics.key, statistics.in_flight, statistics.waiting, statistics.granted) == ("openai", 2, 3, 2)
        assert (statistics.requests, statistics.tokens) == (9, 90)
        assert statistics.cooling_until is None
        assert gate.statistics().granted == 5

    run_virtual(main())
