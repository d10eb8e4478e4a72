"""Users' code around a turn of the model, around the execution of a tool, and beside a run.

Theory: such code may swallow a cancel, and whoever waited for it would wait for ever. So it runs where tools run: in a
task that `toolbox/call.py` owns, which is told to stop, has the grace to do so, and is a straggler then. What a
middleware proceeds to runs within that task; it is our code, and ends with the cancel. From then on there is no
proceeding: neither a middleware that swallowed its cancel nor a straggler asks a model or calls a tool.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Generic, TypeVar

import msgspec
from msgspec.structs import replace
from pydantic import create_model

from agentrt.errors import AgentrtError, GateTimeout, JournalFailed, ProviderError, ToolError
from agentrt.messages import ToolCall
from agentrt.middleware import AroundModel, AroundTool, ProceedModel, ProceedTool
from agentrt.model.model import ModelReply, ModelRequest
from agentrt.runs.carried import Carried
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import RunIn, Tool
from agentrt.toolbox.lower import as_text
from agentrt.toolbox.outcome import ToolOutcome, failed, shown
from agentrt.toolbox.schema import Signature

T = TypeVar("T")

Wanted = Callable[[], Awaitable[None]]
"""Returns while the code is wanted that asks, and is cancelled once it is not."""


@cache
def _no_arguments() -> Signature:
    """Made when it is first needed: pydantic's first model takes 10 ms."""
    return Signature("", msgspec.Raw(b"{}"), takes_context=False, arguments=create_model("nothing"))


class MiddlewareFailed(AgentrtError):
    """A middleware around the model failed, so there is no reply."""

    code = "middleware_failed"


async def around_model(run: Carried, request: ModelRequest, ask: ProceedModel) -> ModelReply:
    """The model's reply by way of the agent's middleware, the first of which is outermost.

    Raises:
        ProviderError, GateTimeout: the model could not be asked, and no middleware had an answer.
        MiddlewareFailed: one of them failed.
    """

    async def work(wanted: Wanted) -> ModelReply:
        alone = asyncio.Lock()

        async def innermost(asked: ModelRequest) -> ModelReply:
            await wanted()
            if alone.locked():
                raise RuntimeError("proceed: the model is being asked already; expected one turn after the other")
            async with alone:
                return await ask(asked)

        proceed: ProceedModel = innermost
        for around in reversed(run.role.agent.around_model):
            proceed = _model_layer(around, proceed)
        return await proceed(request)

    try:
        return await on_loop(run, "around_model", work)
    except (ProviderError, GateTimeout, JournalFailed):
        raise
    except Exception as error:
        raise MiddlewareFailed(
            f"a middleware around the model failed ({type(error).__name__}); "
            f"the log of run {run.order.run_id} says more"
        ) from error


def _model_layer(around: AroundModel, inner: ProceedModel) -> ProceedModel:
    async def proceed(request: ModelRequest) -> ModelReply:
        reply: Any = await around(request, inner)
        if isinstance(reply, ModelReply):
            return reply
        raise TypeError(f"{_name(around)}: expected a ModelReply, came {reply!r:.80}")

    return proceed


async def around_tool(
    run: Carried, tool: Tool[Any], call: ToolCall, context: Context[Any], perform: ProceedTool
) -> ToolOutcome:
    """What came of the call, by way of the agent's middleware. What one of them raises is for the model to read."""

    async def work(wanted: Wanted) -> ToolOutcome:
        async def innermost(asked: ToolCall) -> ToolOutcome:
            await wanted()
            return await perform(replace(call, arguments=asked.arguments))

        proceed: ProceedTool = innermost
        for around in reversed(run.role.agent.around_tool):
            proceed = _tool_layer(around, tool, context, proceed)
        return await proceed(call)

    began = asyncio.get_running_loop().time()
    try:
        return await on_loop(run, tool.name, work)
    except Exception as error:  # noqa: BLE001 - a user's callable
        return shown(failed(error, asyncio.get_running_loop().time() - began), tool.max_result)


def _tool_layer(around: AroundTool[Any], tool: Tool[Any], context: Context[Any], inner: ProceedTool) -> ProceedTool:
    async def proceed(call: ToolCall) -> ToolOutcome:
        result = await around(call, context, inner)
        return result if isinstance(result, ToolOutcome) else shown(ToolOutcome("ok", as_text(result)), tool.max_result)

    return proceed


async def on_loop(
    run: Carried, name: str, work: Callable[[Wanted], Awaitable[T]], *, timeout: float | None = None
) -> T:
    """What the users' coroutine returns.

    Args:
        name: Names a straggler.
        timeout: Seconds; without, what is left to the run.

    Raises:
        ToolError: it took longer, or cancelled itself.
        Exception: what it raised.
    """
    came = _Came[T]()

    async def guarded() -> None:
        task = asyncio.current_task()
        assert task is not None

        async def wanted() -> None:
            await asyncio.sleep(0)  # who tries again and again must not hold the loop
            if task.done() or task.cancelling():
                raise asyncio.CancelledError

        try:
            came.value = await work(wanted)
        except Exception as error:  # noqa: BLE001 - a user's callable; it is raised where it is waited for
            came.error = error

    return await _call(run, name, guarded, "loop", timeout, came)


async def in_thread(run: Carried, name: str, work: Callable[[], T], *, timeout: float | None = None) -> T:
    """What the users' plain function returns; as `on_loop`."""
    came = _Came[T]()

    def guarded() -> None:
        try:
            came.value = work()
        except Exception as error:  # noqa: BLE001 - as above
            came.error = error

    return await _call(run, name, guarded, "thread", timeout, came)


class _Came(Generic[T]):
    """What users' code returned or raised."""

    value: T
    error: Exception | None = None


async def _call(
    run: Carried, name: str, function: Callable[[], Any], where: RunIn, timeout: float | None, came: _Came[T]
) -> T:
    if timeout is None:
        left = run.record.deadline - asyncio.get_running_loop().time()
        timeout = max(0.0, left) + 1  # the run's own deadline comes first
    name = re.sub(r"[^\w-]", "_", name, flags=re.ASCII)[:64]
    tool = Tool(name, "", function, _no_arguments(), where, timeout)
    outcome = await run.ports.caller.call(tool, "{}", Context(None, run_id=run.order.run_id))
    if came.error is not None:
        raise came.error
    if outcome.status != "ok":
        raise ToolError(outcome.content, code=outcome.code)
    return came.value


def _name(function: object) -> str:
    return getattr(function, "__name__", type(function).__name__)
