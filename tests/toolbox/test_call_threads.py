"""Calls of plain functions: they cannot be stopped, and must not hold the run or the process."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from agentrt.toolbox.call import Caller
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import tool
from agentrt.toolbox.threads import DaemonThreads


class Told:
    """What asyncio would have logged."""

    def __init__(self) -> None:
        self.errors: list[dict[str, Any]] = []

    def __call__(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(context)


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def ended(task: asyncio.Task[Any]) -> str:
    """Wait for a task's end and name it."""
    await asyncio.wait([task])
    if task.cancelled():
        return "cancelled"
    return type(error).__name__ if (error := task.exception()) else "returned"


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
    """Run in real time; no task may be left, and asyncio must have nothing to complain of."""
    told = Told()

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(told)
        caller = Caller(**options)
        try:
            await main(caller)
        finally:
            caller.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
    gc.collect()
    assert told.errors == []


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
