from __future__ import annotations

import asyncio

import pytest

from agentrt.pipeline.stage import Left, Stage
from agentrt.testing import run_virtual


def stage(places: int, *, batches: bool = False) -> Stage:
    return Stage("press", places, lambda: None, batches=batches)


def test_so_many_are_worked_on_and_the_others_wait_in_line() -> None:
    async def main() -> None:
        press, order = stage(2), list[int]()

        async def pass_by(number: int) -> None:
            with press.visit():
                async with press.place():
                    order.append(number)
                    assert press.counts.busy <= 2
                    await asyncio.sleep(1)

        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(pass_by(number))
            await asyncio.sleep(0.5)
            assert (press.counts.queued, press.counts.busy, press.counts.done) == (4, 2, 0)
        counts = press.counts
        assert order == list(range(6))
        assert (counts.queued, counts.busy, counts.done, counts.failed) == (0, 0, 6, 0)
        assert counts.worked == pytest.approx(6)
        assert counts.waited == pytest.approx(4 + 2)

    run_virtual(main())


def test_who_fails_is_counted_and_who_leaves_or_is_cancelled_is_not() -> None:
    async def main() -> None:
        press = stage(1)
        for error, failed in ((ValueError(), 1), (Left(), 1), (asyncio.CancelledError(), 1)):
            with pytest.raises(type(error)), press.visit():
                raise error
            assert (press.counts.failed, press.counts.done, press.present) == (failed, 0, 0)

    run_virtual(main())


def test_one_that_goes_on_ends_the_row_of_failures() -> None:
    async def main() -> None:
        press = stage(1)
        press.in_a_row = 7
        with press.visit():
            assert press.in_a_row == 7
        assert press.in_a_row == 0

    run_virtual(main())


def test_in_batches_documents_are_queued_until_they_go_on() -> None:
    async def main() -> None:
        press = stage(2, batches=True)
        with press.visit(), press.visit():
            press.begin()
            await asyncio.sleep(3)
            assert (press.counts.queued, press.counts.busy) == (2, 1)
            press.finish()
        assert (press.counts.waited, press.counts.worked) == (6, 3)

    run_virtual(main())
