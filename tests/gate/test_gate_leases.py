"""Gates that share a limit keep to it together, and keep their own promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import pytest

from agentrt.errors import GateTimeout
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock
from agentrt.gate.leases import Leases, LocalLeases
from agentrt.gate.limits import Limits
from agentrt.testing.virtual import run_virtual
from tests.gate.world import now, settled, work_of

FIFTY = Limits(requests=50, per=1, burst=1)
TOKENS = Limits(tokens=1000, per=1, burst=1)


def a_gate(leases: Leases | None, limits: Limits = FIFTY, account: str = "") -> Gate:
    return Gate("openai", limits, random=Random(1), leases=leases, account=account)


@asynccontextmanager
async def tended(*gates: Gate) -> AsyncGenerator[None]:
    """Somebody tends them, as the Runtime does."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(gate.tend()) for gate in gates]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


def test_two_gates_keep_to_one_limit() -> None:
    async def main() -> None:
        leases = LocalLeases()
        gates = [a_gate(leases), a_gate(leases)]
        started: list[float] = []
        async with tended(*gates):
            await settled(gate.call(work_of(started=started)) for gate in gates for _ in range(250))
        assert 500 / 50 - 1 <= now() <= 500 / (0.95 * 50)
        assert all(sum(start <= time < start + 1 for time in started) <= 100 for start in started)

    run_virtual(main())


def test_gates_of_two_accounts_share_nothing() -> None:
    async def main() -> None:
        leases = LocalLeases()
        gates = [a_gate(leases, account="mine"), a_gate(leases, account="yours")]
        async with tended(*gates):
            await settled(gate.call(work_of()) for gate in gates for _ in range(250))
        assert now() <= 250 / (0.95 * 50)

    run_virtual(main())


def test_a_wait_for_what_others_have_is_foreseen_and_refused_at_once_when_it_is_too_long() -> None:
    async def main() -> None:
        leases = LocalLeases()
        greedy, modest = a_gate(leases, TOKENS), a_gate(leases, TOKENS)
        async with tended(greedy, modest):
            await greedy.call(work_of(), Knock(tokens=10_000))
            with pytest.raises(GateTimeout):
                await modest.call(work_of(), Knock(tokens=100, deadline=now() + 1))
            assert now() < 1.1
            await modest.call(work_of(), Knock(tokens=100))
            assert now() == pytest.approx(10_000 / 990, abs=1)

    run_virtual(main())


def test_tokens_that_a_call_did_not_use_are_there_for_the_other_gate() -> None:
    async def frugal(grant: Grant) -> None:
        grant.report(input_tokens=100, output_tokens=0)

    async def main() -> None:
        leases = LocalLeases()
        gates = [a_gate(leases, TOKENS), a_gate(leases, TOKENS)]
        async with tended(*gates):
            await settled(gate.call(frugal, Knock(tokens=500)) for gate in gates for _ in range(50))
        assert now() <= 100 * 100 / 1000 * 1.5

    run_virtual(main())


def test_cancelled_calls_leave_nothing_behind() -> None:
    async def main() -> None:
        leases = LocalLeases()
        gate, other = a_gate(leases), a_gate(leases)
        async with tended(gate, other):
            for _ in range(20):
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(gate.call(work_of(0.01))) for _ in range(40)]
                    await asyncio.sleep(0.02)
                    for task in tasks:
                        task.cancel()
            await asyncio.sleep(2)
            before = now()
            await settled(other.call(work_of()) for _ in range(32))  # what the pool holds
            assert now() == before

    run_virtual(main())


def test_without_leases_there_is_nothing_to_tend() -> None:
    async def main() -> None:
        await a_gate(None).tend()

    run_virtual(main())


def test_until_somebody_tends_it_calls_wait_and_once_nobody_does_it_goes_on_by_itself() -> None:
    async def main() -> None:
        gate = a_gate(LocalLeases())
        async with asyncio.TaskGroup() as group:
            call = group.create_task(gate.call(work_of()))
            await asyncio.sleep(1)
            assert not call.done()
            async with tended(gate):
                await call
        await gate.call(work_of())

    run_virtual(main())
