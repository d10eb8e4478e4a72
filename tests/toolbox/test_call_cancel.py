"""What the cancellation contract promises of one call, tried at every step of the loop."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from agentrt.testing.virtual import run_virtual
from agentrt.toolbox.call import Caller
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool, tool
from agentrt.toolbox.outcome import ToolOutcome

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


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def ended(task: asyncio.Task[Any]) -> str:
    """Wait for a task's end and name it."""
    await asyncio.wait([task])
    if task.cancelled():
        return "cancelled"
    return type(error).__name__ if (error := task.exception()) else "returned"


class Life:
    """What became of a tool's function."""

    def __init__(self) -> None:
        self.entered = self.left = 0

    def __enter__(self) -> None:
        self.entered += 1

    def __exit__(self, *_: object) -> None:
        self.left += 1


def simple(life: Life) -> Tool[object]:
    @tool
    async def simple() -> str:
        with life:
            await asyncio.sleep(0)
            await asyncio.sleep(1)
            await asyncio.sleep(0)
        return "done"

    return simple


def at_once(life: Life) -> Tool[object]:
    @tool
    async def at_once() -> str:
        with life:
            return "done"

    return at_once


def cleaning(life: Life) -> Tool[object]:
    @tool
    async def cleaning() -> str:
        with life:
            try:
                await asyncio.sleep(1)
            finally:
                await asyncio.sleep(0)
                await asyncio.sleep(1)
        return "done"

    return cleaning


def branching(life: Life) -> Tool[object]:
    async def branch(seconds: int) -> None:
        with life:
            await asyncio.sleep(seconds)

    @tool
    async def branching() -> str:
        with life:
            async with asyncio.TaskGroup() as group:
                group.create_task(branch(0))
                group.create_task(branch(1))
        return "done"

    return branching


def failing(life: Life) -> Tool[object]:
    @tool
    async def failing() -> str:
        with life:
            try:
                await asyncio.sleep(1)
            finally:
                raise ValueError("on the way out")

    return failing


def swallowing(life: Life) -> Tool[object]:
    @tool
    async def swallowing() -> str:
        with life:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                await asyncio.sleep(0)
        return "in spite of all"

    return swallowing


KINDS = [simple, at_once, cleaning, branching, failing, swallowing]


@pytest.mark.parametrize("kind", KINDS)
def test_a_cancel_at_any_step_leaves_nothing_and_is_never_swallowed(kind: Callable[[Life], Tool[object]]) -> None:
    async def cancel_after(count: int) -> str:
        life, caller = Life(), Caller()
        task = asyncio.create_task(caller.call(kind(life), "{}", Context(None)))
        await steps(count)
        if task.done():
            return "over"
        task.cancel()
        assert await ended(task) == "cancelled"
        assert life.entered == life.left
        assert len(caller.stragglers) == 0
        alone()
        return "cancelled"

    async def main() -> None:
        # Steps pass no time, so a call that sleeps gets no further: the test below begins where it wakes.
        results = [await cancel_after(count) for count in range(12)]
        assert results[:3] == ["cancelled"] * 3
        assert (results[-1] == "over") == (kind is at_once)

    quietly(main())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("late", [False, True])
def test_a_cancel_at_any_step_around_the_end_of_the_work_is_a_cancel_or_comes_too_late(
    kind: Callable[[Life], Tool[object]], late: bool
) -> None:
    async def cancel_at(count: int) -> None:
        life, caller = Life(), Caller()
        task = asyncio.create_task(caller.call(kind(life), "{}", Context(None)))
        await steps(4)
        await asyncio.sleep(2.0 if late else 1.0)
        await steps(count)
        won = task.cancel()
        how = await ended(task)
        assert how == ("cancelled" if won else "returned")
        assert life.entered == life.left
        assert len(caller.stragglers) == 0
        alone()

    async def main() -> None:
        for count in range(10):
            await cancel_at(count)

    quietly(main())


@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_cancels_at_any_steps_shortens_no_clean_up(kind: Callable[[Life], Tool[object]]) -> None:
    async def cancel_at(gaps: tuple[int, ...]) -> None:
        life, caller = Life(), Caller()
        task = asyncio.create_task(caller.call(kind(life), "{}", Context(None)))
        for gap in gaps:
            await steps(gap)
            task.cancel()
        how = await ended(task)
        assert how == "cancelled" or kind is at_once
        assert life.entered == life.left
        assert len(caller.stragglers) == 0
        alone()

    async def main() -> None:
        for gaps in itertools.product(range(5), range(5), range(3)):
            await cancel_at(gaps)

    quietly(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_timeout_and_a_cancel_in_one_step_are_a_cancel(kind: Callable[[Life], Tool[object]]) -> None:
    async def cancel_at(count: int) -> None:
        life, caller = Life(), Caller()
        task = asyncio.create_task(caller.call(replace(kind(life), timeout=0.5), "{}", Context(None)))
        await asyncio.sleep(0.5)
        await steps(count)
        won = task.cancel()
        how = await ended(task)
        assert how == ("cancelled" if won else "returned")
        assert life.entered == life.left
        assert len(caller.stragglers) == 0
        alone()

    async def main() -> None:
        for count in range(10):
            await cancel_at(count)

    quietly(main())


def test_an_asyncio_timeout_around_a_call_fires_as_itself_after_the_clean_up() -> None:
    async def main() -> None:
        life = Life()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.25):
                await Caller().call(cleaning(life), "{}", Context(None))
        assert asyncio.get_running_loop().time() == pytest.approx(1.25)
        assert life.left == 1
        current = asyncio.current_task()
        assert current is not None
        assert current.cancelling() == 0
        await asyncio.sleep(1)  # and no cancel is left over

    quietly(main())


def test_a_failing_sibling_in_a_task_group_is_the_only_error_of_the_group() -> None:
    async def fail() -> None:
        await asyncio.sleep(0.25)
        raise ValueError("sibling")

    async def main() -> None:
        lives = [Life() for _ in KINDS]
        caller = Caller()

        async def siblings() -> None:
            async with asyncio.TaskGroup() as group:
                for kind, life in zip(KINDS, lives, strict=True):
                    group.create_task(caller.call(kind(life), "{}", Context(None)))
                group.create_task(fail())
                await caller.call(simple(Life()), "{}", Context(None))

        with pytest.raises(ExceptionGroup) as caught:
            await siblings()
        assert [str(error) for error in caught.value.exceptions] == ["sibling"]
        assert all(life.entered == life.left for life in lives)
        current = asyncio.current_task()
        assert current is not None
        assert current.cancelling() == 0
        await asyncio.sleep(1)

    quietly(main())


def test_a_tool_that_fails_stops_none_of_its_siblings() -> None:
    async def main() -> None:
        caller, life = Caller(), Life()
        async with asyncio.TaskGroup() as group:
            bad = [group.create_task(caller.call(failing(Life()), "{}", Context(None))) for _ in range(3)]
            good = group.create_task(caller.call(cleaning(life), "{}", Context(None)))
        assert {call.result().status for call in bad} == {"error"}
        assert good.result() == ToolOutcome("ok", "done", None, 2.0)

    quietly(main())


@pytest.mark.parametrize("kind", [failing, swallowing])
def test_a_tool_that_ends_in_its_own_way_within_the_grace_is_told_as_too_late(
    kind: Callable[[Life], Tool[object]],
) -> None:
    async def main() -> None:
        made = replace(kind(Life()), timeout=0.5)
        outcome = await Caller().call(made, "{}", Context(None))
        assert outcome.content == f'"{made.name}" was not done in 0.5 s and ended too late: it may have taken effect'

    quietly(main())
