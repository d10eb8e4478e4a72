"""A slow call that may be asked twice is, rarely; one answer counts, and the other attempt leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agentrt.errors import ProviderRefused, ProviderUnavailable
from agentrt.events import CallAttempted, Passing
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock
from agentrt.gate.hedge import Hedging, race
from agentrt.testing.virtual import VirtualLoop, run_virtual
from tests.gate.world import a_gate, everything_is_back, now, work_of

Attempt = Callable[[], Awaitable[str]]


def ending(name: str, after: float, error: BaseException | None = None, log: list[str] | None = None) -> Attempt:
    async def attempt() -> str:
        try:
            await asyncio.sleep(after)
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # it takes a step to tidy up
            if log is not None:
                log.append(name)
            raise
        if error is not None:
            raise error
        return name

    return attempt


ILL = ProviderUnavailable("ill")


@pytest.mark.parametrize(
    ("first", "second", "after", "answer", "moment"),
    [
        (ending("a", 1), ending("b", 0), 2.0, "a", 1),
        (ending("a", 10), ending("b", 1), 2.0, "b", 3),
        (ending("a", 4), ending("b", 10), 2.0, "a", 4),
        (ending("a", 10), None, 2.0, "a", 10),
        (ending("a", 10), ending("b", 1), None, "a", 10),
        (ending("a", 10), ending("b", 1, ILL), 2.0, "a", 10),
        (ending("a", 3, ILL), ending("b", 5), 2.0, "b", 7),
        (ending("a", 3, ILL), ending("b", 1), 2.0, "b", 3),  # both at once
    ],
)
def test_the_first_answer_counts(
    first: Attempt, second: Attempt | None, after: float | None, answer: str, moment: float
) -> None:
    async def main() -> None:
        assert await race(first, lambda: second, after) == answer
        assert now() == pytest.approx(moment)
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


def test_the_one_that_lost_has_ended_when_the_answer_is_there() -> None:
    async def main() -> None:
        log = list[str]()
        assert await race(ending("a", 10, log=log), lambda: ending("b", 1), 2.0) == "b"
        assert log == ["a"]

    run_virtual(main())


def test_where_both_fail_the_later_error_counts() -> None:
    async def main() -> None:
        later = ProviderRefused("no")
        with pytest.raises(ProviderRefused) as caught:
            await race(ending("a", 3, ILL), lambda: ending("b", 2, later), 2.0)
        assert caught.value is later

    run_virtual(main())


def test_a_first_attempt_that_fails_early_is_not_hedged() -> None:
    async def main() -> None:
        asked = list[str]()

        def second() -> Attempt | None:
            asked.append("second")
            return None

        with pytest.raises(ProviderUnavailable):
            await race(ending("a", 1, ILL), second, 2.0)
        assert asked == []

    run_virtual(main())


def test_an_error_that_is_not_the_providers_ends_both_and_comes_through_plain() -> None:
    async def main() -> None:
        log = list[str]()
        with pytest.raises(ValueError, match="bug"):
            await race(ending("a", 10, log=log), lambda: ending("b", 1, ValueError("bug")), 2.0)
        assert log == ["a"]

    run_virtual(main())


def test_a_cancel_ends_both() -> None:
    async def main() -> None:
        log = list[str]()
        task = asyncio.get_running_loop().create_task(
            race(ending("a", 10, log=log), lambda: ending("b", 10, log=log), 2.0)
        )
        await asyncio.sleep(3)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert sorted(log) == ["a", "b"]

    run_virtual(main())


def test_nothing_is_hedged_before_twenty_calls_are_known_and_then_after_the_95th_of_100() -> None:
    hedging = Hedging()
    for n in range(19):
        assert hedging.begun() is None
        hedging.answered(n)
    hedging.answered(19)
    assert hedging.begun() == 19
    for n in range(200):
        hedging.answered(n)
    assert hedging.begun() == pytest.approx(190, abs=10)


def test_one_call_in_twenty_is_hedged_at_most() -> None:
    hedging = Hedging()
    for _ in range(2000):
        hedging.begun()
        if hedging.may():
            hedging.spend()
    assert hedging.made == pytest.approx(100, abs=1)
    for _ in range(1000):
        hedging.begun()
    burst = 0
    while hedging.may():
        hedging.spend()
        burst += 1
    assert burst == 5


ASKED_TWICE = Knock(idempotent=True, tokens=10)


async def experienced(limit: float | None = None, *, hedge: bool = True) -> Gate:
    """A gate that knows that 95 of 100 calls take a second at most, and has two hedges to spend."""
    gate = a_gate(requests=limit, tokens=limit, hedge=hedge)
    for n in range(45):
        await gate.call(work_of(1.0 if n < 4 else 0.5), ASKED_TWICE)
    return gate


def slow_first(log: list[float]) -> Callable[[Grant], Awaitable[str]]:
    async def work(grant: Grant) -> str:
        log.append(now())
        await asyncio.sleep(100 if grant.attempt == 1 else 0.5)
        return f"answer {grant.attempt}"

    return work


def test_a_slow_call_is_asked_again_through_the_gate_and_both_attempts_are_shown() -> None:
    async def main() -> None:
        gate, log, events = await experienced(1000), list[float](), list[Passing]()
        began = now()
        knock = Knock(idempotent=True, tokens=10, watch=events.append)
        assert await gate.call(slow_first(log), knock) == "answer 2"
        assert [moment - began for moment in log] == pytest.approx([0, 1], abs=1e-3)
        assert now() - began == pytest.approx(1.5)
        attempts = [event for event in events if isinstance(event, CallAttempted)]
        assert {(event.attempt, event.error) for event in attempts} == {(1, "cancelled"), (2, None)}
        assert gate.statistics().groups[0].hedged == 1
        assert gate.statistics().retried == 0
        await everything_is_back(gate, after=100)

    run_virtual(main())


@pytest.mark.parametrize("knock", [Knock(tokens=10), Knock(tokens=900, idempotent=True)])
def test_what_may_not_be_asked_twice_or_could_not_go_at_once_is_not_hedged(knock: Knock) -> None:
    async def main() -> None:
        gate, log = await experienced(1000), list[float]()
        await asyncio.sleep(1)
        assert await gate.call(slow_first(log), Knock(tokens=100)) == "answer 1"
        await asyncio.sleep(1)
        task = asyncio.get_running_loop().create_task(gate.call(slow_first(log), knock))
        await asyncio.sleep(0)
        await gate.call(work_of(1.1), Knock(tokens=990))  # nothing is left for a second attempt
        assert await task == "answer 1"

    run_virtual(main())


def test_a_gate_hedges_only_where_it_was_told_to() -> None:
    async def main() -> None:
        gate, log = await experienced(hedge=False), list[float]()
        assert await gate.call(slow_first(log), ASKED_TWICE) == "answer 1"

    run_virtual(main())


def test_an_attempt_that_both_failed_is_retried_once_for_both() -> None:
    async def main() -> None:
        gate, attempts = await experienced(), list[int]()

        async def work(grant: Grant) -> str:
            attempts.append(grant.attempt)
            await asyncio.sleep(2)
            if grant.attempt < 3:
                raise ProviderUnavailable("ill")
            return "done"

        assert await gate.call(work, ASKED_TWICE) == "done"
        assert attempts[:3] == [1, 2, 3]
        assert gate.statistics().retried == 1
        await everything_is_back(gate, after=1)

    run_virtual(main())


def test_cancelled_at_any_step_both_attempts_give_everything_back() -> None:
    for step in range(1, 12):

        async def main(step: int = step) -> None:
            gate, log = await experienced(1000), list[float]()
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            task = loop.create_task(gate.call(slow_first(log), ASKED_TWICE))
            loop.at_step(step, task.cancel)
            await asyncio.wait([task])
            await everything_is_back(gate, after=100)

        run_virtual(main())
