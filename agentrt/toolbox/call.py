"""One call of a tool: validate, run, time out, cancel, let go.

Users' code may swallow a cancel, and a TaskGroup or an `asyncio.timeout` around it would then wait for
ever. So it runs in a task that belongs to nobody's group (this is the one file that may make such a
task), and the caller waits for it on terms of its own. Work is a future whose result is the text for
the model or the exception that user code raised; for a coroutine the future is its task, for a plain
function it comes from `Threads`. It ends in one of four ways:

- done within its timeout: a result or an error;
- timed out, or the caller was cancelled: the work is told to stop and has the grace to do so;
- still not done after the grace: a straggler, named and kept by `Stragglers` until it ends;
- cancelled while nobody here cancelled it: an error of the tool, never a cancel of the run.

A cancel of the caller is always raised again, and only after the grace: whoever cancels a run may rely on
it that what it left running is named. No cancel is ever "uncancelled", so the counts which TaskGroup
and `asyncio.timeout` keep stay right.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from math import inf
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import msgspec

from agentrt.errors import ProviderError, ToolError
from agentrt.events import ToolStatus
from agentrt.gate.pace import Pace
from agentrt.surrogates import mended_text
from agentrt.toolbox.context import Context, Line
from agentrt.toolbox.define import Tool
from agentrt.toolbox.lower import fit, to_json
from agentrt.toolbox.threads import DaemonThreads, Threads

D = TypeVar("D")

logger = logging.getLogger(__name__)

Work = asyncio.Future[str | BaseException]


class ToolOutcome(msgspec.Struct, frozen=True):
    """What came of a call. `content` is for the model, whatever the status; `code` is None for "ok".

    `error` is the provider's error that the tool raised, for the provider's gate; `alone`: by itself, and not out of
    a group of tasks, of which others may have done their part.
    """

    status: ToolStatus
    content: str
    code: str | None = None
    seconds: float = 0.0
    error: ProviderError | None = None
    alone: bool = True


def unknown_tool(name: str, known: Iterable[str]) -> ToolOutcome:
    """The outcome of a call to a tool that does not exist."""
    text = f'there is no tool "{name}"; the tools are: {", ".join(known) or "none"}'
    return ToolOutcome("error", mended_text(text), "tool_unknown")


class Stragglers:
    """Tool calls that were told to stop and have not; each is kept until it ends."""

    def __init__(self) -> None:
        self._running: dict[Work, tuple[str, str]] = {}

    def __len__(self) -> int:
        return len(self._running)

    @property
    def names(self) -> tuple[str, ...]:
        """The tools' names, the longest overdue first, one for each call."""
        return tuple(name for name, _ in self._running.values())

    def of(self, run_id: str) -> tuple[str, ...]:
        """The names of one run's."""
        return tuple(name for name, run in self._running.values() if run == run_id)

    def add(self, work: Work, name: str, run_id: str) -> None:
        self._running[work] = name, run_id
        work.add_done_callback(self._running.pop)


class Caller:
    """Runs tool calls, and owns what they share: the threads, the stragglers, and the pace of each tool.

    Args:
        threads: Where plain functions run; daemon threads by default.
        grace: Seconds that a call has to end after it was told to.
    """

    def __init__(self, *, threads: Threads | None = None, grace: float = 2.0) -> None:
        self.stragglers = Stragglers()
        self._threads = threads or DaemonThreads()
        self._grace = grace
        self._paces: WeakKeyDictionary[Tool[Any], Pace] = WeakKeyDictionary()

    def close(self) -> None:
        """Begin no further call in a thread. Waits for nothing."""
        self._threads.close()

    def pace(self, tool: Tool[Any]) -> Pace | None:
        """By which the tool's calls begin, one for all runs; None where it has no rate. `call` does not heed it."""
        if tool.rate is None:
            return None
        if tool not in self._paces:
            self._paces[tool] = Pace(tool.rate)
        return self._paces[tool]

    def refused(self, tool: Tool[Any], arguments: str) -> ToolOutcome | None:
        """What `call` would say of arguments that do not fit, and None where they do: nobody need wait to hear it."""
        try:
            tool.signature.read(arguments)
        except Exception as error:  # noqa: BLE001 - as in `call`
            return _outcome(tool, *_failed(error), 0.0)
        return None

    async def call(self, tool: Tool[D], arguments: str, context: Context[D]) -> ToolOutcome:
        """Call the tool with the arguments the model wrote, JSON text, and say what came of it.

        Whatever goes wrong with the call is an outcome with a text for the model; nothing is raised
        but the caller's own cancel, and that after the call has ended or the grace is over.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            values = tool.signature.read(arguments)
        except Exception as error:  # noqa: BLE001 - parameters' types bring validators of the user's
            return _outcome(tool, *_failed(error), loop.time() - began)
        line = Line(context.tell, loop)
        deadline = min(context.deadline, began + tool.timeout)
        work = self._begin(tool, values, replace(context, deadline=deadline, tell=line.say, clock=loop.time))
        try:
            in_time = await self._see_through(work, tool, context.run_id)
        finally:
            line.cut()
        if not in_time:
            return _outcome(tool, *_overran(tool, work), loop.time() - began)
        came_of = _came_of(work)
        outcome = _outcome(tool, *_settled(came_of), loop.time() - began, _of_provider(came_of))
        grouped = outcome.error is not None and outcome.error is not came_of
        return msgspec.structs.replace(outcome, alone=False) if grouped else outcome

    def _begin(self, tool: Tool[D], values: Mapping[str, Any], context: Context[D]) -> Work:
        function: Callable[..., Any] = tool.function
        positional = (context,) if tool.signature.takes_context else ()
        if tool.run_in == "thread":
            return self._threads.start(lambda: _text(function(*positional, **values)))
        return asyncio.create_task(_guarded(function, positional, values), name=f"tool {tool.name}")

    async def _see_through(self, work: Work, tool: Tool[Any], run_id: str) -> bool:
        """Wait for the work and say whether it was in time; if it was not, it has been stopped or handed over."""
        try:
            await asyncio.wait((work,), timeout=tool.timeout)
        except asyncio.CancelledError:
            await self._stop(work, tool.name, run_id)
            raise
        if work.done():
            return True
        await self._stop(work, tool.name, run_id)
        return False

    async def _stop(self, work: Work, name: str, run_id: str) -> None:
        """Tell the work to stop, wait the grace, hand it to the stragglers if it did not.

        A cancel that comes meanwhile shortens nothing and is raised in the end.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._grace
        cancelled: asyncio.CancelledError | None = None
        work.cancel()
        while not work.done():
            try:
                await asyncio.wait((work,), timeout=max(0.0, until - loop.time()))
                break
            except asyncio.CancelledError as error:
                cancelled = error
                if loop.time() >= until:
                    break
        if not work.done():
            self.stragglers.add(work, name, run_id)
        if cancelled is not None:
            raise cancelled


async def _guarded(
    function: Callable[..., Any], positional: tuple[Any, ...], values: Mapping[str, Any]
) -> str | BaseException:
    """The user's coroutine, its exceptions as values: none reaches the loop or is logged as never retrieved."""
    try:
        return _text(await function(*positional, **values))
    except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
        raise  # the task's own end, the coroutine's, and the person's at the keyboard
    except BaseException as error:  # noqa: BLE001 - a user's callable; a library's sys.exit() must not end a server
        return error


def _text(result: Any) -> str:
    if isinstance(result, str):
        return str.__str__(result)  # of an enum or another subclass the text alone
    try:
        return to_json(result)
    except TypeError as error:
        raise ToolError(f"the tool's result cannot be shown: {error}", code="result_invalid") from error


def _came_of(work: Work) -> str | BaseException:
    """What came of work that is done: its result, which may be an exception, or the one that ended its task."""
    if work.cancelled():
        return asyncio.CancelledError()
    return work.exception() or work.result()


Settled = tuple[ToolStatus, str, str | None]


def _settled(came_of: str | BaseException) -> Settled:
    match came_of:
        case str():
            return "ok", came_of, None
        case asyncio.CancelledError():
            return "error", "the tool was cancelled by its own code, not by the run", "tool_cancelled_itself"
        case _:
            if not isinstance(came_of, ToolError) and _of_provider(came_of) is None:
                logger.warning("a tool failed", exc_info=came_of)
            return _failed(came_of)


def _overran(tool: Tool[Any], work: Work) -> Settled:
    if not work.done() and tool.run_in == "thread":
        how = "runs in a thread, which cannot be stopped, and has not stopped: it may still take effect"
    elif not work.done():
        how = "was told to stop, and has not stopped: it may still take effect"
    elif not work.cancelled():
        how = "ended too late: it may have taken effect"
    elif tool.run_in == "thread":
        how = "was not begun, because all threads were busy"
    else:
        how = "was stopped"
    return "timeout", f'"{tool.name}" was not done in {tool.timeout:g} s and {how}', "tool_timeout"


def _failed(error: BaseException) -> Settled:
    """Our own errors speak for themselves; of any other exception the model reads class and text."""
    leaves = tuple(_leaves(error))
    code = leaves[0].code if len(leaves) == 1 and isinstance(leaves[0], ToolError | ProviderError) else "tool_failed"
    return "error", "; ".join(map(_told, leaves)), code


def _of_provider(came_of: str | BaseException) -> ProviderError | None:
    """The provider's error, if that and nothing else is what the tool raised; a pause that is none is left out."""
    leaves = () if isinstance(came_of, str) else tuple(_leaves(came_of))
    error = leaves[0] if len(leaves) == 1 else None
    if not isinstance(error, ProviderError):
        return None
    asked: Any = error.retry_after  # as the user's code has it
    if not (isinstance(asked, int | float) and 0 <= asked < inf):
        error.retry_after = None
    return error


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions that a TaskGroup wrapped up."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _told(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a user's __str__
        return kind
    if isinstance(error, ToolError | ProviderError) and text:
        return text
    return f"{kind}: {text}" if text else kind


def _outcome(
    tool: Tool[Any],
    status: ToolStatus,
    text: str,
    code: str | None,
    seconds: float,
    error: ProviderError | None = None,
) -> ToolOutcome:
    return ToolOutcome(status, fit(mended_text(text), tool.max_result), code, seconds, error)
