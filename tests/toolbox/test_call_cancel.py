"""What the cancellation contract promises of one call, tried at every step of the loop."""

from __future__ import annotations

import asyncio
import gc
import itertools
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from agentrt.testing.virtual import run_virtual
from agentrt.toolbox.call import Caller, ToolOutcome
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool, tool
from agentrt.toolbox.threads import DaemonThreads

T = TypeVar("T")


class Told:
    """What asyncio would have logged."""

    def __init__(self) -> None:
        self.errors: list[dict[str, Any]] = []

    def __call__(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(context)


def quietly(main: Coroutine[Any, Any, T], run: Callable[[Coroutine[Any, Any, T]], T] = run_virtual) -> T:
    """Run to the end; no task but `main`'s may be left, and asyncio must have nothing to complain of."""
    told = Told()

    async def watched() -> T:
        asyncio.get_running_loop().set_exception_handler(told)
        result = await main
        alone()
        return result

    result = run(watched())
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


# ---- stragglers ------------------------------------------------------------------------------------


def stubborn(life: Life, seconds: float = 10) -> Tool[object]:
    """Swallows every cancel until its time has come."""

    @tool(timeout=1)
    async def stubborn() -> str:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        with life:
            while (left := until - loop.time()) > 0:
                try:
                    await asyncio.sleep(left)
                except asyncio.CancelledError:
                    continue
        return "at last"

    return stubborn


def test_what_does_not_stop_within_the_grace_is_named_until_it_ends() -> None:
    async def main() -> None:
        life, caller = Life(), Caller(grace=2.0)
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(caller.call(stubborn(life), "{}", Context(None, run_id="r1")))
        await asyncio.sleep(0.5)
        task.cancel()
        assert await ended(task) == "cancelled"
        assert loop.time() == pytest.approx(2.5)
        assert (len(caller.stragglers), caller.stragglers.names) == (1, ("stubborn",))
        assert (caller.stragglers.of("r1"), caller.stragglers.of("r2")) == (("stubborn",), ())
        await asyncio.sleep(10)
        assert (life.left, len(caller.stragglers), caller.stragglers.names) == (1, 0, ())

    quietly(main())


def test_a_timeout_lets_a_straggler_go_after_the_grace_and_says_so() -> None:
    async def main() -> None:
        caller = Caller(grace=2.0)
        outcome = await caller.call(stubborn(Life()), "{}", Context(None))
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
        task = asyncio.create_task(caller.call(stubborn(Life()), "{}", Context(None)))
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
        task = asyncio.create_task(caller.call(stubborn(Life()), "{}", Context(None)))
        await asyncio.sleep(0.5)
        for _ in range(100):
            task.cancel()
            await asyncio.sleep(0)
        assert task.cancelled()
        await asyncio.sleep(20)

    quietly(main())


def test_even_without_a_grace_a_tool_that_stops_at_once_is_no_straggler() -> None:
    async def main() -> None:
        caller = Caller(grace=0)
        task = asyncio.create_task(caller.call(simple(Life()), "{}", Context(None)))
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
                group.create_task(caller.call(stubborn(Life()), "{}", Context(None, run_id=f"r{number % 2}")))
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


# ---- plain functions -------------------------------------------------------------------------------


class Held:
    """A plain function that runs until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.gate = threading.Event()
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        self.begun.set()
        assert self.gate.wait(30)
        return "done"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in a thread
            await asyncio.sleep(0)


def with_threads(main: Callable[[Caller], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        caller = Caller(**options)
        try:
            await main(caller)
        finally:
            caller.close()

    quietly(run(), run=asyncio.run)


def test_a_cancelled_call_waits_the_grace_for_its_function_and_then_names_it() -> None:
    held = Held()

    async def main(caller: Caller) -> None:
        task = asyncio.create_task(caller.call(tool(held, name="held"), "{}", Context(None)))
        await until(held.begun.is_set)
        task.cancel()
        assert await ended(task) == "cancelled"
        assert caller.stragglers.names == ("held",)
        held.gate.set()
        await until(lambda: len(caller.stragglers) == 0)

    with_threads(main, grace=0.02)


def test_a_function_that_ends_within_the_grace_is_no_straggler() -> None:
    held = Held()

    async def main(caller: Caller) -> None:
        task = asyncio.create_task(caller.call(tool(held, name="held"), "{}", Context(None)))
        await until(held.begun.is_set)
        task.cancel()
        await steps(3)
        assert not task.done()
        held.gate.set()
        assert await ended(task) == "cancelled"
        assert len(caller.stragglers) == 0

    with_threads(main, grace=30)


def test_a_cancel_at_any_step_of_a_call_in_a_thread_leaves_nothing() -> None:
    async def cancel_after(caller: Caller, count: int) -> None:
        done: list[int] = []

        @tool
        def quick() -> None:
            done.append(1)

        task = asyncio.create_task(caller.call(quick, "{}", Context(None)))
        await steps(count)
        won = task.cancel()
        assert await ended(task) == ("cancelled" if won else "returned")
        assert len(caller.stragglers) == 0
        assert len(done) <= 1

    async def main(caller: Caller) -> None:
        for count in list(range(12)) * 10:
            await cancel_after(caller, count)

    with_threads(main, grace=30)


def test_a_function_too_slow_times_out_and_its_late_result_is_dropped() -> None:
    held = Held()

    async def main(caller: Caller) -> None:
        outcome = await caller.call(tool(held, name="held", timeout=0.01), "{}", Context(None))
        assert (outcome.status, outcome.code) == ("timeout", "tool_timeout")
        assert "has not stopped: it may still take effect" in outcome.content
        assert caller.stragglers.names == ("held",)
        held.gate.set()
        await until(lambda: len(caller.stragglers) == 0)

    with_threads(main, grace=0.01)


@pytest.mark.parametrize("kind", [failing, swallowing])
def test_a_tool_that_ends_in_its_own_way_within_the_grace_is_told_as_too_late(
    kind: Callable[[Life], Tool[object]],
) -> None:
    async def main() -> None:
        made = replace(kind(Life()), timeout=0.5)
        outcome = await Caller().call(made, "{}", Context(None))
        assert outcome.content == f'"{made.name}" was not done in 0.5 s and ended too late: it may have taken effect'

    quietly(main())


def test_a_call_for_which_no_thread_came_free_says_that_it_was_not_begun() -> None:
    held, never = Held(), Held()

    async def main(caller: Caller) -> None:
        first = asyncio.create_task(caller.call(tool(held, name="held"), "{}", Context(None)))
        await until(held.begun.is_set)
        outcome = await caller.call(tool(never, name="never", timeout=0.01), "{}", Context(None))
        assert outcome.status == "timeout"
        assert outcome.content == '"never" was not done in 0.01 s and was not begun, because all threads were busy'
        assert len(caller.stragglers) == 0
        held.gate.set()
        assert (await first).content == "done"
        assert never.calls == 0

    with_threads(main, threads=DaemonThreads(size=1))


# ---- the end of the process ------------------------------------------------------------------------

HANGS = """
import asyncio, threading
from agentrt.toolbox.call import Caller
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import tool

@tool(timeout=0.05)
def hang() -> None:
    threading.Event().wait()

async def main() -> None:
    caller = Caller(grace=0.05)
    outcome = await caller.call(hang, "{}", Context(None))
    print(outcome.status, *caller.stragglers.names)
    caller.close()

asyncio.run(main())
print("closed")
"""

CTRL_C = """
import asyncio
from agentrt.toolbox.call import Caller
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import tool

@tool
async def interrupted() -> None:
    raise KeyboardInterrupt

try:
    asyncio.run(Caller().call(interrupted, "{}", Context(None)))
except KeyboardInterrupt:
    print("heard")
"""


def printed_by(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_function_that_never_returns_does_not_hold_the_process() -> None:
    # It waits for what never comes, so a process that joined its thread would not end at all.
    assert printed_by(HANGS) == "timeout hang\nclosed\n"


def test_ctrl_c_is_not_taken_for_an_error_of_the_tool_in_which_it_lands() -> None:
    assert printed_by(CTRL_C) == "heard\n"
