"""The gate shows every wait, every attempt and every retry."""

from __future__ import annotations

import asyncio

import pytest

from agentrt.errors import (
    GateTimeout,
    ProviderError,
    ProviderRefused,
    ProviderThrottled,
    ToolError,
)
from agentrt.events import CallAttempted, GateWaited, Passing, Retrying
from agentrt.gate.grant import Grant, Knock
from agentrt.testing.virtual import run_virtual
from tests.gate.world import a_gate, failing_first, settled, work_of


def test_a_pass_without_a_wait_shows_one_attempt_and_nothing_else() -> None:
    async def main() -> None:
        events = list[Passing]()

        async def work(grant: Grant) -> str:
            await asyncio.sleep(2)
            grant.report(status=200, request_id="req-1", first_byte=0.5, input_tokens=3, output_tokens=4)
            return "done"

        await a_gate(requests=9).call(work, Knock(watch=events.append, model="gpt-5-mini"))
        assert events == [
            CallAttempted(
                provider="openai",
                model="gpt-5-mini",
                attempt=1,
                seconds=2.0,
                queued=0.0,
                status=200,
                request_id="req-1",
                first_byte=0.5,
                input_tokens=3,
                output_tokens=4,
            )
        ]

    run_virtual(main())


def test_a_wait_is_shown_when_it_begins_and_when_it_ends() -> None:
    async def main() -> None:
        events = list[Passing]()
        rate, permits = a_gate(requests=1, burst=0), a_gate(concurrency=1)
        knock = Knock(watch=events.append, call_id="call-1")
        await rate.call(work_of())
        await rate.call(work_of(), knock)
        async with asyncio.TaskGroup() as group:
            group.create_task(permits.call(work_of(3)))
            await asyncio.sleep(0)
            group.create_task(permits.call(work_of(), knock))
        waits = [event for event in events if isinstance(event, GateWaited)]
        assert [(wait.reason, wait.call_id) for wait in waits] == [("rate", "call-1")] * 2 + [
            ("concurrency", "call-1")
        ] * 2
        assert [wait.waited for wait in waits] == pytest.approx([0, 1 / 0.99, 0, 3], abs=1e-3)
        assert [wait.eta for wait in waits] == [pytest.approx(1 / 0.99), 0, None, 0]
        queued = [event.queued for event in events if isinstance(event, CallAttempted)]
        assert queued == pytest.approx([1 / 0.99, 3], abs=1e-3)

    run_virtual(main())


def test_a_wait_that_is_cancelled_or_too_long_ends_for_who_watches_too() -> None:
    async def main() -> None:
        gate, events = a_gate(concurrency=1), list[Passing]()
        async with asyncio.TaskGroup() as group:
            group.create_task(gate.call(work_of(10)))
            await asyncio.sleep(0)
            cancelled = group.create_task(gate.call(work_of(), Knock(watch=events.append)))
            late = group.create_task(settled([gate.call(work_of(), Knock(watch=events.append, deadline=2.0))]))
            await asyncio.sleep(1)
            cancelled.cancel()
        assert isinstance(late.result()[0], GateTimeout)
        assert [type(event) for event in events] == [GateWaited] * 4
        assert [event.waited for event in events if isinstance(event, GateWaited)] == pytest.approx([0, 0, 1, 2])

    run_virtual(main())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProviderRefused("no", status=404, request_id="req-9"), "provider_refused"),
        (ToolError("no", code="warehouse_closed"), "warehouse_closed"),
        (ValueError("bug"), "internal"),
        (asyncio.CancelledError(), "cancelled"),
    ],
)
def test_an_attempt_that_ends_badly_is_shown_with_its_code(error: BaseException, code: str) -> None:
    async def main() -> None:
        events = list[Passing]()
        with pytest.raises(type(error)):
            await a_gate().call(failing_first(error), Knock(watch=events.append))
        (event,) = events
        assert isinstance(event, CallAttempted)
        assert event.error == code
        if isinstance(error, ProviderError):
            assert (event.status, event.request_id) == (404, "req-9")

    run_virtual(main())


def test_a_retry_is_shown_between_its_attempts_with_its_pause() -> None:
    async def main() -> None:
        events = list[Passing]()
        work = failing_first(ProviderThrottled("429", status=429, retry_after=4.0))
        await a_gate().call(work, Knock(watch=events.append))
        failed, retrying, begun, ended, succeeded = events
        assert isinstance(failed, CallAttempted)
        assert (failed.status, failed.error) == (429, "provider_rate_limited")
        assert isinstance(retrying, Retrying)
        assert (retrying.attempt, retrying.error) == (1, "provider_rate_limited")
        assert isinstance(begun, GateWaited)
        assert begun.reason == "cooldown"
        assert begun.eta == pytest.approx(retrying.delay)
        assert isinstance(ended, GateWaited)
        assert ended.waited == pytest.approx(retrying.delay, abs=1e-3)
        assert isinstance(succeeded, CallAttempted)
        assert (succeeded.attempt, succeeded.error) == (2, None)
        assert succeeded.queued == pytest.approx(ended.waited)

    run_virtual(main())
