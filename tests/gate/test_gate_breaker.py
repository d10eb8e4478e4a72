"""An ill provider is left alone, and then asked by one call alone."""

from __future__ import annotations

import asyncio

import pytest

from agentrt.errors import AgentrtError, GateTimeout, ProviderRefused, ProviderUnavailable
from agentrt.events import GateWaited, Passing
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock
from agentrt.gate.limits import Limits
from agentrt.testing.virtual import run_virtual
from tests.gate.world import Work, a_gate, everything_is_back, failing_first, now, settled, work_of

ONCE = Knock(retries=0)
ILL = ProviderUnavailable("ill", status=503)


async def opened(gate: Gate) -> float:
    """Make the breaker open by ten failures; what comes back is the moment at which it lets a probe through."""
    await settled(gate.call(failing_first(ILL), ONCE) for _ in range(10))
    assert gate.statistics().breaker == "open"
    with pytest.raises(GateTimeout) as caught:
        await gate.call(work_of(), Knock(turn_away=True))
    return now() + caught.value.eta


def test_an_open_breaker_lets_nobody_through_and_then_exactly_one_of_fifty() -> None:
    async def main() -> None:
        gate, started = a_gate(), list[float]()
        until = await opened(gate)
        assert 4 <= until <= 6
        async with asyncio.TaskGroup() as group:
            for _ in range(50):
                group.create_task(gate.call(work_of(1, started)))
            await asyncio.sleep(until - 0.001)
            assert started == []
            await asyncio.sleep(0.5)
            assert len(started) == 1
            assert gate.statistics().breaker == "half_open"
        # The second probe, then all that are permitted.
        assert started[:22] == pytest.approx([until, until + 1, *[until + 2] * 20], abs=1e-3)
        assert gate.statistics().breaker == "closed"
        await everything_is_back(gate, after=1)

    run_virtual(main())


def test_a_probe_that_fails_opens_it_for_longer() -> None:
    async def main() -> None:
        gate, started = a_gate(), list[float]()
        until = await opened(gate)
        async with asyncio.TaskGroup() as group:
            group.create_task(settled([gate.call(failing_first(ILL, started=started), ONCE)]))
            await asyncio.sleep(0)
            for _ in range(20):
                group.create_task(gate.call(work_of(0, started), ONCE))
        assert started[0] == pytest.approx(until, abs=1e-3)
        assert 8 * 0.8 <= started[1] - started[0] <= 8 * 1.2

    run_virtual(main())


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_probe_that_is_refused_found_the_provider_well_as_one_that_succeeds(status: int) -> None:
    async def main() -> None:
        gate, started = a_gate(), list[float]()
        until = await opened(gate)
        async with asyncio.TaskGroup() as group:
            refused = failing_first(ProviderRefused("no", status=status), started=started)
            group.create_task(settled([gate.call(refused)]))
            await asyncio.sleep(0)
            for _ in range(5):
                group.create_task(gate.call(work_of(1, started)))
        # The second probe, at once, and with its success all the others.
        assert started == pytest.approx([until, until, *[until + 1] * 4], abs=1e-3)
        assert gate.statistics().breaker == "closed"

    run_virtual(main())


def test_two_probes_that_are_refused_close_it() -> None:
    async def main() -> None:
        gate = a_gate()
        until = await opened(gate)
        ends = await settled(gate.call(failing_first(ProviderRefused("no", status=401))) for _ in range(2))
        assert [type(end) for end in ends] == [ProviderRefused] * 2
        assert now() == pytest.approx(until, abs=1e-3)
        assert gate.statistics().breaker == "closed"

    run_virtual(main())


@pytest.mark.parametrize("end", [ProviderRefused("no", status=409), ValueError("bug"), asyncio.CancelledError()])
def test_a_probe_that_says_nothing_of_the_providers_health_passes_its_slot_on(end: BaseException) -> None:
    async def main() -> None:
        gate, started = a_gate(), list[float]()
        until = await opened(gate)
        async with asyncio.TaskGroup() as group:
            group.create_task(settled([gate.call(failing_first(end, started=started))]))
            await asyncio.sleep(0)
            for _ in range(5):
                group.create_task(gate.call(work_of(1, started)))
        assert started == pytest.approx([until, until, until + 1, *[until + 2] * 3], abs=1e-3)

    run_virtual(main())


def test_a_probe_that_is_cancelled_passes_its_slot_on() -> None:
    async def main() -> None:
        gate, started = a_gate(), list[float]()
        until = await opened(gate)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(gate.call(work_of(100, started)))
            await asyncio.sleep(0)
            group.create_task(gate.call(work_of(0, started)))
            await asyncio.sleep(until + 2)
            first.cancel()
        assert started == pytest.approx([until, until + 2], abs=1e-3)
        await everything_is_back(gate, after=1)

    run_virtual(main())


@pytest.mark.parametrize("step", range(1, 8))
def test_a_probe_cancelled_in_the_step_of_its_grant_passes_its_slot_on(step: int) -> None:
    async def main() -> None:
        gate, started = a_gate(requests=100), list[float]()
        until = await opened(gate)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(gate.call(work_of(100)))
            await asyncio.sleep(0)
            group.create_task(gate.call(work_of(0, started)))
            await asyncio.sleep(until - now() - 1e-9)
            for _ in range(step):
                await asyncio.sleep(0)
            first.cancel()
        assert len(started) == 1
        await everything_is_back(gate, after=10)

    run_virtual(main())


def test_who_does_not_want_to_wait_for_an_ill_provider_is_turned_away_at_once_even_from_the_line() -> None:
    async def main() -> None:
        gate, events = a_gate(concurrency=1), list[Passing]()
        for _ in range(9):
            await settled([gate.call(failing_first(ILL), ONCE)])

        async def last(_grant: Grant) -> str:
            await asyncio.sleep(1)
            raise ILL

        async with asyncio.TaskGroup() as group:
            group.create_task(settled([gate.call(last, ONCE)]))
            await asyncio.sleep(0)
            knock = Knock(turn_away=True, watch=events.append)
            in_line = group.create_task(settled([gate.call(work_of(), knock)]))
            patient = group.create_task(gate.call(work_of()))
            await asyncio.sleep(1.001)
            (away,) = in_line.result()
            assert isinstance(away, GateTimeout)
            assert away.reason == "breaker"
            assert 4 <= away.eta <= 6
            assert "the provider is ill" in str(away)
            assert [event.waited for event in events if isinstance(event, GateWaited)] == [0, 1]
        assert patient.result() == "done"

    run_virtual(main())


def test_who_can_ask_another_and_sees_the_probe_go_before_it_is_turned_away() -> None:
    async def main() -> None:
        gate, ended = a_gate(groups={"chat": Limits(concurrency=1)}), list[float]()

        async def impatient() -> None:
            with pytest.raises(GateTimeout, match="a probe is on its way"):
                await gate.call(work_of(), Knock(model="chat", turn_away=True))
            ended.append(now())

        async with asyncio.TaskGroup() as group:
            group.create_task(gate.call(work_of(20), Knock(model="chat")))
            await asyncio.sleep(0)
            await asyncio.sleep(await opened(gate))
            group.create_task(gate.call(work_of(5), Knock(model="chat")))  # the probe, as soon as it can go
            await asyncio.sleep(0)
            group.create_task(impatient())
        assert ended == pytest.approx([20], abs=1e-3)

    run_virtual(main())


def test_who_can_ask_another_is_turned_away_by_an_open_breaker_even_where_a_pause_hides_it() -> None:
    async def main() -> None:
        gate = a_gate()
        pausing = ProviderUnavailable("overloaded", status=529, retry_after=30.0)
        await settled(gate.call(failing_first(ILL), ONCE) for _ in range(9))
        await settled([gate.call(failing_first(pausing), ONCE)])
        assert gate.statistics().breaker == "open"
        with pytest.raises(GateTimeout) as caught:
            await gate.call(work_of(), Knock(turn_away=True))
        assert caught.value.reason == "breaker"

    run_virtual(main())


def test_while_the_probe_is_out_who_can_ask_another_is_turned_away_and_others_wait_without_an_end_in_sight() -> None:
    async def main() -> None:
        gate, events = a_gate(), list[Passing]()
        until = await opened(gate)
        async with asyncio.TaskGroup() as group:
            group.create_task(gate.call(work_of(10)))
            await asyncio.sleep(until + 1)
            with pytest.raises(GateTimeout, match="a probe is on its way"):
                await gate.call(work_of(), Knock(turn_away=True))
            group.create_task(gate.call(work_of(), Knock(deadline=now() + 100, watch=events.append)))
        assert [(event.reason, event.eta) for event in events if isinstance(event, GateWaited)] == [
            ("breaker", None),
            ("breaker", 0.0),
        ]

    run_virtual(main())


def test_a_wait_for_the_breaker_that_outlasts_the_deadline_is_not_begun_and_one_begun_ends_when_it_opens() -> None:
    async def main() -> None:
        gate = a_gate(concurrency=1)

        async def slow(_grant: Grant) -> str:
            await asyncio.sleep(1)
            raise ILL

        calls = [gate.call(slow, ONCE) for _ in range(10)]
        impatient = gate.call(work_of(), Knock(deadline=12.5))  # it would be in time, were the provider well
        ends = list[float]()

        async def end() -> AgentrtError:
            with pytest.raises(GateTimeout) as caught:
                await impatient
            ends.append(now())
            return caught.value

        async with asyncio.TaskGroup() as group:
            group.create_task(settled(calls))
            await asyncio.sleep(0)
            error = group.create_task(end())
        assert ends == pytest.approx([10], abs=1e-3)
        assert "the wait for breaker takes" in str(error.result())
        with pytest.raises(GateTimeout, match="the wait for breaker"):
            await gate.call(work_of(), Knock(deadline=now() + 2))

    run_virtual(main())


def test_a_call_that_opened_the_breaker_and_has_another_to_ask_does_not_wait_for_it() -> None:
    async def main() -> None:
        gate = a_gate()
        await settled(gate.call(failing_first(ILL), ONCE) for _ in range(9))
        with pytest.raises(ProviderUnavailable):
            await gate.call(failing_first(ILL), Knock(turn_away=True))
        assert now() == 0

    run_virtual(main())


def test_a_provider_that_is_down_is_asked_no_more_than_calls_are_wanted_and_work_flows_soon_after() -> None:
    async def main() -> None:
        gate, asked, wanted = a_gate(concurrency=100), 0, 0
        well_from = 60.0
        first_success = list[float]()

        async def work(_grant: Grant) -> str:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0.05)
            if now() < well_from:
                raise ProviderUnavailable("down", status=503)
            first_success.append(now())
            return "done"

        async with asyncio.TaskGroup() as group:
            while now() < 80:
                for _ in range(10):
                    group.create_task(settled([gate.call(work, Knock(deadline=now() + 10))]))
                    wanted += 1
                await asyncio.sleep(0.1)
        assert asked <= 1.1 * wanted
        assert first_success[0] <= well_from + 10
        await everything_is_back(gate, after=1)

    run_virtual(main())


def test_calls_that_began_before_it_opened_do_not_open_it_again() -> None:
    async def main() -> None:
        gate = a_gate(concurrency=100)

        def late(seconds: float) -> Work:
            async def work(_grant: Grant) -> str:
                await asyncio.sleep(seconds)
                raise ILL

            return work

        async with asyncio.TaskGroup() as group:
            for n in range(60):
                group.create_task(settled([gate.call(late(0.5 * n), ONCE)]))
            await asyncio.sleep(15)
            assert await gate.call(work_of()) == "done"
            assert await gate.call(work_of()) == "done"
            await asyncio.sleep(10)
            assert gate.statistics().breaker == "closed"

    run_virtual(main())
