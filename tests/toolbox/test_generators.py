"""Async generators as tools, called as tools are."""

from __future__ import annotations

import asyncio
import functools
import gc
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from agentrt.testing.virtual import run_virtual
from agentrt.toolbox.call import Caller
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool, tool
from agentrt.toolbox.outcome import ToolOutcome


class Heard:
    """What was told, and when."""

    def __init__(self) -> None:
        self.said: list[tuple[float, Any]] = []

    def __call__(self, data: Any) -> None:
        self.said.append((asyncio.get_running_loop().time(), data))


def call(made: Tool[Any], arguments: str = "{}") -> tuple[ToolOutcome, list[tuple[float, Any]]]:
    heard, wrong = Heard(), list[dict[str, Any]]()

    async def main() -> ToolOutcome:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
        outcome = await Caller().call(made, arguments, Context(None, tell=heard))
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return outcome

    outcome = run_virtual(main())
    gc.collect()
    assert wrong == []
    return outcome, heard.said


def test_each_value_is_told_when_it_comes_and_the_last_is_the_result() -> None:
    @tool
    async def climb(to: int) -> AsyncIterator[dict[str, int]]:
        for step in range(to):
            yield {"step": step}
            await asyncio.sleep(1)
        yield {"top": to}

    outcome, said = call(climb, '{"to": 3}')
    assert outcome == ToolOutcome("ok", '{"top":3}', None, 3.0)
    assert said == [(0.0, {"step": 0}), (1.0, {"step": 1}), (2.0, {"step": 2})]


def test_values_without_a_wait_between_them_are_told_in_order_and_the_last_is_not() -> None:
    @tool
    async def count() -> AsyncIterator[int]:
        for number in range(5):
            yield number

    outcome, said = call(count)
    assert outcome.content == "4"
    assert [data for _, data in said] == [0, 1, 2, 3]


def test_a_value_before_a_wait_may_be_the_last_so_it_is_told_and_is_the_result() -> None:
    @tool
    async def closing() -> AsyncIterator[str]:
        yield "found"
        await asyncio.sleep(1)

    assert call(closing) == (ToolOutcome("ok", "found", None, 1.0), [(0.0, "found")])


def test_a_generator_that_yields_nothing_has_the_result_null() -> None:
    @tool
    async def nothing(value: bool = False) -> AsyncIterator[int]:
        await asyncio.sleep(1)
        if value:
            yield 1

    assert call(nothing) == (ToolOutcome("ok", "null", None, 1.0), [])


def test_a_value_is_lowered_when_it_is_yielded_whatever_becomes_of_it() -> None:
    @tool
    async def one_list() -> AsyncIterator[list[int]]:
        growing: list[int] = []
        for number in range(3):
            growing.append(number)
            yield growing
            await asyncio.sleep(1)

    outcome, said = call(one_list)
    assert outcome.content == "[0,1,2]"
    assert [data for _, data in said] == [[0], [0, 1], [0, 1, 2]]


def test_a_value_without_json_form_ends_the_call_and_closes_the_generator() -> None:
    closed: list[float] = []

    @tool
    async def locks() -> AsyncIterator[Any]:
        try:
            yield "begun"
            yield threading.Lock()
        finally:
            await asyncio.sleep(1)
            closed.append(asyncio.get_running_loop().time())

    outcome, said = call(locks)
    assert (outcome.status, outcome.code) == ("error", "result_invalid")
    assert outcome.content.startswith("what the tool yielded cannot be shown: lock has no JSON form")
    assert said == [(0.0, "begun")]
    assert closed == [1.0]


def test_a_generator_that_fails_has_told_what_it_yielded() -> None:
    @tool
    async def failing() -> AsyncIterator[str]:
        yield "first"
        yield "second"
        raise ValueError("third")

    outcome, said = call(failing)
    assert (outcome.status, outcome.content) == ("error", "ValueError: third")
    assert [data for _, data in said] == ["first", "second"]


def test_the_context_comes_first_and_what_it_emits_keeps_its_place() -> None:
    @tool
    async def both(context: Context[None], count: int) -> AsyncIterator[int]:
        for number in range(count):
            yield number
            await asyncio.sleep(1)
            await context.emit(f"after {number}")
        yield -1

    outcome, said = call(both, '{"count": 2}')
    assert outcome.content == "-1"
    assert [data for _, data in said] == [0, "after 0", 1, "after 1"]


class Counter:
    async def __call__(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number


def test_methods_partials_and_objects_that_generate_are_tools_too() -> None:
    counter = Counter()
    for made in (
        tool(counter, name="count"),
        tool(counter.__call__, name="count"),
        tool(functools.partial(counter.__call__), name="count"),
    ):
        assert made.run_in == "loop"
        assert call(made, '{"to": 3}')[0].content == "2"


# ---- the end -------------------------------------------------------------------------------------------


class Life:
    def __init__(self) -> None:
        self.entered = self.left = 0


def waiting(life: Life) -> Tool[object]:
    @tool(timeout=5)
    async def waiting() -> AsyncIterator[int]:
        life.entered += 1
        try:
            for number in range(4):
                yield number
                await asyncio.sleep(0)
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.5)
            life.left += 1

    return waiting


def spinning(life: Life) -> Tool[object]:
    """It never waits by itself, so it can only be cancelled between two values."""

    @tool(timeout=5)
    async def spinning() -> AsyncIterator[int]:
        life.entered += 1
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0.5)
            life.left += 1

    return spinning


@pytest.mark.parametrize("kind", [waiting, spinning])
def test_a_cancel_at_any_step_runs_its_finally_within_the_grace(kind: Callable[[Life], Tool[object]]) -> None:
    async def main(count: int) -> Life:
        life, caller = Life(), Caller()
        task = asyncio.create_task(caller.call(kind(life), "{}", Context(None)))
        for _ in range(count):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert len(caller.stragglers) == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return life

    lives = [run_virtual(main(count)) for count in range(20)]
    assert all(life.entered == life.left for life in lives)
    assert sum(life.entered for life in lives) >= 17


def test_a_timeout_runs_its_finally_within_the_grace() -> None:
    life = Life()
    outcome, _ = call(waiting(life))
    assert outcome == ToolOutcome("timeout", '"waiting" was not done in 5 s and was stopped', "tool_timeout", 5.5)
    assert life.left == 1


def test_one_that_yields_on_in_spite_of_its_end_has_ended_all_the_same() -> None:
    @tool(timeout=5)
    async def stubborn() -> AsyncIterator[int]:
        while True:
            try:
                yield 1
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                yield 2
                await asyncio.sleep(0.25)
                return

    outcome, _ = call(stubborn)
    assert (outcome.status, outcome.seconds) == ("timeout", 5.25)
    assert outcome.content.endswith("ended too late: it may have taken effect")
