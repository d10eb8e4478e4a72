"""Silence, the cache, results to read on, and where else a call may run."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from agentrt.errors import SettingInvalid, ToolError
from agentrt.testing.virtual import run_virtual
from agentrt.toolbox.call import Caller
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool, tool
from agentrt.toolbox.outcome import ToolOutcome, Work


def now() -> float:
    return asyncio.get_running_loop().time()


def call(made: Tool[Any], arguments: str = "{}", **context: Any) -> ToolOutcome:
    async def main() -> ToolOutcome:
        return await Caller(random=Random(1)).call(made, arguments, Context(None, **context))

    return run_virtual(main())


# ---- silence ---------------------------------------------------------------------------------------------


def test_a_tool_that_is_silent_for_too_long_is_timed_out_and_awaited() -> None:
    cleaned: list[float] = []

    @tool(timeout=60, idle_timeout=5)
    async def silent(context: Context) -> None:
        await asyncio.sleep(3)
        context.heartbeat()
        try:
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0.5)
            cleaned.append(now())

    outcome = call(silent)
    assert outcome == ToolOutcome("timeout", '"silent" was silent for 5 s and was stopped', "tool_timeout", 8.5)
    assert cleaned == [8.5]


def test_a_tool_that_never_says_anything_is_silent_from_its_beginning() -> None:
    @tool(timeout=60, idle_timeout=5)
    async def mute(context: Context) -> None:
        await asyncio.sleep(30)

    outcome = call(mute)
    assert (outcome.content, outcome.seconds) == ('"mute" was silent for 5 s and was stopped', 5.0)


@pytest.mark.parametrize("sign", ["heartbeat", "emit", "emit_soon"])
def test_whoever_gives_signs_of_life_may_take_all_of_the_timeout(sign: str) -> None:
    @tool(timeout=60, idle_timeout=5)
    async def lively(context: Context, steps: int) -> int:
        for step in range(steps):
            await asyncio.sleep(4.9)
            match sign:
                case "heartbeat":
                    context.heartbeat()
                case "emit":
                    await context.emit(step)
                case _:
                    context.emit_soon(step)
        return steps

    assert call(lively, '{"steps": 10}').content == "10"
    outcome = call(lively, '{"steps": 20}')
    assert outcome.content == '"lively" was not done in 60 s and was stopped'
    assert outcome.seconds == 60


def test_what_a_generator_yields_breaks_the_silence() -> None:
    @tool(idle_timeout=5)
    async def yields(pause: float) -> AsyncIterator[int]:
        for number in range(10):
            yield number
            await asyncio.sleep(pause)

    assert call(yields, '{"pause": 4.9}').content == "9"
    outcome = call(yields, '{"pause": 5.1}')
    assert (outcome.content, outcome.seconds) == ('"yields" was silent for 5 s and was stopped', 5.0)


def test_a_timeout_that_comes_before_the_silence_is_told_as_that() -> None:
    @tool(timeout=3, idle_timeout=5)
    async def slow(context: Context) -> None:
        await asyncio.sleep(60)

    assert call(slow).content == '"slow" was not done in 3 s and was stopped'


def test_a_cancel_at_any_moment_of_a_wait_for_silence_is_a_cancel() -> None:
    @tool(idle_timeout=1)
    async def lively(context: Context) -> None:
        for _ in range(10):
            await asyncio.sleep(0.5)
            context.heartbeat()

    async def main(seconds: float) -> None:
        caller = Caller()
        task = asyncio.create_task(caller.call(lively, "{}", Context(None)))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    for quarter in range(20):
        run_virtual(main(quarter / 4))


class Late:
    """A thread that comes free at 7 s, and whose function returns at 15.5 s."""

    def start(self, function: Callable[[], Any], /) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        made: asyncio.Future[Any] = loop.create_future()
        results: list[Any] = []
        loop.call_later(7, lambda: results.append(function()))
        loop.call_later(15.5, self._return, made, results)
        return made

    def _return(self, made: asyncio.Future[Any], results: list[Any]) -> None:
        if not made.done():
            made.set_result(results[0])

    def close(self) -> None: ...


@pytest.mark.parametrize(("beats", "status", "seconds"), [(True, "ok", 15.5), (False, "timeout", 12.0)])
def test_waiting_for_a_thread_is_no_silence_and_a_heartbeat_from_a_thread_counts(
    beats: bool, status: str, seconds: float
) -> None:
    contexts: list[Context] = []

    @tool(timeout=30, idle_timeout=5)
    def begun(context: Context) -> str:
        contexts.append(context)
        return "done"

    async def main() -> ToolOutcome:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(Caller(threads=Late()).call(begun, "{}", Context(None)))
            await asyncio.sleep(11)
            if beats:
                thread = threading.Thread(target=contexts[0].heartbeat)
                thread.start()
                thread.join()
        return await task

    outcome = run_virtual(main())
    assert (outcome.status, outcome.seconds) == (status, seconds)
    assert beats or outcome.content.startswith('"begun" was silent for 5 s and ')


# ---- the cache -------------------------------------------------------------------------------------------


class Shelf:
    def __init__(self, **options: Any) -> None:
        self.asked: list[str] = []

        @tool(**{"effect": "read", "cache": 5, **options})
        async def look(context: Context[object], sku: str, detail: int = 1) -> str:
            self.asked.append(sku)
            await asyncio.sleep(1)
            if sku == "bad":
                raise ToolError("no such shelf")
            return f"{sku} {len(self.asked)}"

        self.tool = look


def test_a_result_is_good_for_its_time_and_no_longer() -> None:
    async def main() -> None:
        shelf, caller = Shelf(), Caller()

        async def look(arguments: str = '{"sku": "a"}') -> ToolOutcome:
            return await caller.call(shelf.tool, arguments, Context(None))

        assert await look() == ToolOutcome("ok", "a 1", None, 1.0)
        assert await look() == ToolOutcome("ok", "a 1", None, 0.0)
        assert await look('{"detail": 1, "sku": "a"}') == ToolOutcome("ok", "a 1", None, 0.0)
        await asyncio.sleep(4.9)
        assert (await look()).content == "a 1"
        await asyncio.sleep(0.1)
        assert (await look()).content == "a 2", "a hit does not make it younger"

    run_virtual(main())


def test_neither_another_principal_nor_other_deps_nor_other_arguments_get_it() -> None:
    async def main() -> None:
        shelf, caller, deps = Shelf(), Caller(), [1]
        for context in (Context(deps, principal="ada"), Context(deps, principal="eve"), Context([1], principal="ada")):
            await caller.call(shelf.tool, '{"sku": "a"}', context)
        await caller.call(shelf.tool, '{"sku": "b"}', Context(deps, principal="ada"))
        assert len(shelf.asked) == 4
        await caller.call(shelf.tool, '{"sku": "a"}', Context(deps, principal="ada", run_id="another"))
        assert len(shelf.asked) == 4
        await Caller().call(shelf.tool, '{"sku": "a"}', Context(deps, principal="ada"))
        assert len(shelf.asked) == 5, "each Runtime has a cache of its own"

    run_virtual(main())


def test_only_results_are_kept() -> None:
    async def main() -> None:
        shelf, caller = Shelf(timeout=0.5), Caller()
        for _ in range(2):
            assert (await caller.call(shelf.tool, '{"sku": "a"}', Context(None))).status == "timeout"
        failing = replace(shelf.tool, timeout=60)
        for _ in range(2):
            assert (await caller.call(failing, '{"sku": "bad"}', Context(None))).content == "no such shelf"
        assert shelf.asked == ["a", "a", "bad", "bad"]

    run_virtual(main())


def test_a_tool_without_a_cache_is_asked_each_time() -> None:
    async def main() -> None:
        shelf, caller = Shelf(cache=None), Caller()
        for _ in range(2):
            await caller.call(shelf.tool, '{"sku": "a"}', Context(None))
        assert len(shelf.asked) == 2

    run_virtual(main())


def test_what_is_known_is_said_without_a_turn() -> None:
    async def main() -> None:
        shelf, caller = Shelf(max_result=4), Caller()

        def known(arguments: str) -> ToolOutcome | None:
            return caller.known(shelf.tool, arguments, Context(None, call_id="c2"))

        assert known('{"sku": "long name"}') is None
        first = await caller.call(shelf.tool, '{"sku": "long name"}', Context(None, call_id="c1"))
        again = known('{"sku": "long name"}')
        assert again is not None
        assert (first.rest, again.rest) == ("long name 1", "long name 1")
        assert 'read_result(call_id="c1", offset=4)' in first.content
        assert 'read_result(call_id="c2", offset=4)' in again.content
        refused = known('{"sku": 5}')
        assert refused is not None
        assert refused.code == "arguments_invalid"
        assert len(shelf.asked) == 1

    run_virtual(main())


# ---- results to read on ----------------------------------------------------------------------------------


def returning(result: str, **options: Any) -> Tool[Any]:
    @tool(**options)
    async def result_of() -> str:
        return result

    return result_of


def test_a_cut_result_is_kept_whole_and_says_how_to_read_on() -> None:
    outcome = call(returning("x" * 50, max_result=10), call_id="c1")
    line = '[cut here: 40 of 50 bytes are left out; read_result(call_id="c1", offset=10) has more]'
    assert outcome == ToolOutcome("ok", f"{'x' * 10}\n{line}", rest="x" * 50)
    for whole in ("x" * 10, "ü" * 5, "ü" * 4 + "x"):
        assert call(returning(whole, max_result=10), call_id="c1") == ToolOutcome("ok", whole)


def test_where_the_model_cannot_read_on_it_is_not_told_to() -> None:
    async def main() -> ToolOutcome:
        made = returning("x" * 50, max_result=10)
        return await Caller().call(made, "{}", Context(None, call_id="c1"), readable=False)

    outcome = run_virtual(main())
    assert outcome == ToolOutcome("ok", "x" * 10 + "\n[cut here: 40 of 50 bytes are left out]", rest="x" * 50)


def test_no_more_than_a_megabyte_is_kept_and_its_end_says_so() -> None:
    rest = call(returning("x" * 1_500_000), call_id="c1").rest
    assert rest == "x" * 1_000_000 + "\n[cut here: 500,000 of 1,500,000 bytes are left out]"


def test_a_long_error_is_kept_like_a_result() -> None:
    @tool(max_result=10)
    async def failing() -> None:
        raise ToolError("x" * 50)

    assert call(failing).rest == "x" * 50


# ---- where else a call may run ---------------------------------------------------------------------------


def double(number: int) -> int:
    return 2 * number


class Elsewhere:
    """Processes that are not."""

    def __init__(self) -> None:
        self.works: list[Work] = []
        self.started: list[tuple[Callable[..., Any], Mapping[str, Any]]] = []

    def start(self, function: Callable[..., Any], values: Mapping[str, Any], /) -> Work:
        self.started.append((function, values))
        work: Work = asyncio.get_running_loop().create_future()
        self.works.append(work)
        return work


def test_a_tool_in_a_process_is_started_there_and_its_end_is_the_calls() -> None:
    async def main(came_of: str | Exception) -> ToolOutcome:
        elsewhere = Elsewhere()
        caller = Caller(processes=elsewhere)
        made = tool(double, run_in="process")
        task = asyncio.create_task(caller.call(made, '{"number": 21}', Context(None)))
        await asyncio.sleep(1)
        assert elsewhere.started == [(double, {"number": 21})]
        elsewhere.works[0].set_result(came_of)
        return await task

    assert run_virtual(main("42")) == ToolOutcome("ok", "42", None, 1.0)
    assert run_virtual(main(ToolError("too big"))) == ToolOutcome("error", "too big", "tool_error", 1.0)


def test_a_tool_in_a_process_is_killed_when_its_time_is_over_or_its_call_is_cancelled() -> None:
    async def main() -> None:
        elsewhere = Elsewhere()
        caller = Caller(processes=elsewhere)
        made = tool(double, run_in="process", timeout=3)
        outcome = await caller.call(made, '{"number": 21}', Context(None))
        assert outcome == ToolOutcome("timeout", '"double" was not done in 3 s and was stopped', "tool_timeout", 3.0)
        task = asyncio.create_task(caller.call(made, '{"number": 21}', Context(None)))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert [work.cancelled() for work in elsewhere.works] == [True, True]
        assert len(caller.stragglers) == 0

    run_virtual(main())


def test_a_call_that_nobody_here_can_run_is_an_error_of_the_programmer() -> None:
    for run_in, told in (("client", "is for the client to run"), ("process", "this Caller has none")):
        with pytest.raises(SettingInvalid, match=f'tool "double" .*{told}'):
            call(tool(double, run_in=run_in), '{"number": 1}')  # type: ignore[call-overload]


def test_a_call_on_the_loop_is_watched(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[str, str, str, str]] = []

    class Looking:
        def watch(self, work: asyncio.Task[Any], name: str, run_id: str, call_id: str) -> None:
            seen.append((work.get_name(), name, run_id, call_id))

    async def main() -> None:
        caller = Caller(watchdog=Looking())  # type: ignore[arg-type]
        await caller.call(returning("x"), "{}", Context(None, run_id="r1", call_id="c1"))

    with caplog.at_level(logging.WARNING):
        run_virtual(main())
    assert seen == [("tool result_of", "result_of", "r1", "c1")]
