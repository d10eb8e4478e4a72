from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from random import Random

import pytest

from agentrt.testing.virtual import Deadlock, Runaway, VirtualLoop, run_virtual


def test_an_hour_passes_at_once_and_exactly() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        before = loop.time()
        for _ in range(3600):
            await asyncio.sleep(1.0)
        return loop.time() - before

    assert run_virtual(main()) == pytest.approx(3600.0, abs=1e-6)


def test_tasks_that_sleep_side_by_side_cost_the_longest() -> None:
    async def main() -> float:
        async with asyncio.TaskGroup() as group:
            for n in range(10):
                group.create_task(asyncio.sleep(0.1 * n))
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(0.9, abs=1e-6)


def test_timeouts_fire_in_virtual_time() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(600):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == pytest.approx(600.0, abs=1e-6)


def test_a_program_that_would_hang_is_an_error_that_names_its_tasks() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="Task-"):
        run_virtual(main())


def test_a_program_that_spins_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentrt.testing.virtual.SPIN_LIMIT", 1000)

    async def main() -> None:
        while True:  # noqa: ASYNC110 - spinning is the point
            await asyncio.sleep(0)

    with pytest.raises(Runaway, match="no time passes"):
        run_virtual(main())


@pytest.mark.parametrize("reach", ["executor", "socket"])
def test_what_lives_outside_the_clock_is_refused(reach: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        if reach == "executor":
            await asyncio.to_thread(print)
        else:
            with socket.socket() as sock:
                await loop.sock_connect(sock, ("127.0.0.1", 9))

    with pytest.raises(RuntimeError, match="outside the virtual clock"):
        run_virtual(main())


def test_a_call_at_a_step_comes_between_two_steps_and_takes_no_time() -> None:
    told: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.at_step(2, lambda: told.append(f"cut in at {loop.time()} s"))
        for step in range(3):
            told.append(f"step {step}")
            await asyncio.sleep(0)

    run_virtual(main())
    assert told == ["step 0", "step 1", "cut in at 0.0 s", "step 2"]


def test_a_call_at_a_step_wakes_who_would_wait_for_ever() -> None:
    async def main() -> float:
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        assert isinstance(loop, VirtualLoop)
        loop.call_later(60, lambda: None)
        loop.at_step(1, woken.set)
        await woken.wait()
        return loop.time()

    assert run_virtual(main()) == 0.0


def test_a_timer_whose_moment_a_rounding_error_puts_off_fires_all_the_same() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        came = loop.create_future()
        moment = loop.time() + 1.0

        def look() -> None:
            if loop.time() > moment:  # never, on a clock that stands still between two looks
                came.set_result(None)
            else:
                loop.call_at(moment, look)

        look()
        await came
        return loop.time()

    assert run_virtual(main()) == pytest.approx(1.0, abs=1e-5)


def test_timers_that_are_set_for_now_without_end_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentrt.testing.virtual.SPIN_LIMIT", 1000)

    async def main() -> None:
        while True:  # noqa: ASYNC110 - spinning is the point
            await asyncio.sleep(1e-30)

    with pytest.raises(Runaway, match="no time passes"):
        run_virtual(main(), start=1.0)


def order_of(seed: int) -> list[str]:
    """In which order three tasks begin that are made together, and go on once they are woken together."""
    told: list[str] = []

    async def one(name: str, woken: asyncio.Event) -> None:
        told.append(f"{name} begins")
        await woken.wait()
        told.append(f"{name} goes on")

    async def main() -> None:
        woken = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(one(name, woken))
            await asyncio.sleep(1)
            woken.set()

    run_virtual(main(), order=Random(seed))
    return told


def test_lots_are_drawn_among_the_tasks_that_are_ready_together() -> None:
    orders = {tuple(order_of(seed)) for seed in range(200)}
    assert len(orders) == 36  # six ways to begin, and of each six to go on
    assert order_of(3) == order_of(3)


@pytest.mark.parametrize("seed", range(10))
def test_callbacks_keep_their_order_and_no_task_changes_places_with_one(seed: int) -> None:
    told: list[str] = []

    def saying(text: str) -> Callable[[object], None]:
        return lambda _: told.append(text)

    async def waiter(name: str, future: asyncio.Future[None]) -> None:
        await future
        told.append(name)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        async with asyncio.TaskGroup() as group:
            group.create_task(waiter("task", future))
            await asyncio.sleep(1)
            for n in range(3):
                future.add_done_callback(saying(f"told behind {n}"))
            for n in range(3):
                loop.call_soon(told.append, f"callback {n}")
            future.set_result(None)
            loop.call_soon(told.append, "last")

    run_virtual(main(), order=Random(seed))
    assert told == [*(f"callback {n}" for n in range(3)), "task", *(f"told behind {n}" for n in range(3)), "last"]


@pytest.mark.parametrize("seed", range(10))
def test_a_task_begins_before_whoever_made_it_goes_on(seed: int) -> None:
    async def main() -> None:
        begun: list[int] = []

        async def begin(n: int) -> None:
            begun.append(n)

        async def maker(n: int) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(begin(n))
                await asyncio.sleep(0)
                assert n in begun

        async with asyncio.TaskGroup() as group:
            for n in range(5):
                group.create_task(maker(n))

    run_virtual(main(), order=Random(seed))


def test_a_method_of_a_task_that_a_program_schedules_is_a_callback() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(20):
            victim, other = loop.create_task(asyncio.sleep(1)), loop.create_task(asyncio.sleep(0))
            await asyncio.sleep(0)
            loop.call_soon(victim.cancel)
            await asyncio.wait([victim, other])
            assert victim.cancelled()

    run_virtual(main(), order=Random(1))
