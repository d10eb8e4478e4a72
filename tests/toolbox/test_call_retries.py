"""Attempts that are made again."""

from __future__ import annotations

import asyncio
import threading
from random import Random
from typing import Any

import pytest

from agentrt.errors import ProviderRefused, ProviderThrottled, ProviderUnavailable, ToolError
from agentrt.events import GateWaited, Passing, Retrying
from agentrt.testing.virtual import run_virtual
from agentrt.toolbox.call import Caller
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool, tool
from agentrt.toolbox.outcome import ToolOutcome


def now() -> float:
    return asyncio.get_running_loop().time()


def call(made: Tool[Any], arguments: str = "{}", **context: Any) -> ToolOutcome:
    async def main() -> ToolOutcome:
        return await Caller(random=Random(1)).call(made, arguments, Context(None, **context))

    return run_virtual(main())


class Shaky:
    """A tool whose first attempts end as given; it notes when they began."""

    def __init__(self, *ends: BaseException | float) -> None:
        self.ends = list(ends)
        self.began: list[float] = []
        self.told: list[Passing] = []

    def tool(self, **options: Any) -> Tool[Any]:
        @tool(**{"effect": "read", "timeout": 2, **options})
        async def shaky(context: Context, names: list[str]) -> str:
            self.began.append(now())
            names.append("changed")
            end = self.ends.pop(0) if self.ends else None
            if isinstance(end, float):
                await asyncio.sleep(end)
            elif end is not None:
                raise end
            return f"{len(names)} {context.remaining():g}"

        return shaky

    def call(self, made: Tool[Any], **context: Any) -> ToolOutcome:
        async def main() -> ToolOutcome:
            caller = Caller(random=Random(1))
            async with caller.turn(made, "c1", self.told.append) as turn:
                return await caller.call(made, '{"names": []}', Context(None, call_id="c1", **context), turn=turn)

        return run_virtual(main())

    @property
    def retries(self) -> list[Retrying]:
        return [event for event in self.told if isinstance(event, Retrying)]


def test_an_attempt_that_failed_is_made_again_after_a_pause_and_that_is_told() -> None:
    shaky = Shaky(ValueError("x"), 60.0, asyncio.CancelledError())
    outcome = shaky.call(shaky.tool(retries=3))
    assert outcome == ToolOutcome("ok", "1 2", None, 0.0), "each attempt has arguments and a timeout of its own"
    assert [(event.attempt, event.error) for event in shaky.retries] == [
        (1, "tool_failed"),
        (2, "tool_timeout"),
        (3, "tool_cancelled_itself"),
    ]
    assert {(event.provider, event.call_id) for event in shaky.retries} == {("shaky", "c1")}
    first, second, third = (event.delay for event in shaky.retries)
    assert 0 < first <= 0.25
    assert 0 < second <= 0.5
    assert 0 < third <= 1.0
    assert shaky.began == pytest.approx([0, first, first + 2 + second, first + 2 + second + third])


def test_the_last_failure_is_the_outcome() -> None:
    shaky = Shaky(ValueError("first"), ValueError("second"), ValueError("third"))
    outcome = shaky.call(shaky.tool(retries=1))
    assert (outcome.status, outcome.content) == ("error", "ValueError: second")
    assert (len(shaky.began), len(shaky.retries)) == (2, 1)


@pytest.mark.parametrize(
    "error", [ToolError("no such shelf"), ExceptionGroup("", [ToolError("no")]), ProviderRefused("no")]
)
def test_what_a_tool_means_is_not_tried_again(error: Exception) -> None:
    shaky = Shaky(error)
    assert shaky.call(shaky.tool(retries=3)).status == "error"
    assert (len(shaky.began), shaky.retries) == (1, [])


def test_a_result_that_cannot_be_shown_is_not_asked_for_again() -> None:
    calls: list[int] = []

    @tool(effect="read", retries=3)
    async def lock() -> Any:
        calls.append(1)
        return threading.Lock()

    assert call(lock).code == "result_invalid"
    assert calls == [1]


def test_without_retries_there_is_one_attempt() -> None:
    shaky = Shaky(ValueError("x"))
    assert shaky.call(shaky.tool()).status == "error"
    assert len(shaky.began) == 1


def test_a_provider_that_names_a_time_is_left_alone_for_it() -> None:
    shaky = Shaky(ProviderThrottled("slow down", retry_after=7), ProviderUnavailable("ill"))
    assert shaky.call(shaky.tool(retries=2)).status == "ok"
    assert shaky.began[1] >= 7
    assert [event.error for event in shaky.retries] == ["provider_rate_limited", "provider_unavailable"]


def test_no_pause_outlasts_the_deadline() -> None:
    shaky = Shaky(ProviderThrottled("slow down", retry_after=7))
    outcome = shaky.call(shaky.tool(retries=2), deadline=5.0)
    assert (outcome.content, outcome.code) == ("slow down", "provider_rate_limited")
    assert shaky.retries == []


def test_pauses_are_the_callers_randomness() -> None:
    delays = []
    for _ in range(2):
        shaky = Shaky(ValueError("x"))
        shaky.call(shaky.tool(retries=1))
        delays.append(shaky.retries[0].delay)
    assert delays[0] == delays[1]


def test_each_attempt_keeps_the_pace() -> None:
    shaky = Shaky(ValueError("x"), ValueError("x"))
    assert shaky.call(shaky.tool(retries=2, rate=(1, 10))).status == "ok"
    assert shaky.began == pytest.approx([0, 10, 20], abs=1e-3)
    assert {event.reason for event in shaky.told if isinstance(event, GateWaited)} == {"rate"}


def test_nothing_is_tried_again_beside_an_attempt_that_has_not_stopped() -> None:
    began: list[float] = []

    @tool(effect="read", timeout=1, retries=3)
    async def stubborn() -> None:
        began.append(now())
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)

    async def main() -> None:
        outcome = await Caller(grace=2).call(stubborn, "{}", Context(None))
        assert outcome.content.endswith("has not stopped: it may still take effect")
        await asyncio.sleep(100)

    run_virtual(main())
    assert began == [0]


def test_a_cancel_in_a_pause_ends_the_call_at_once() -> None:
    shaky = Shaky(ProviderThrottled("slow down", retry_after=7))

    async def main() -> None:
        task = asyncio.create_task(Caller().call(shaky.tool(retries=1), '{"names": []}', Context(None)))
        await asyncio.sleep(3)
        task.cancel()
        await asyncio.wait([task])
        assert (task.cancelled(), now()) == (True, 3)

    run_virtual(main())
    assert len(shaky.began) == 1
