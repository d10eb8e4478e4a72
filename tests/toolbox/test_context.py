from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from agentrt.testing.virtual import run_virtual
from agentrt.toolbox.context import Context, Line


def test_a_context_made_by_hand_is_enough_to_call_a_tool() -> None:
    async def main() -> None:
        context = Context({"A-1": 3})
        await context.emit("nobody hears this")
        assert context.deps == {"A-1": 3}
        assert context.remaining() == float("inf")

    run_virtual(main())


def test_remaining_is_told_by_the_clock_of_the_deadline_and_never_below_zero() -> None:
    now = 10.0
    context = Context(None, deadline=12.5, clock=lambda: now)
    assert context.remaining() == 2.5
    now = 13.0
    assert context.remaining() == 0.0


def test_what_is_emitted_is_lowered_and_in_order() -> None:
    heard: list[Any] = []

    async def main() -> None:
        context = Context(None, tell=heard.append)
        context.emit_soon({1: (2, 3)})
        await context.emit("between")
        context.emit_soon(4)

    run_virtual(main())
    assert heard == [{"1": [2, 3]}, "between", 4]


def test_what_cannot_be_emitted_is_an_error_where_it_is_emitted() -> None:
    async def main() -> None:
        await Context(None).emit(threading.Lock())

    with pytest.raises(TypeError, match="lock has no JSON form"):
        run_virtual(main())


def test_emit_lets_others_run_and_can_be_cancelled() -> None:
    async def chatter(context: Context) -> None:
        while True:
            await context.emit("again")

    async def main() -> None:
        task = asyncio.create_task(chatter(Context(None)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run_virtual(main())


def test_a_line_hears_a_sign_of_life_from_any_thread_until_it_is_cut() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        heard: list[Any] = []
        line = Line(heard.append, loop)
        context = Context(None, tell=line.say, beat=line.beat)
        for sign in (context.heartbeat, lambda: context.emit_soon("still here")):
            before = line.heard = loop.time()
            while loop.time() == before:  # noqa: ASYNC110 - a clock may be coarse
                await asyncio.sleep(0)
            thread = threading.Thread(target=sign)
            thread.start()
            thread.join()
            assert line.heard > before
        line.cut()
        line.heard = 0.0
        context.heartbeat()
        context.emit_soon("too late")
        assert line.heard == 0.0

    asyncio.run(main())


def test_silence_is_counted_from_the_last_sign_of_life_and_not_before_the_first() -> None:
    async def main() -> None:
        line = Line(lambda _: None, asyncio.get_running_loop())
        assert line.silent_until(None) == float("inf")
        await asyncio.sleep(3)
        assert line.silent_until(5) == 8
        line.beat()
        await asyncio.sleep(3)
        assert line.silent_until(5) == 8
        line.say("more")
        assert line.silent_until(5) == 11

    run_virtual(main())


def test_a_context_does_not_show_its_deps() -> None:
    assert "secret" not in repr(Context("secret", run_id="r1"))


def test_a_line_takes_words_from_any_thread_to_the_thread_of_the_loop() -> None:
    heard: list[tuple[Any, int]] = []

    async def main() -> None:
        enough = asyncio.Event()

        def hear(data: Any) -> None:
            heard.append((data, threading.get_ident()))
            if data == 99:
                enough.set()

        line = Line(hear, asyncio.get_running_loop())
        thread = threading.Thread(target=lambda: list(map(line.say, range(100))))
        thread.start()
        await enough.wait()
        thread.join()
        line.say("from the loop")

    asyncio.run(main())
    assert heard == [(data, threading.get_ident()) for data in [*range(100), "from the loop"]]


def test_nobody_hears_a_line_that_was_cut() -> None:
    heard: list[Any] = []

    async def main() -> None:
        line = Line(heard.append, asyncio.get_running_loop())
        line.say("before")
        thread = threading.Thread(target=line.say, args=("on its way",))
        thread.start()
        thread.join()
        line.cut()
        line.say("after")
        await asyncio.sleep(0)

    asyncio.run(main())
    assert heard == ["before"]


def test_a_line_into_a_closed_loop_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    died: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", died.append)

    async def main() -> Line:
        return Line(lambda _: None, asyncio.get_running_loop())

    thread = threading.Thread(target=asyncio.run(main()).say, args=("late",))
    thread.start()
    thread.join()
    assert died == []
