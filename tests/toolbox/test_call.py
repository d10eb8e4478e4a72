from __future__ import annotations

import asyncio
import contextvars
import enum
import math
import threading
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import pytest
from pydantic import AfterValidator, BaseModel

from agentrt.errors import ToolError
from agentrt.testing.virtual import run_virtual
from agentrt.toolbox.call import Caller
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool, tool
from agentrt.toolbox.outcome import ToolOutcome, unknown_tool

T = TypeVar("T")

who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


class Colour(str, enum.Enum):  # noqa: UP042 - the older form, whose str() is not its text
    RED = "red"


class Box(BaseModel):
    size: int


class Spelled(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def call(made: Tool[Any], arguments: str = "{}", context: Context[Any] | None = None) -> ToolOutcome:
    """One call on the virtual clock."""

    async def main() -> ToolOutcome:
        return await Caller().call(made, arguments, context or Context(None))

    return run_virtual(main())


def returning(result: Any, **options: Any) -> Tool[object]:
    async def result_of() -> Any:
        return result

    return tool(**options)(result_of)


def raising(error: BaseException) -> Tool[object]:
    async def failing() -> None:
        raise error

    return tool(failing)


def in_real_time(main: Callable[[Caller], Coroutine[Any, Any, T]]) -> T:
    """Run with real threads, which the virtual clock cannot wait for."""

    async def run() -> T:
        caller = Caller(grace=0.05)
        try:
            return await main(caller)
        finally:
            caller.close()

    return asyncio.run(run())


# ---- results ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ("plain text", "plain text"),
        (Colour.RED, "red"),
        (3, "3"),
        (None, "null"),
        ({"a": [1, 2.5, True]}, '{"a":[1,2.5,true]}'),
        (Box(size=3), '{"size":3}'),
        ([Box(size=1), Box(size=2)], '[{"size":1},{"size":2}]'),
        ("\ud800 from a file name", "\ufffd from a file name"),
    ],
)
def test_a_result_is_shown_as_text_or_else_as_json(result: Any, content: str) -> None:
    assert call(returning(result)) == ToolOutcome("ok", content, None, 0.0)
    assert type(call(returning(result)).content) is str


def test_arguments_context_and_defaults_reach_the_function() -> None:
    @tool
    async def greet(context: Context[str], name: str, box: Box, times: int = 2) -> str:
        return f"{context.deps} {name} {box.size} {times}"

    assert call(greet, '{"name": "Ada", "box": {"size": 4}}', Context("hello")).content == "hello Ada 4 2"


def test_a_result_is_cut_at_its_limit_and_says_so() -> None:
    outcome = call(returning("x" * 50, max_result=10))
    assert (outcome.status, outcome.content) == ("ok", "x" * 10 + "\n[cut here: 40 of 50 bytes are left out]")
    outcome = call(returning({"text": "ü" * 20}, max_result=14))
    assert outcome.content == '{"text":"üü\n[cut here: 38 of 51 bytes are left out]'


def test_a_result_without_json_form_is_an_error_that_names_it() -> None:
    outcome = call(returning(threading.Lock()))
    assert (outcome.status, outcome.code) == ("error", "result_invalid")
    assert outcome.content.startswith("the tool's result cannot be shown: lock has no JSON form")


def test_seconds_are_what_the_call_took() -> None:
    @tool
    async def slow() -> None:
        await asyncio.sleep(1.25)

    assert call(slow).seconds == 1.25


# ---- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "content"),
    [
        (KeyError("sku"), "tool_failed", "KeyError: 'sku'"),
        (ValueError(), "tool_failed", "ValueError"),
        (Spelled(), "tool_failed", "Spelled"),
        (ToolError("no such shelf"), "tool_error", "no such shelf"),
        (ToolError("sold out", code="sold_out"), "sold_out", "sold out"),
        (ToolError(""), "tool_error", "ToolError"),
        (TimeoutError("mine"), "tool_failed", "TimeoutError: mine"),
        (SystemExit(2), "tool_failed", "SystemExit: 2"),
        (ValueError("\ud800"), "tool_failed", "ValueError: \ufffd"),
        (ExceptionGroup("many", [ToolError("sold out", code="sold_out")]), "sold_out", "sold out"),
        (
            BaseExceptionGroup("many", [ToolError("sold out"), ExceptionGroup("in it", [ValueError("x")])]),
            "tool_failed",
            "sold out; ValueError: x",
        ),
    ],
)
def test_what_a_tool_raises_is_told_to_the_model(error: BaseException, code: str, content: str) -> None:
    assert call(raising(error)) == ToolOutcome("error", content, code, 0.0)


def test_a_long_error_is_cut_like_a_result() -> None:
    async def failing() -> None:
        raise ValueError("x" * 100)

    assert call(tool(max_result=20)(failing)).content.startswith("ValueError: xxxxxxxx\n[cut here: 92 of")


def test_bad_arguments_are_told_and_the_function_is_not_called() -> None:
    called: list[int] = []

    @tool
    async def count(limit: int) -> None:
        called.append(limit)

    outcome = call(count, '{"limit": "many"}')
    assert (outcome.status, outcome.code) == ("error", "arguments_invalid")
    assert "limit: should be a valid integer" in outcome.content
    assert called == []


def test_a_validator_of_the_user_that_breaks_is_an_error_like_any_other() -> None:
    def broken(_value: int) -> int:
        raise KeyError("table")

    @tool
    async def count(limit: Annotated[int, AfterValidator(broken)]) -> None: ...

    assert call(count, '{"limit": 1}') == ToolOutcome("error", "KeyError: 'table'", "tool_failed", 0.0)


def test_an_unknown_tool_is_told_the_known_ones() -> None:
    outcome = unknown_tool("serch", ["search", "fetch"])
    assert outcome == ToolOutcome("error", 'there is no tool "serch"; the tools are: search, fetch', "tool_unknown")
    assert unknown_tool("\ud800", []).content == 'there is no tool "\ufffd"; the tools are: none'


def test_a_tool_that_cancels_itself_is_an_error_and_not_a_cancel_of_the_run() -> None:
    @tool
    async def itself() -> None:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        await asyncio.sleep(1)

    for made in (itself, raising(asyncio.CancelledError("from a library"))):
        outcome = call(made)
        assert (outcome.status, outcome.code) == ("error", "tool_cancelled_itself")


# ---- time ------------------------------------------------------------------------------------------


def test_a_tool_that_is_too_slow_is_cancelled_and_awaited() -> None:
    cleaned: list[float] = []

    @tool(timeout=5)
    async def slow() -> str:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.5)
            cleaned.append(asyncio.get_running_loop().time())
        return "never"

    assert call(slow) == ToolOutcome("timeout", '"slow" was not done in 5 s and was stopped', "tool_timeout", 5.5)
    assert cleaned == [5.5]


def test_a_tool_that_ends_at_the_very_moment_of_its_timeout_is_done_or_timed_out_but_never_lost() -> None:
    @tool(timeout=1)
    async def exact() -> str:
        await asyncio.sleep(1)
        return "done"

    outcome = call(exact)
    assert (outcome.status, outcome.seconds) in {("ok", 1.0), ("timeout", 1.0)}


def test_an_infinite_timeout_never_comes() -> None:
    @tool(timeout=math.inf)
    async def patient() -> str:
        await asyncio.sleep(80_000)
        return "done"

    assert call(patient).content == "done"


def test_the_tool_knows_its_deadline_which_is_the_earlier_of_timeout_and_run() -> None:
    @tool(timeout=5)
    async def ask(context: Context) -> list[float]:
        await asyncio.sleep(1)
        return [context.deadline, context.remaining()]

    assert call(ask, context=Context(None, deadline=100.0)).content == "[5.0,4.0]"
    assert call(ask, context=Context(None, deadline=3.0)).content == "[3.0,2.0]"


# ---- context ---------------------------------------------------------------------------------------


def test_progress_is_told_while_the_call_lasts_and_not_after_it() -> None:
    heard: list[Any] = []

    @tool(timeout=1)
    async def stubborn(context: Context) -> None:
        await context.emit("begun")
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await context.emit("cleaning up")
            await asyncio.sleep(10)
            await context.emit("too late")

    async def main() -> None:
        caller = Caller()
        assert (await caller.call(stubborn, "{}", Context(None, tell=heard.append))).status == "timeout"
        await asyncio.sleep(60)
        assert len(caller.stragglers) == 0

    run_virtual(main())
    assert heard == ["begun", "cleaning up"]


def test_a_tool_sees_the_context_variables_of_its_caller_and_leaves_them_alone() -> None:
    @tool
    async def looking() -> str:
        seen = who.get()
        who.set("tool")
        return seen

    @tool
    def looking_in_a_thread() -> str:
        seen = who.get()
        who.set("tool")
        return seen

    async def main(caller: Caller) -> None:
        who.set("run")
        assert (await caller.call(looking, "{}", Context(None))).content == "run"
        assert (await caller.call(looking_in_a_thread, "{}", Context(None))).content == "run"
        assert who.get() == "run"

    in_real_time(main)


# ---- plain functions -------------------------------------------------------------------------------


def test_a_plain_function_runs_beside_the_loop_and_its_progress_comes_in_order() -> None:
    heard: list[Any] = []

    @tool
    def count(context: Context, to: int) -> dict[str, Any]:
        for number in range(to):
            context.emit_soon(number)
        return {"thread": threading.current_thread().name, "remaining": context.remaining() > 50}

    async def main(caller: Caller) -> None:
        outcome = await caller.call(count, '{"to": 50}', Context(None, tell=heard.append))
        assert outcome.content == '{"thread":"agentrt-tool-1","remaining":true}'
        assert heard == list(range(50))

    in_real_time(main)


@pytest.mark.parametrize(
    ("error", "code", "content"),
    [
        (ValueError("x"), "tool_failed", "ValueError: x"),
        (StopIteration(), "tool_failed", "StopIteration"),
        (SystemExit(1), "tool_failed", "SystemExit: 1"),
        (KeyboardInterrupt(), "tool_failed", "KeyboardInterrupt"),
        (ToolError("closed"), "tool_error", "closed"),
        (asyncio.CancelledError(), "tool_cancelled_itself", "the tool was cancelled by its own code, not by the run"),
    ],
)
def test_what_a_plain_function_raises_is_told_to_the_model(error: BaseException, code: str, content: str) -> None:
    @tool
    def failing() -> None:
        raise error

    async def main(caller: Caller) -> None:
        outcome = await caller.call(failing, "{}", Context(None))
        assert (outcome.status, outcome.code, outcome.content) == ("error", code, content)

    in_real_time(main)


def test_a_result_of_a_plain_function_without_json_form_is_an_error() -> None:
    @tool
    def lock() -> Any:
        return threading.Lock()

    async def main(caller: Caller) -> None:
        assert (await caller.call(lock, "{}", Context(None))).code == "result_invalid"

    in_real_time(main)


def test_plain_functions_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=30)

    @tool
    def meet() -> int:
        return both.wait()

    async def main(caller: Caller) -> None:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(caller.call(meet, "{}", Context(None))) for _ in range(2)]
        assert {done.result().content for done in calls} == {"0", "1"}

    in_real_time(main)
