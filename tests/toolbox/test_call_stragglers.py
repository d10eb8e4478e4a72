"""Tools that do not stop when they are told to: waited for, named, and let go."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from agentrt.testing.virtual import run_virtual
from agentrt.toolbox.call import Caller
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool, tool

T = TypeVar("T")


class Told:
    """What asyncio would have logged."""

    def __init__(self) -> None:
        self.errors: list[dict[str, Any]] = []

    def __call__(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(context)


def quietly(main: Coroutine[Any, Any, T]) -> T:
    """Run on the virtual clock; no other task may be left, and asyncio must have nothing to complain of."""
    told = Told()

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(told)
        result = await main
        alone()
        return result

    result = run_virtual(watched())
    gc.collect()
    assert told.errors == []
    return result


def alone() -> None:
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def ended(task: asyncio.Task[Any]) -> str:
    """Wait for a task's end and name it."""
    await asyncio.wait([task])
    if task.cancelled():
        return "cancelled"
    return type(error).__name__ if (error := task.exception()) else "returned"


def stubborn() -> Tool[object]:
    """Swallows every cancel for 10 s."""

    @tool(timeout=1)
    async def stubborn() -> str:
        loop = asyncio.get_running_loop()
        until = loop.time() + 10
        while (left := until - loop.time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue
        return "at last"

    return stubborn


def test_what_does_not_stop_within_the_grace_is_named_until_it_ends() -> None:
    async def main() -> None:
        caller = Caller(grace=2.0)
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(caller.call(stubborn(), "{}", Context(None, run_id="r1")))
        await asyncio.sleep(0.5)
        task.cancel()
        assert await ended(task) == "cancelled"
        assert loop.time() == pytest.approx(2.5)
        assert (len(caller.stragglers), caller.stragglers.names) == (1, ("stubborn",))
        assert (caller.stragglers.of("r1"), caller.stragglers.of("r2")) == (("stubborn",), ())
        await asyncio.sleep(10)
        assert (len(caller.stragglers), caller.stragglers.names) == (0, ())

    quietly(main())


def test_a_timeout_lets_a_straggler_go_after_the_grace_and_says_so() -> None:
    async def main() -> None:
        caller = Caller(grace=2.0)
        outcome = await caller.call(stubborn(), "{}", Context(None))
        assert (outcome.status, outcome.code, outcome.seconds) == ("timeout", "tool_timeout", 3.0)
        assert outcome.content == (
            '"stubborn" was not done in 1 s and was told to stop, and has not stopped: it may still take effect'
        )
        assert caller.stragglers.names == ("stubborn",)
        await asyncio.sleep(10)
        assert len(caller.stragglers) == 0

    quietly(main())


@pytest.mark.parametrize("first", [0.5, 1.5])
def test_a_second_cancel_in_the_grace_shortens_nothing_and_is_raised_after_it(first: float) -> None:
    # The grace begins with the first cancel at 0.5 s, or with the timeout at 1 s.
    async def main() -> None:
        caller = Caller(grace=2.0)
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(caller.call(stubborn(), "{}", Context(None)))
        await asyncio.sleep(first)
        for _ in range(5):
            task.cancel()
            await asyncio.sleep(0.25)
        assert not task.done()
        assert await ended(task) == "cancelled"
        assert loop.time() == pytest.approx(min(first, 1.0) + 2.0)
        assert caller.stragglers.names == ("stubborn",)
        await asyncio.sleep(10)

    quietly(main())


def test_who_cancels_at_every_step_does_not_hold_the_call_beyond_the_grace() -> None:
    async def main() -> None:
        caller = Caller(grace=0)
        task = asyncio.create_task(caller.call(stubborn(), "{}", Context(None)))
        await asyncio.sleep(0.5)
        for _ in range(100):
            task.cancel()
            await asyncio.sleep(0)
        assert task.cancelled()
        await asyncio.sleep(20)

    quietly(main())


def test_even_without_a_grace_a_tool_that_stops_at_once_is_no_straggler() -> None:
    @tool
    async def simple() -> None:
        await asyncio.sleep(1)

    async def main() -> None:
        caller = Caller(grace=0)
        task = asyncio.create_task(caller.call(simple, "{}", Context(None)))
        await asyncio.sleep(0.5)
        task.cancel()
        assert await ended(task) == "cancelled"
        assert len(caller.stragglers) == 0

    quietly(main())


def test_many_stragglers_are_counted_one_for_each_call() -> None:
    async def main() -> None:
        caller = Caller(grace=0.5)
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(caller.call(stubborn(), "{}", Context(None, run_id=f"r{number % 2}")))
        assert caller.stragglers.names == ("stubborn",) * 3
        assert (len(caller.stragglers.of("r0")), len(caller.stragglers.of("r1"))) == (2, 1)
        await asyncio.sleep(20)

    quietly(main())


@pytest.mark.parametrize("error", [ValueError("late"), SystemExit(1), BaseExceptionGroup("x", [KeyError()])])
def test_a_straggler_that_fails_in_the_end_is_not_logged(error: BaseException) -> None:
    @tool(timeout=1)
    async def late() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(10)
            raise error

    async def main() -> None:
        caller = Caller(grace=1)
        assert (await caller.call(late, "{}", Context(None))).status == "timeout"
        assert caller.stragglers.names == ("late",)
        await asyncio.sleep(20)
        assert len(caller.stragglers) == 0

    quietly(main())
