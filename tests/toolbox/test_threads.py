from __future__ import annotations

import asyncio
import contextvars
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from agentrt.toolbox.threads import DaemonThreads

who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


@pytest.fixture(autouse=True)
def _every_thread_ends_and_none_of_an_error(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    died: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    yield
    for thread in tool_threads():
        thread.join(30)
    assert tool_threads() == []
    assert died == []


def tool_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("agentrt-tool")]


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in a thread
            await asyncio.sleep(0)


def test_a_function_runs_in_a_daemon_thread_with_the_callers_context() -> None:
    async def main() -> None:
        threads = DaemonThreads()
        who.set("caller")
        call = threads.start(lambda: (who.get(), threading.current_thread().daemon, threading.get_ident()))
        name, daemon, ident = await call  # type: ignore[misc]
        assert (name, daemon) == ("caller", True)
        assert ident != threading.get_ident()
        threads.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    "error", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), StopIteration(), GeneratorExit()]
)
def test_whatever_a_function_raises_is_a_result_and_the_slot_is_free_again(error: BaseException) -> None:
    def fail() -> None:
        raise error

    async def main() -> None:
        threads = DaemonThreads(size=1)
        assert await threads.start(fail) is error
        assert threads.busy == 0
        assert await threads.start(lambda: 1) == 1
        threads.close()

    asyncio.run(main())


def test_threads_are_started_when_needed_and_used_again() -> None:
    async def main() -> None:
        threads = DaemonThreads(size=8)
        assert tool_threads() == []
        names = {await threads.start(lambda: threading.current_thread().name) for _ in range(20)}
        assert names == {"agentrt-tool-1"}
        threads.close()

    asyncio.run(main())


def test_there_are_never_more_at_once_than_slots_and_the_others_wait_in_order() -> None:
    gates = [threading.Event() for _ in range(5)]
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        gates[number].wait(30)
        return number

    async def main() -> None:
        threads = DaemonThreads(size=2)
        calls = [threads.start(lambda n=n: work(n)) for n in range(5)]  # type: ignore[misc]
        await until(lambda: len(begun) == 2)
        assert (threads.busy, threads.waiting) == (2, 3)
        for number in range(5):
            gates[number].set()
            assert await calls[number] == number
            await until(lambda: len(begun) == threads.busy + number + 1)  # noqa: B023
        assert begun[2:] == [2, 3, 4]
        assert (threads.busy, threads.waiting) == (0, 0)
        threads.close()

    asyncio.run(main())


def test_a_waiting_call_can_be_taken_back_and_a_begun_one_cannot() -> None:
    gate = threading.Event()
    ran: list[str] = []

    async def main() -> None:
        threads = DaemonThreads(size=1)
        begun = threads.start(lambda: gate.wait(30))
        waiting = threads.start(lambda: ran.append("waiting"))
        last = threads.start(lambda: ran.append("last"))
        assert waiting.cancel()
        assert waiting.cancelled()
        assert not begun.cancel()
        assert not begun.done()
        assert threads.waiting == 1
        gate.set()
        assert await begun is True
        await last
        assert ran == ["last"]
        threads.close()

    asyncio.run(main())


def test_a_slot_stays_taken_until_its_function_ends_though_nobody_waits() -> None:
    gate = threading.Event()

    async def main() -> None:
        threads = DaemonThreads(size=1)

        async def wait_for_it() -> None:
            await threads.start(lambda: gate.wait(30))

        waiter = asyncio.create_task(wait_for_it())
        await until(lambda: threads.busy == 1)
        waiter.cancel()
        assert threads.busy == 1
        gate.set()
        await until(lambda: threads.busy == 0)
        threads.close()
        await asyncio.wait([waiter])

    asyncio.run(main())


def test_close_waits_for_nothing_and_cancels_what_has_not_begun() -> None:
    gate = threading.Event()

    async def main() -> None:
        threads = DaemonThreads(size=1)
        begun = threads.start(lambda: gate.wait(30))
        waiting = threads.start(lambda: None)
        threads.close()
        assert waiting.cancelled()
        assert not begun.done()
        with pytest.raises(RuntimeError, match="closed"):
            threads.start(lambda: None)
        gate.set()
        assert await begun is True

    asyncio.run(main())


def test_a_function_that_ends_after_its_loop_has_closed_ends_its_thread_quietly() -> None:
    gate = threading.Event()

    async def main() -> None:
        threads = DaemonThreads()
        threads.start(lambda: gate.wait(30))
        await until(lambda: threads.busy == 1)

    asyncio.run(main())
    [thread] = tool_threads()
    gate.set()
    thread.join(30)
    assert not thread.is_alive()


def test_an_idle_thread_keeps_nothing_of_the_last_call_alive() -> None:
    class Big:
        pass

    async def main() -> None:

        threads = DaemonThreads()
        big = Big()
        seen = weakref.ref(big)
        assert await threads.start(lambda big=big: big) is big  # type: ignore[misc]
        del big
        await until(lambda: seen() is None)
        threads.close()

    asyncio.run(main())
