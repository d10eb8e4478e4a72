from __future__ import annotations

import asyncio
from contextlib import suppress

from agentrt.pipeline.room import Room
from agentrt.testing import run_virtual


def test_there_is_never_more_in_than_there_is_room_for_and_the_line_is_kept() -> None:
    async def main() -> None:
        room, inside, most, order = Room(10), 0, 0, list[int]()

        async def stay(number: int, size: int) -> None:
            nonlocal inside, most
            await room.take(size)
            order.append(number)
            inside += size
            most = max(most, inside)
            await asyncio.sleep(1 + number % 3)
            inside -= size
            room.give(size)

        async with asyncio.TaskGroup() as group:
            for number in range(30):
                group.create_task(stay(number, 1 + number * 7 % 10))
        assert most == 10
        assert order == list(range(30))

    run_virtual(main())


def test_what_is_larger_than_the_whole_gets_in_alone() -> None:
    async def main() -> None:
        room, loop = Room(10), asyncio.get_running_loop()
        await room.take(3)
        loop.call_later(5, room.give, 3)
        await room.take(99)
        assert loop.time() == 5

    run_virtual(main())


def test_what_is_held_for_a_block_is_given_back_however_the_block_ends() -> None:
    async def main() -> None:
        room = Room(10)

        async def stay() -> None:
            async with room.held(10):
                await asyncio.sleep(9)

        async with asyncio.TaskGroup() as group:
            inside, waiting = group.create_task(stay()), group.create_task(stay())
            await asyncio.sleep(1)
            inside.cancel()
            await asyncio.sleep(1)
            assert not waiting.done()
        with suppress(KeyError):
            async with room.held(10):
                raise KeyError
        await room.take(10)
        assert asyncio.get_running_loop().time() == 10

    run_virtual(main())


def test_a_cancelled_waiter_takes_nothing() -> None:
    async def main() -> None:
        room = Room(10)
        await room.take(8)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(room.take(5))
            await asyncio.sleep(1)
            waiting.cancel()
        room.give(8)
        await room.take(10)

    run_virtual(main())
