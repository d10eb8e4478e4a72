"""Which calls are made again, when, and in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from agentrt.errors import (
    ContextTooLong,
    GateTimeout,
    ProviderError,
    ProviderExhausted,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnavailable,
    ProviderUnreachable,
    ReplyIncomplete,
    ToolError,
)
from agentrt.events import CallAttempted, GateWaited, Passing, Retrying
from agentrt.gate.grant import Grant, Knock, Spare
from agentrt.testing.virtual import run_virtual
from tests.gate.world import Work, a_gate, everything_is_back, failing_first, now, settled, work_of


def shown(error: ProviderError) -> ProviderError:
    error.shown = True
    return error


@pytest.mark.parametrize(
    ("make", "attempts"),
    [
        (lambda: ProviderUnreachable("connect", sent=False), 3),
        (lambda: ProviderUnavailable("503", status=503), 3),
        (lambda: ProviderThrottled("429", status=429), 3),
        (lambda: ProviderThrottled("429", status=429, retry_after=2.0), 3),
        (lambda: ReplyIncomplete("cut"), 3),
        (lambda: shown(ReplyIncomplete("cut")), 2),
        (lambda: ProviderExhausted("insufficient_quota", status=429), 1),
        (lambda: ContextTooLong("too long", status=400), 1),
        (lambda: ProviderRefused("no", status=401), 1),
        (lambda: ProviderThrottled("429", status=429, retry_after=60.0), 1),
        (lambda: ToolError("not the provider's"), 1),
        (lambda: ValueError("not ours"), 1),
    ],
)
def test_each_failure_is_attempted_as_often_as_the_table_says(make: Callable[[], Exception], attempts: int) -> None:
    async def main() -> None:
        gate, raised, events = a_gate(requests=100), list[Exception](), list[Passing]()

        async def work(grant: Grant) -> None:
            assert grant.attempt == len(raised) + 1
            raised.append(make())
            raise raised[-1]

        with pytest.raises(type(make())) as caught:
            await gate.call(work, Knock(deadline=now() + 50, watch=events.append))
        assert caught.value is raised[-1]
        assert len(raised) == attempts
        assert [type(event) for event in events if not isinstance(event, GateWaited)] == [
            *[CallAttempted, Retrying] * (attempts - 1),
            CallAttempted,
        ]
        await everything_is_back(gate, after=100)

    run_virtual(main())


def test_a_retry_that_succeeds_is_a_success() -> None:
    async def main() -> None:
        gate = a_gate()
        assert await gate.call(failing_first(ProviderUnavailable("ill"), ReplyIncomplete("cut"))) == "done"

    run_virtual(main())


def test_the_permit_is_free_while_a_call_rests_before_its_retry() -> None:
    async def main() -> None:
        gate, events, started = a_gate(concurrency=1), list[Passing](), list[float]()
        async with asyncio.TaskGroup() as group:
            group.create_task(gate.call(failing_first(ProviderUnavailable("ill")), Knock(watch=events.append)))
            group.create_task(gate.call(work_of(0, started)))
        assert started == [0.0]
        (retrying,) = [event for event in events if isinstance(event, Retrying)]
        assert now() == pytest.approx(retrying.delay)
        assert retrying.delay > 0

    run_virtual(main())


def test_after_a_429_nobody_knocks_until_retry_after_and_the_refused_call_is_first() -> None:
    async def main() -> None:
        gate, order = a_gate(requests=2, burst=50, concurrency=1), list[tuple[str, float]]()

        def named(name: str, *errors: ProviderError) -> Work:
            inner = failing_first(*errors)

            async def work(grant: Grant) -> str:
                order.append((name, now()))
                await asyncio.sleep(0.1)
                return await inner(grant)

            return work

        async with asyncio.TaskGroup() as group:
            group.create_task(gate.call(named("refused", ProviderThrottled("429", retry_after=8.0))))
            for _ in range(3):
                group.create_task(gate.call(named("other")))
            await asyncio.sleep(1)
            until = gate.statistics().cooling_until
            group.create_task(gate.call(named("late")))
        assert until is not None
        assert 8.1 <= until <= 10.1
        assert [name for name, _ in order] == ["refused", "refused", "other", "other", "other", "late"]
        # Much was saved up, but after the pause calls leave one by one, at the rate.
        assert [moment - until for _, moment in order[1:]] == pytest.approx([n / 1.98 for n in range(5)], abs=1e-3)

    run_virtual(main())


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    async def main() -> None:
        gate, started = a_gate(), list[float]()

        async def call(pause: float) -> None:
            inner = failing_first(ProviderThrottled("429", retry_after=pause), started=started)

            async def work(grant: Grant) -> str:
                await asyncio.sleep(0)  # until both are in flight
                return await inner(grant)

            await gate.call(work)

        async with asyncio.TaskGroup() as group:
            group.create_task(call(20.0))
            group.create_task(call(2.0))
            group.create_task(gate.call(work_of(5)))  # its end makes the gate look at the line
        assert started[:2] == [0.0, 0.0]
        assert min(started[2:]) >= 20.0

    run_virtual(main())


def test_several_refused_calls_come_back_in_the_order_of_their_refusals() -> None:
    async def main() -> None:
        gate, order = a_gate(concurrency=3), list[int]()

        async def call(n: int) -> None:
            inner = failing_first(*[ProviderThrottled("429", retry_after=5.0)] * (n < 3))

            async def work(grant: Grant) -> str:
                order.append(n)
                await asyncio.sleep(0.1 * (n + 1))
                return await inner(grant)

            await gate.call(work)

        async with asyncio.TaskGroup() as group:
            for n in range(6):
                group.create_task(call(n))
        assert order == [0, 1, 2, 0, 1, 2, 3, 4, 5]

    run_virtual(main())


def test_a_pause_beyond_a_deadline_fails_the_refused_call_and_who_waits_with_it_at_once() -> None:
    async def main() -> None:
        gate = a_gate(concurrency=1)

        async def refused(_grant: Grant) -> str:
            await asyncio.sleep(1)  # while the others stand in line
            raise ProviderThrottled("429", retry_after=30.0)

        knocks = [Knock(deadline=20.0), Knock(deadline=20.0), Knock(deadline=100.0)]
        ended = list[float]()

        async def call(work: Work, knock: Knock) -> str:
            try:
                return await gate.call(work, knock)
            finally:
                ended.append(now())

        first, second, third = await settled(
            call(work, knock) for work, knock in zip([refused, work_of(), work_of()], knocks, strict=True)
        )
        assert isinstance(first, ProviderThrottled)
        assert isinstance(second, GateTimeout)
        assert (second.reason, third) == ("cooldown", "done")
        assert 30.0 <= second.eta <= 35.0
        assert ended[:2] == [1.0, 1.0]
        assert 31.0 <= ended[2] <= 36.1

    run_virtual(main())


def test_what_must_not_be_done_twice_is_not_retried() -> None:
    async def main() -> None:
        started = list[float]()
        with pytest.raises(ProviderUnavailable):
            await a_gate().call(failing_first(ProviderUnavailable("ill"), started=started), Knock(retries=0))
        assert len(started) == 1

    run_virtual(main())


def test_a_runs_retries_are_counted_over_all_its_calls() -> None:
    async def main() -> None:
        gate, spare, attempts = a_gate(), Spare(3), list[float]()
        for _ in range(3):
            work = failing_first(*[ProviderUnavailable("ill") for _ in range(3)], started=attempts)
            with pytest.raises(ProviderUnavailable):
                await gate.call(work, Knock(spare=spare))
        assert spare.left == 0
        assert len(attempts) == 3 + 3
        assert gate.statistics().retried == 3

    run_virtual(main())


def test_no_more_than_a_tenth_of_the_calls_are_retries_at_the_same_time() -> None:
    async def main() -> None:
        gate, events = a_gate(concurrency=300), list[Passing]()

        def work(n: int) -> Work:
            async def first_fails(grant: Grant) -> str:
                await asyncio.sleep(1)
                if grant.attempt == 1 and n % 3 == 0:
                    raise ProviderUnavailable("ill")
                return "done"

            return first_fails

        ends = await settled(gate.call(work(n), Knock(watch=events.append)) for n in range(300))
        retries = sum(isinstance(event, Retrying) for event in events)
        assert 20 <= retries <= 30
        assert sum(isinstance(end, ProviderUnavailable) for end in ends) == 100 - retries
        await everything_is_back(gate, after=1)

    run_virtual(main())


def test_a_blip_that_breaks_all_the_calls_of_a_handful_is_retried_by_all_of_them() -> None:
    async def main() -> None:
        gate = a_gate()
        calls = [gate.call(failing_first(ProviderUnreachable("reset"))) for _ in range(9)]
        assert await settled(calls) == ["done"] * 9
        assert gate.statistics().retried == 9

    run_virtual(main())


def test_the_purse_for_retries_is_emptied_by_failures_and_filled_by_successes() -> None:
    async def main() -> None:
        gate, retries = a_gate(), list[bool]()
        for _ in range(40):
            events = list[Passing]()
            mixed = [ProviderUnavailable("ill") for _ in range(3)]  # too rare among successes for the breaker
            await settled([gate.call(failing_first(*mixed), Knock(watch=events.append))])
            retries.append(any(isinstance(event, Retrying) for event in events))
            for _ in range(6):
                await gate.call(work_of())
        # 500 points, 28 for two retries, 6 earned in between.
        assert retries[:20] == [True] * 20
        assert not all(retries[25:])
        assert gate.statistics().retry_points <= 28

    run_virtual(main())


def test_after_a_429_that_names_no_time_fewer_go_at_once_and_successes_bring_them_back() -> None:
    async def main() -> None:
        gate = a_gate(concurrency=10)
        assert await gate.call(failing_first(ProviderThrottled("429"))) == "done"
        assert gate.statistics().concurrency == 7
        await gate.call(failing_first(ProviderThrottled("429", retry_after=1.0)))
        assert gate.statistics().concurrency == 7
        for _ in range(7 + 8 + 9):
            await gate.call(work_of())
        assert gate.statistics().concurrency == 10

    run_virtual(main())


def test_nothing_is_sent_before_retry_after_however_many_have_just_been_granted() -> None:
    async def main() -> None:
        gate, started = a_gate(concurrency=5), list[float]()

        def work(n: int) -> Work:
            async def some_are_throttled(grant: Grant) -> str:
                started.append(now())
                await asyncio.sleep(1)  # all end in the same step, so grants and a refusal meet in it
                if n == 4 and grant.attempt == 1:
                    raise ProviderThrottled("429", retry_after=10.0)
                return "done"

            return some_are_throttled

        assert await settled(gate.call(work(n)) for n in range(40)) == ["done"] * 40
        assert [moment for moment in started if 1 <= moment < 11] == []
        await everything_is_back(gate, after=1)

    run_virtual(main())
