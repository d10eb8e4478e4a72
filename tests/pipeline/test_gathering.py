from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from agentrt.errors import AgentrtError
from agentrt.pipeline.batcher import Batcher
from agentrt.pipeline.gathering import Gathering, Together
from agentrt.pipeline.stage import Stage
from agentrt.testing import run_virtual


class Press:
    """Takes a second for a batch; remembers when which began."""

    def __init__(self, group: asyncio.TaskGroup, *, most: int, seconds: float, places: int = 1) -> None:
        self.began: list[tuple[float, tuple[int, ...]]] = []
        self.loop = asyncio.get_running_loop()
        batcher = Batcher[int](most=most, weight=most, seconds=seconds)
        self.gathering = Gathering(batcher, self.work, Stage("press", places, lambda: None, batches=True), group)

    async def work(self, items: tuple[int, ...]) -> None:
        self.began.append((self.loop.time(), items))
        await asyncio.sleep(1)

    def hand_in(self, *items: int) -> None:
        for item in items:
            self.gathering.hand_in(item)


def test_a_full_batch_begins_at_once_and_the_rest_at_its_time() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            press = Press(group, most=3, seconds=5, places=2)
            press.hand_in(1, 2, 3, 4)
            await asyncio.sleep(9)
        assert press.began == [(0, (1, 2, 3)), (5, (4,))]

    run_virtual(main())


def test_while_all_places_are_taken_a_batch_goes_on_filling() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            press = Press(group, most=99, seconds=0)
            press.hand_in(1)
            await asyncio.sleep(0.5)
            press.hand_in(2, 3)
            await asyncio.sleep(0.2)
            press.hand_in(4)
            await asyncio.sleep(9)
        assert press.began == [(0, (1,)), (1, (2, 3, 4))]

    run_virtual(main())


def test_full_batches_wait_for_a_place_in_their_order() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            press = Press(group, most=2, seconds=0.1)
            press.hand_in(1, 2, 3, 4, 5, 6, 7)
            await asyncio.sleep(9)
        assert press.began == [(0, (1, 2)), (1, (3, 4)), (2, (5, 6)), (3, (7,))]

    run_virtual(main())


def test_a_flush_does_not_wait_for_the_time() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            press = Press(group, most=9, seconds=60)
            press.hand_in(1, 2)
            press.gathering.flush()
            press.gathering.flush()
            await asyncio.sleep(1.5)
            press.hand_in(3)
            press.gathering.close()
        assert press.began == [(0, (1, 2))]
        assert press.loop.time() < 10

    run_virtual(main())


async def halves(numbers: Sequence[int]) -> list[int | Exception]:
    await asyncio.sleep(1)
    if 13 in numbers:
        raise AgentrtError("not thirteen")
    return [ValueError(str(number)) if number % 2 else number // 2 for number in numbers]


def test_each_who_asked_is_told_its_own_answer_or_error() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            stage = Stage("ask", 1, lambda: None, batches=True)
            asking = Together(Batcher(most=99, weight=99, seconds=0.1), halves, stage, group)

            async def ask(number: int) -> object:
                try:
                    return await asking.ask(number)
                except (ValueError, AgentrtError) as error:
                    return str(error)

            tasks = [group.create_task(ask(number)) for number in (2, 3, 8)]
            gone = group.create_task(asking.ask(5))
            await asyncio.sleep(0.5)
            gone.cancel()
            await asyncio.sleep(2)
            assert [task.result() for task in tasks] == [1, "3", 4]
            tasks = [group.create_task(ask(number)) for number in (2, 13)]
            await asyncio.sleep(2)
            assert [task.result() for task in tasks] == ["not thirteen", "not thirteen"]

    run_virtual(main())


def test_what_is_no_error_of_ours_ends_the_group() -> None:
    async def broken(numbers: Sequence[int]) -> list[int | Exception]:
        raise KeyError(len(numbers))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            stage = Stage("ask", 1, lambda: None, batches=True)
            await Together(Batcher(most=1, weight=1, seconds=0), broken, stage, group).ask(1)

    with pytest.raises(ExceptionGroup) as caught:
        run_virtual(main())
    assert isinstance(caught.value.exceptions[0], KeyError)


def test_a_batch_that_is_full_as_its_group_is_left_does_not_begin() -> None:
    async def main() -> None:
        presses: list[Press] = []

        async def hands_in_late() -> None:
            try:
                await asyncio.sleep(99)
            finally:
                presses[0].hand_in(1)

        async def left_in_trouble() -> None:
            async with asyncio.TaskGroup() as group:
                presses.append(Press(group, most=1, seconds=5))
                group.create_task(hands_in_late())
                await asyncio.sleep(1)
                raise AgentrtError("a sibling failed")

        with pytest.raises(ExceptionGroup) as left:
            await left_in_trouble()
        assert [str(error) for error in left.value.exceptions] == ["a sibling failed"]
        assert presses[0].began == []

    run_virtual(main())
