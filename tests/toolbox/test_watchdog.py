from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any

import pytest

from agentrt.errors import SettingInvalid
from agentrt.testing.virtual import run_virtual
from agentrt.toolbox.watchdog import Watchdog


class Kennel(logging.Handler):
    """Hears the watchdog. `heard` is set by each warning: what blocks until then needs no time."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []
        self.heard = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.warnings.append(record.getMessage())
        self.heard.set()

    def block(self) -> None:
        """Hold up the thread until the watchdog warns of it."""
        assert self.heard.wait(30)
        self.heard.clear()


@pytest.fixture
def kennel() -> Iterator[Kennel]:
    kennel = Kennel()
    logger = logging.getLogger("agentrt.toolbox.watchdog")
    logger.addHandler(kennel)
    yield kennel
    logger.removeHandler(kennel)
    for thread in lookers():
        thread.join(30)
    assert lookers() == []


def lookers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "agentrt-watchdog"]


def watched(watchdog: Watchdog, work: Coroutine[Any, Any, Any], tool: str = "stock") -> asyncio.Task[Any]:
    task = asyncio.create_task(work)
    watchdog.watch(task, tool, "r1", "c1")
    return task


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Call it with what the watchdog's thread is to do each time that it looks where the loop is."""
    frames = sys._current_frames

    def at_each(do: Callable[[], None]) -> None:
        def look() -> dict[int, FrameType]:
            do()
            return frames()

        monkeypatch.setattr(sys, "_current_frames", look)

    return at_each


def line_of(function: Callable[..., Any], text: str) -> str:
    lines, first = inspect.getsourcelines(function)
    number = next(first + index for index, line in enumerate(lines) if text in line)
    return f"{__file__}:{number} in "


def test_a_tool_that_blocks_is_named_with_its_line_while_it_blocks(kennel: Kennel) -> None:
    async def crunch() -> None:
        await asyncio.sleep(0)
        kennel.block()  # here

    async def main() -> None:
        await watched(Watchdog(), crunch())

    asyncio.run(main())
    (warning,) = kennel.warnings
    assert warning.startswith('tool "stock" (run r1, call c1) has blocked the event loop for 0.')
    assert line_of(Kennel.block, "wait(30)") in warning


def test_the_line_is_the_users_own_and_not_one_of_a_library(kennel: Kennel) -> None:
    async def crunch() -> None:
        held = threading.Thread(target=kennel.heard.wait, args=(30,))
        held.start()
        held.join()  # stands in threading.py

    async def main() -> None:
        await watched(Watchdog(0.02), crunch())

    asyncio.run(main())
    assert line_of(crunch, "held.join()") + f"{crunch.__qualname__}" in kennel.warnings[0]


def test_a_line_of_a_call_is_told_once(kennel: Kennel) -> None:
    judged = threading.Event()

    class Judge(Watchdog):
        def _judge(self, *seen: Any, **_: Any) -> None:
            super()._judge(*seen)
            judged.set()

    def here() -> None:
        judged.clear()
        assert judged.wait(30)

    async def crunch() -> None:
        here()
        await asyncio.sleep(0)
        here()
        await asyncio.sleep(0)
        kennel.heard.clear()
        kennel.block()

    async def main() -> None:
        watchdog = Judge(0.02)
        await watched(watchdog, crunch(), "first")
        await watched(watchdog, crunch(), "second")

    asyncio.run(main())
    told = [(warning.split()[1], warning.split("; ")[0].split(".")[-1]) for warning in kennel.warnings]
    assert told == [('"first"', "here"), ('"first"', "block"), ('"second"', "here"), ('"second"', "block")]


def test_a_loop_that_waits_is_not_woken_and_nobody_named(
    kennel: Kennel, looks: Callable[[Callable[[], None]], None]
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        enough, seen = asyncio.Event(), 0
        wake = loop.call_soon_threadsafe
        woken: list[object] = []

        def look() -> None:
            nonlocal seen
            seen += 1
            if seen == 5:
                wake(enough.set)

        looks(look)
        waiting = watched(Watchdog(0.05), enough.wait())
        await asyncio.sleep(0)
        loop.call_soon_threadsafe = woken.append  # type: ignore[assignment, method-assign]
        await waiting
        loop.call_soon_threadsafe = wake  # type: ignore[method-assign]
        assert woken == []

    asyncio.run(main())
    assert kennel.warnings == []


def test_whatever_else_blocks_is_told_with_the_tools_in_flight(kennel: Kennel) -> None:
    async def main() -> None:
        watchdog = Watchdog(0.02)
        waiting = [watched(watchdog, asyncio.Event().wait(), tool) for tool in ("stock", "search")]
        await asyncio.sleep(0)
        kennel.block()
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)

    asyncio.run(main())
    (warning,) = kennel.warnings
    assert warning.startswith("the event loop has been blocked for 0.")
    assert '"stock" (run r1, call c1), "search" (run r1, call c1)) or others' in warning
    assert line_of(Kennel.block, "wait(30)") in warning


def test_a_tool_is_not_named_for_what_others_do_before_it(kennel: Kennel, monkeypatch: pytest.MonkeyPatch) -> None:
    current, asked = asyncio.current_task, threading.Event()

    def ask(loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Task[Any] | None:
        task = current(loop)
        if threading.current_thread() in lookers():
            asked.set()
        return task

    monkeypatch.setattr(asyncio, "current_task", ask)

    async def first() -> None:
        assert asked.wait(30)

    async def second() -> None:
        kennel.block()

    async def main() -> None:
        watchdog = Watchdog(0.3)
        await asyncio.wait([watched(watchdog, first(), "first"), watched(watchdog, second(), "second")])

    asyncio.run(main())
    (warning,) = kennel.warnings
    assert warning.startswith("the event loop has been blocked")


def test_a_task_that_a_tool_started_counts_as_the_tool(kennel: Kennel) -> None:
    async def child() -> None:
        kennel.block()

    async def parent() -> None:
        await asyncio.create_task(child())

    async def main() -> None:
        watchdog = Watchdog(0.02)
        other = watched(watchdog, asyncio.Event().wait(), "search")
        await watched(watchdog, parent())
        other.cancel()
        await asyncio.wait([other])

    asyncio.run(main())
    (warning,) = kennel.warnings
    if sys.version_info >= (3, 12):
        assert warning.startswith('tool "stock" (run r1')
    else:
        assert '"search" (run r1, call c1), "stock" (run r1, call c1)) or' in warning


def test_the_thread_ends_with_the_last_tool_and_comes_back_with_the_next(kennel: Kennel) -> None:
    async def main() -> None:
        watchdog = Watchdog(0.02)
        for _ in range(2):
            await watched(watchdog, asyncio.sleep(0))
            (thread,) = lookers()
            assert thread.daemon
            async with asyncio.timeout(30):
                while lookers():  # noqa: ASYNC110 - it happens in a thread
                    await asyncio.sleep(0)

    asyncio.run(main())


def test_the_thread_ends_when_the_loop_is_closed_with_a_tool_in_flight(kennel: Kennel) -> None:
    loop = asyncio.new_event_loop()

    async def main() -> None:
        watched(Watchdog(0.02), asyncio.Event().wait())
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    (thread,) = lookers()
    for task in asyncio.all_tasks(loop):
        task.cancel()
        loop.run_until_complete(asyncio.wait([task]))
    loop.close()
    thread.join(30)
    assert not thread.is_alive()
    assert kennel.warnings == []


@pytest.mark.parametrize("threshold", [None, 0.1])
def test_nobody_looks_on_a_virtual_clock_nor_without_a_threshold(threshold: float | None, kennel: Kennel) -> None:
    async def main() -> None:
        await watched(Watchdog(threshold), asyncio.sleep(0))
        assert lookers() == []

    if threshold is None:
        asyncio.run(main())
    else:
        run_virtual(main())


@pytest.mark.parametrize("threshold", [0, -1, float("nan")])
def test_a_threshold_that_makes_no_sense_is_refused(threshold: float) -> None:
    with pytest.raises(SettingInvalid, match=r"the watchdog's threshold is .* s; it needs more than 0, or None"):
        Watchdog(threshold)
