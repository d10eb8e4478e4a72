from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from agentrt.errors import AgentrtError
from agentrt.pipeline.document import Failed
from agentrt.pipeline.stage import Stage


class Thing(msgspec.Struct, frozen=True):
    url: str


class Shelf:
    """What comes next: keeps what it is handed; `open` lets things in."""

    def __init__(self) -> None:
        self.things: list[Thing] = []
        self.ended = 0
        self.open = asyncio.Event()
        self.open.set()

    async def put(self, item: Thing) -> None:
        await self.open.wait()
        self.things.append(item)

    async def end(self) -> None:
        self.ended += 1


def stage(work: Callable[[Thing], Awaitable[Thing]], workers: int = 3, queue_size: int = 2) -> Stage[Thing, Thing]:
    return Stage("press", work, workers=workers, queue_size=queue_size, changed=lambda: None)


async def same(thing: Thing) -> Thing:
    await asyncio.sleep(0)
    return thing


def never(failed: Failed) -> None:
    raise AssertionError(failed)


async def feed(into: Stage[Thing, Thing], count: int) -> None:
    for number in range(count):
        await into.put(Thing(str(number)))
    await into.end()


def test_every_item_is_handed_on_once_and_the_end_after_them() -> None:
    async def main() -> None:
        press, shelf = stage(same), Shelf()
        async with asyncio.TaskGroup() as group:
            group.create_task(feed(press, 50))
            group.create_task(press.run(shelf, never))
        assert sorted(int(thing.url) for thing in shelf.things) == list(range(50))
        assert shelf.ended == 1
        assert (press.counts.queued, press.counts.busy, press.counts.done, press.counts.failed) == (0, 0, 50, 0)

    asyncio.run(main())


def test_no_more_than_the_workers_work_at_once() -> None:
    async def main() -> None:
        working = most = 0

        async def work(thing: Thing) -> Thing:
            nonlocal working, most
            working += 1
            most = max(most, working)
            for _ in range(10):
                await asyncio.sleep(0)
            working -= 1
            return thing

        press = stage(work, workers=3)
        async with asyncio.TaskGroup() as group:
            group.create_task(feed(press, 30))
            group.create_task(press.run(Shelf(), never))
        assert most == 3

    asyncio.run(main())


def test_a_slow_neighbour_holds_back_who_feeds() -> None:
    async def main() -> None:
        press, shelf = stage(same, workers=2, queue_size=3), Shelf()
        shelf.open.clear()
        async with asyncio.TaskGroup() as group:
            group.create_task(feed(press, 50))
            group.create_task(press.run(shelf, never))
            for _ in range(200):
                await asyncio.sleep(0)
            assert (press.counts.queued, press.counts.done) == (3, 2)
            shelf.open.set()
        assert len(shelf.things) == 50

    asyncio.run(main())


def test_an_item_that_fails_is_named_and_the_others_go_on() -> None:
    async def work(thing: Thing) -> Thing:
        if thing.url == "3":
            raise AgentrtError("the third is not allowed")
        if thing.url == "4":
            raise KeyError("fourth")
        return thing

    async def main() -> None:
        failures: list[Failed] = []
        press, shelf = stage(work), Shelf()
        async with asyncio.TaskGroup() as group:
            group.create_task(feed(press, 6))
            group.create_task(press.run(shelf, failures.append))
        assert sorted(thing.url for thing in shelf.things) == ["0", "1", "2", "5"]
        assert failures == [
            Failed("3", "press", "the third is not allowed"),
            Failed("4", "press", "KeyError: 'fourth'"),
        ]
        assert (press.counts.done, press.counts.failed) == (4, 2)

    asyncio.run(main())
