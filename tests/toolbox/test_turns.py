"""How calls of one tool take turns, over all runs."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agentrt.events import GateWaited, Passing
from agentrt.testing.virtual import run_virtual
from agentrt.toolbox.call import Caller
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool, tool
from agentrt.toolbox.turns import Places


def now() -> float:
    return asyncio.get_running_loop().time()


def unheard(_: object) -> None:
    pass


class World:
    """A caller, a tool that takes a second, and when its calls began."""

    def __init__(self, **options: Any) -> None:
        self.began: list[tuple[str, float]] = []
        self.inside = self.most = 0
        self.told: list[Passing] = []
        self.caller = Caller(grace=2.0)

        @tool(**options)
        async def work(name: str) -> str:
            self.began.append((name, now()))
            self.inside += 1
            self.most = max(self.most, self.inside)
            try:
                await asyncio.sleep(1)
            finally:
                self.inside -= 1
            return name

        self.tool = work

    async def call(self, name: str, made: Tool[Any] | None = None) -> str:
        made = made or self.tool
        async with self.caller.turn(made, name, self.told.append) as turn:
            outcome = await self.caller.call(made, f'{{"name": "{name}"}}', Context(None, call_id=name), turn=turn)
        return outcome.status

    def waits(self) -> list[tuple[str | None, str, float, float | None]]:
        assert all(isinstance(event, GateWaited) and event.provider == self.tool.name for event in self.told)
        waits = [event for event in self.told if isinstance(event, GateWaited)]
        return [(event.call_id, event.reason, event.waited, event.eta) for event in waits]


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# ---- places ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def taken(places: Places) -> AsyncIterator[None]:
    await places.take()
    try:
        yield
    finally:
        places.give_back()


def test_places_go_to_who_came_first() -> None:
    order: list[int] = []

    async def main() -> None:
        places = Places(2)

        async def use(number: int) -> None:
            async with taken(places):
                order.append(number)
                await asyncio.sleep(1)

        async with asyncio.TaskGroup() as group:
            for number in range(7):
                group.create_task(use(number))
        assert now() == 4
        assert places.free()

    run_virtual(main())
    assert order == list(range(7))


def test_a_newcomer_does_not_overtake_who_was_just_given_a_place() -> None:
    order: list[str] = []

    async def main() -> None:
        places = Places(1)
        await places.take()

        async def use(name: str) -> None:
            async with taken(places):
                order.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(use("waited"))
            await steps(2)
            places.give_back()
            assert not places.free()
            group.create_task(use("came"))

    run_virtual(main())
    assert order == ["waited", "came"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_cancel_around_the_moment_a_place_is_given_loses_none(when: str) -> None:
    async def main(count: int) -> None:
        places = Places(1)
        await places.take()
        first, second = asyncio.create_task(places.take()), asyncio.create_task(places.take())
        await steps(2)
        cuts: list[Callable[[], object]] = [first.cancel, places.give_back]
        for cut in cuts if when == "before" else reversed(cuts):
            cut()
            await steps(count)
        await steps(5)
        if not first.cancelled():
            places.give_back()
        await second
        places.give_back()
        assert places.free()

    for count in range(4):
        run_virtual(main(count))


def test_cancels_at_any_steps_of_many_who_wait_lose_no_place() -> None:
    async def main(gap: int, every: int) -> None:
        places = Places(2)
        inside = 0

        async def use() -> None:
            nonlocal inside
            async with taken(places):
                inside += 1
                assert inside <= 2
                try:
                    await asyncio.sleep(0)
                    await asyncio.sleep(1)
                finally:
                    inside -= 1

        tasks = [asyncio.create_task(use()) for _ in range(12)]
        for task in tasks[::every]:
            await steps(gap)
            task.cancel()
        await asyncio.wait(tasks)
        await places.take()
        await places.take()
        assert not places.free()

    for gap in range(5):
        for every in (1, 2, 3):
            run_virtual(main(gap, every))


# ---- turns -----------------------------------------------------------------------------------------------


def test_so_many_calls_run_at_once_and_the_others_wait_in_line_and_say_so() -> None:
    async def main() -> World:
        world = World(concurrency=2)
        async with asyncio.TaskGroup() as group:
            for name in "abcde":
                group.create_task(world.call(name))
        return world

    world = run_virtual(main())
    assert world.most == 2
    assert world.began == [("a", 0), ("b", 0), ("c", 1), ("d", 1), ("e", 2)]
    assert world.waits() == [
        *((name, "concurrency", 0.0, None) for name in "cde"),
        *((name, "concurrency", waited, 0.0) for name, waited in (("c", 1.0), ("d", 1.0), ("e", 2.0))),
    ]


def test_the_timeout_begins_when_the_turn_does() -> None:
    async def main() -> None:
        world = World(concurrency=1, timeout=1.5)
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(world.call(name)) for name in "abc"]
        assert [call.result() for call in calls] == ["ok"] * 3

    run_virtual(main())


def test_a_rate_alone_is_kept_as_well_and_waits_are_told_as_of_the_rate() -> None:
    async def main() -> World:
        world = World(rate=(1, 2))
        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(world.call(name))
        return world

    world = run_virtual(main())
    assert [began for _, began in world.began] == pytest.approx([0, 2, 4], abs=1e-3)
    assert {(name, reason) for name, reason, _, _ in world.waits()} == {("b", "rate"), ("c", "rate")}


def test_who_waited_for_a_place_keeps_the_pace_after_that_and_never_begins_in_a_burst() -> None:
    async def main() -> World:
        world = World(rate=(1, 0.5), concurrency=2)

        async with asyncio.TaskGroup() as group:
            for name in "abcdef":
                group.create_task(world.call(name))
        return world

    world = run_virtual(main())
    begins = [began for _, began in world.began]
    assert world.most == 2
    assert all(later - earlier >= 0.499 for earlier, later in itertools.pairwise(begins))
    assert [name for name, _ in world.began] == list("abcdef")


def test_each_tool_has_a_lane_of_its_own_and_a_tool_without_limits_has_none() -> None:
    async def main() -> None:
        world, other = World(concurrency=1), World(concurrency=1)
        free = World()
        async with asyncio.TaskGroup() as group:
            for made in (world.tool, other.tool, free.tool, free.tool):
                group.create_task(world.call("a", made))
        assert now() == 1
        assert len(world.caller._lanes) == 2
        del made, other
        gc.collect()
        assert len(world.caller._lanes) == 1, "a tool that is gone has no lane"

    run_virtual(main())


def test_a_cancel_at_any_step_gives_the_place_to_the_next() -> None:
    async def main(count: int, second: bool) -> None:
        world = World(concurrency=1, rate=(1, 0.1))
        tasks = [asyncio.create_task(world.call(name)) for name in "abc"]
        await steps(count)
        if second:
            await asyncio.sleep(1)
            await steps(count)
        tasks[1 if second else 0].cancel()
        await asyncio.wait(tasks)
        assert world.most == 1
        assert await world.call("d") == "ok"
        assert world.inside == 0

    for count in range(10):
        for second in (False, True):
            run_virtual(main(count, second))


def test_who_is_cancelled_while_it_waits_for_the_pace_gives_its_place_back() -> None:
    async def main() -> None:
        world = World(concurrency=2, rate=(1, 10))
        tasks = [asyncio.create_task(world.call(name)) for name in "abc"]
        await asyncio.sleep(2)
        for task in tasks[1:]:
            task.cancel()
        await asyncio.wait(tasks)
        places = world.caller._lanes[world.tool].places
        assert places is not None
        await places.take()
        await places.take()
        assert not places.free()

    run_virtual(main())


def test_a_wait_that_is_cancelled_is_told_as_over() -> None:
    async def main() -> list[Any]:
        world = World(concurrency=1)
        tasks = [asyncio.create_task(world.call(name)) for name in "ab"]
        await asyncio.sleep(0.25)
        tasks[1].cancel()
        await asyncio.wait(tasks)
        return world.waits()

    assert run_virtual(main()) == [("b", "concurrency", 0.0, None), ("b", "concurrency", 0.25, 0.0)]


def stubborn(**options: Any) -> Tool[object]:
    """Swallows every cancel for 10 s."""

    @tool(timeout=1, concurrency=1, **options)
    async def stubborn(name: str) -> str:
        until = now() + 10
        while (left := until - now()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue
        return "at last"

    return stubborn


@pytest.mark.parametrize("end", ["timeout", "cancel"])
def test_a_call_that_would_not_stop_keeps_its_place_until_it_ends(end: str) -> None:
    async def main() -> None:
        world, made = World(), stubborn()
        first = asyncio.create_task(world.call("a", made))
        await asyncio.sleep(0.5)
        if end == "cancel":
            first.cancel()
        second = asyncio.create_task(world.call("b", made))
        await asyncio.wait([first])
        assert world.caller.stragglers.names == ("stubborn",)
        await asyncio.sleep(6)
        assert len(world.caller.stragglers) == 1, "the second has not begun"
        await second
        assert now() == pytest.approx(10 + 3)
        await asyncio.sleep(20)
        assert len(world.caller.stragglers) == 0
        assert await world.call("c", made) == "timeout"
        await asyncio.sleep(20)

    run_virtual(main())


def test_an_error_between_the_turn_and_the_call_gives_the_place_back() -> None:
    async def main() -> None:
        world = World(concurrency=1)

        async def failing() -> None:
            async with world.caller.turn(world.tool, "a", unheard):
                raise KeyError("x")

        for _ in range(3):
            with pytest.raises(KeyError):
                await failing()
        assert await world.call("b") == "ok"

    run_virtual(main())


def test_a_call_without_a_turn_heeds_no_limit() -> None:
    async def main() -> None:
        world = World(concurrency=1, rate=(1, 10))
        async with asyncio.TaskGroup() as group:
            calls: list[Awaitable[Any]] = [
                group.create_task(world.caller.call(world.tool, '{"name": "a"}', Context(None))) for _ in range(3)
            ]
        assert (now(), len(calls)) == (1, 3)

    run_virtual(main())
