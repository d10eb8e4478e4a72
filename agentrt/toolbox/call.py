"""One call of a tool: validate, run, time out, cancel, let go.

Users' code may swallow a cancel, and a TaskGroup or an `asyncio.timeout` around it would then wait for
ever. So it runs in a task that belongs to nobody's group (this is the one file that may make such a
task), and the caller waits for it on terms of its own. Work is a future whose result is the text for
the model or the exception that user code raised; for a coroutine the future is its task, for a plain
function it comes from `Threads` or `Processes`. It ends in one of four ways:

- done within its timeout: a result or an error;
- timed out, by having taken or having been silent for too long, or the caller was cancelled: the work is told to
  stop and has the grace to do so;
- still not done after the grace: a straggler, named and kept by `Stragglers` until it ends;
- cancelled while nobody here cancelled it: an error of the tool, never a cancel of the run.

A cancel of the caller is always raised again, and only after the grace: whoever cancels a run may rely on
it that what it left running is named. No cancel is ever "uncancelled", so the counts which TaskGroup
and `asyncio.timeout` keep stay right.

An attempt that failed is made again here if the tool says so by `retries`; never beside one that has not stopped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from inspect import isasyncgen
from math import inf
from random import Random
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from agentrt.errors import ProviderUnavailable, SettingInvalid
from agentrt.gate.backoff import decide
from agentrt.toolbox.cache import Cache
from agentrt.toolbox.context import Context, Line
from agentrt.toolbox.define import Tool
from agentrt.toolbox.generators import last_of
from agentrt.toolbox.identical import Question, question
from agentrt.toolbox.lower import as_text
from agentrt.toolbox.outcome import UNEXPECTED, ToolOutcome, Work, failed, overran, settled, shown
from agentrt.toolbox.threads import DaemonThreads, Threads
from agentrt.toolbox.turns import Lane, Turn, Watch
from agentrt.toolbox.watchdog import Watchdog

D = TypeVar("D")


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


class Processes(Protocol):
    """Where functions run that are killed if they do not end."""

    def start(self, function: Callable[..., Any], values: Mapping[str, Any], /) -> Work:
        """Call the function with these arguments in another process. Cancelling the work kills it."""
        ...


class Caller:
    """Runs tool calls, and owns what they share: the threads, the stragglers, the turns and the results in the cache.

    Args:
        threads: Where plain functions run; daemon threads by default.
        processes: Where tools with `run_in="process"` run.
        watchdog: Looks on for tools that block the loop.
        grace: Seconds that a call has to end after it was told to.
        random: Spreads the pauses before a retry.
    """

    def __init__(
        self,
        *,
        threads: Threads | None = None,
        processes: Processes | None = None,
        watchdog: Watchdog | None = None,
        grace: float = 2.0,
        random: Random | None = None,
    ) -> None:
        self.stragglers = Stragglers()
        self._threads = threads or DaemonThreads()
        self._processes = processes
        self._watchdog = watchdog
        self._grace = grace
        self._random = random or Random()  # noqa: S311 - jitter, no secrets
        self._cache = Cache()
        self._lanes: WeakKeyDictionary[Tool[Any], Lane] = WeakKeyDictionary()

    def close(self) -> None:
        """Begin no further call in a thread. Waits for nothing."""
        self._threads.close()

    def turn(self, tool: Tool[Any], call_id: str, watch: Watch) -> Turn:
        """The turn of one call by the tool's `rate` and `concurrency`, one for all runs. See `Turn`."""
        if tool.rate is None and tool.concurrency is None:
            return Turn(tool.name, None, call_id, watch)
        if tool not in self._lanes:
            self._lanes[tool] = Lane(tool)
        return Turn(tool.name, self._lanes[tool], call_id, watch)

    def refused(self, tool: Tool[Any], arguments: str) -> ToolOutcome | None:
        """What `call` would say of arguments that do not fit, and None where they do: nobody need be asked for them."""
        try:
            tool.signature.read(arguments)
        except Exception as error:  # noqa: BLE001 - parameters' types bring validators of the user's
            return shown(failed(error, 0.0), tool.max_result)
        return None

    def known(self, tool: Tool[D], arguments: str, context: Context[D], *, readable: bool = True) -> ToolOutcome | None:
        """What `call` would say without running anything: of arguments that do not fit, or by the cache. Else None.

        So nobody need wait for a turn to hear it.
        """
        opened = self._open(tool, arguments, context)
        return _shown(opened, tool, context, readable=readable) if isinstance(opened, ToolOutcome) else None

    async def call(
        self, tool: Tool[D], arguments: str, context: Context[D], *, turn: Turn | None = None, readable: bool = True
    ) -> ToolOutcome:
        """Call the tool with the arguments the model wrote, JSON text, and say what came of it.

        Whatever goes wrong with the call is an outcome with a text for the model; nothing is raised
        but the caller's own cancel, and that after the call has ended or the grace is over.

        Args:
            turn: The call's turn, in which the caller is; without one, rate and concurrency are not heeded.
            readable: A result that is cut tells the model how to read on, by `read_result`.

        Raises:
            SettingInvalid: the tool is for the client to run, or for a process and this Caller has none.
        """
        turn = turn or Turn(tool.name, None, context.call_id, _unwatched)
        attempts = 0
        while True:
            opened = self._open(tool, arguments, context)  # anew: an attempt may have changed what it was given
            if isinstance(opened, ToolOutcome):
                return _shown(opened, tool, context, readable=readable)
            values, asked = opened
            outcome = await self._attempt(tool, values, context, turn)
            attempts += 1
            pause = self._pause(tool, outcome, attempts, context.deadline)
            if pause is None or turn.outlasted:
                break
            turn.repeating(attempts, pause, outcome.code or "")
            await asyncio.sleep(pause)
            await turn.keep_pace()
        if outcome.status == "ok" and asked is not None and tool.cache is not None:
            self._cache.put(asked, outcome.content, asyncio.get_running_loop().time(), tool.cache)
        return _shown(outcome, tool, context, readable=readable)

    def _open(
        self, tool: Tool[D], arguments: str, context: Context[D]
    ) -> ToolOutcome | tuple[Mapping[str, Any], Question | None]:
        """What can be said at once, or else what to call the tool with, and what to remember its result by."""
        try:
            values = tool.signature.read(arguments)
        except Exception as error:  # noqa: BLE001 - parameters' types bring validators of the user's
            return failed(error, 0.0)
        asked = None if tool.cache is None else question(tool, values, context)
        text = None if asked is None else self._cache.get(asked, asyncio.get_running_loop().time())
        return (values, asked) if text is None else ToolOutcome("ok", text)

    def _pause(self, tool: Tool[Any], outcome: ToolOutcome, attempts: int, deadline: float) -> float | None:
        """Seconds until the next attempt; None if there is none. Whoever failed is judged as a provider would be."""
        if attempts > tool.retries or not (outcome.code in UNEXPECTED or outcome.error is not None):
            return None
        left = None if deadline == inf else deadline - asyncio.get_running_loop().time()
        error = outcome.error or ProviderUnavailable(outcome.content)
        decision = decide(error, attempts - 1, left, self._random, most=tool.retries)
        return decision.delay if decision.again else None

    async def _attempt(self, tool: Tool[D], values: Mapping[str, Any], context: Context[D], turn: Turn) -> ToolOutcome:
        loop = asyncio.get_running_loop()
        began = loop.time()
        line = Line(context.tell, loop)
        deadline = min(context.deadline, began + tool.timeout)
        spoken = replace(context, deadline=deadline, tell=line.say, beat=line.beat, clock=loop.time)
        work = self._begin(tool, values, spoken)
        try:
            overdue = await self._see_through(work, tool, line, turn, context.run_id)
        finally:
            line.cut()
        seconds = loop.time() - began
        return settled(work, seconds) if overdue is None else overran(tool, work, overdue, seconds)

    def _begin(self, tool: Tool[D], values: Mapping[str, Any], context: Context[D]) -> Work:
        function: Callable[..., Any] = tool.function
        positional = (context,) if tool.signature.takes_context else ()
        match tool.run_in:
            case "loop":
                context.heartbeat()
                task = asyncio.create_task(_guarded(function, positional, values, context), name=f"tool {tool.name}")
                if self._watchdog is not None:
                    self._watchdog.watch(task, tool.name, context.run_id, context.call_id)
                return task
            case "thread":
                return self._threads.start(lambda: _plainly(function, positional, values, context))
            case "process":
                if self._processes is None:
                    raise SettingInvalid(f'tool "{tool.name}" runs in a process, and this Caller has none')
                return self._processes.start(function, values)
            case "client":
                raise SettingInvalid(f'tool "{tool.name}" is for the client to run')

    async def _see_through(self, work: Work, tool: Tool[Any], line: Line, turn: Turn, run_id: str) -> str | None:
        """Wait for the work. None: it was in time. Else it has been stopped or handed over, and the text says why."""
        loop = asyncio.get_running_loop()
        end = loop.time() + tool.timeout
        until = min(end, line.silent_until(tool.idle_timeout))
        try:
            while True:
                await asyncio.wait((work,), timeout=until - loop.time())
                heard_until = min(end, line.silent_until(tool.idle_timeout))
                if work.done() or heard_until <= until:
                    break
                until = heard_until
        except asyncio.CancelledError:
            await self._stop(work, tool.name, run_id, turn)
            raise
        if work.done():
            return None
        await self._stop(work, tool.name, run_id, turn)
        return f"was not done in {tool.timeout:g} s" if until >= end else f"was silent for {tool.idle_timeout:g} s"

    async def _stop(self, work: Work, name: str, run_id: str, turn: Turn) -> None:
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
            turn.outlasted_by(work)
        if cancelled is not None:
            raise cancelled


def _unwatched(_: object) -> None:
    """Is told of a call that nobody watches."""


def _shown(outcome: ToolOutcome, tool: Tool[Any], context: Context[Any], *, readable: bool) -> ToolOutcome:
    return shown(outcome, tool.max_result, context.call_id if readable else "")


def _plainly(
    function: Callable[..., Any], positional: tuple[Any, ...], values: Mapping[str, Any], context: Context[Any]
) -> str:
    """A plain function, in its thread, from which it is alive."""
    context.heartbeat()
    return as_text(function(*positional, **values))


async def _guarded(
    function: Callable[..., Any], positional: tuple[Any, ...], values: Mapping[str, Any], context: Context[Any]
) -> str | BaseException:
    """The user's coroutine, its exceptions as values: none reaches the loop or is logged as never retrieved."""
    try:
        made = function(*positional, **values)
        return as_text(await (last_of(made, context.tell) if isasyncgen(made) else made))
    except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt):
        raise  # the task's own end, the coroutine's, and the person's at the keyboard
    except BaseException as error:  # noqa: BLE001 - a user's callable; a library's sys.exit() must not end a server
        return error
