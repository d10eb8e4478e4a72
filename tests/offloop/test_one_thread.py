from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from agentrt.offloop import OneThread


def test_calls_run_on_one_daemon_thread_in_their_order() -> None:
    async def main() -> None:
        thread = OneThread("one")
        done: list[int] = []
        threads = [await thread.call(threading.current_thread) for _ in range(2)]
        for future in [thread.call(partial(done.append, number)) for number in range(20)]:
            await future
        assert done == list(range(20))
        assert threads[0] is threads[1]
        assert threads[0].daemon
        await thread.close(lambda: None)
        threads[0].join(timeout=10)
        assert not threads[0].is_alive()

    asyncio.run(main())


def test_an_error_reaches_who_called_and_nobody_else() -> None:
    async def main() -> None:
        thread = OneThread("one")
        with pytest.raises(ZeroDivisionError):
            await thread.call(lambda: 1 // 0)
        assert await thread.call(lambda: 7) == 7
        await thread.close(lambda: None)

    asyncio.run(main())


def test_a_call_cancelled_before_it_began_never_begins() -> None:
    async def main() -> None:
        thread = OneThread("one")
        held, done = threading.Event(), list[str]()
        first = thread.call(held.wait)
        second = thread.call(lambda: done.append("second"))
        third = thread.call(lambda: done.append("third"))
        second.cancel()
        held.set()
        await first
        await third
        assert done == ["third"]
        await thread.close(lambda: None)

    asyncio.run(main())


def test_closing_does_its_last_even_if_who_closed_was_cancelled() -> None:
    async def main() -> None:
        thread = OneThread("one")
        held, last = threading.Event(), threading.Event()
        thread.call(held.wait)
        thread.close(last.set).cancel()
        held.set()
        assert last.wait(timeout=10)
        with pytest.raises(RuntimeError, match="one is closed"):
            thread.call(lambda: None)

    asyncio.run(main())


def test_a_loop_that_has_ended_does_not_hurt_the_thread() -> None:
    held, after = threading.Event(), threading.Event()
    thread = OneThread("one")

    async def main() -> None:
        thread.call(held.wait)
        thread.close(after.set)

    asyncio.run(main())
    held.set()
    assert after.wait(timeout=10)
