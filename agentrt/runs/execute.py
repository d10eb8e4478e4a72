"""One execution of a tool: through its provider's gate, or at its own pace. No fact is written here.

A tool that names a provider is called through the provider's gate, as the model is: the gate says when, and whether
to try again; the tool room makes single attempts and knows no gate. They meet here. How an attempt went is told to
the gate by what the tool raised:

- a `ProviderError` is the provider's failure, of the kind that it says;
- a result, or a `ToolError`, is the tool's: its provider has answered;
- a timeout, or any other exception, may be anybody's fault: the gate gets its permit back and no verdict.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from math import ceil
from typing import Any

from msgspec.structs import replace

from agentrt.errors import (
    AgentrtError,
    GateTimeout,
    ProviderError,
    ProviderExhausted,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnavailable,
    ProviderUnreachable,
)
from agentrt.events import ToolProgress
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock, Spare
from agentrt.messages import ToolCall
from agentrt.runs.around import around_tool
from agentrt.runs.carried import Carried
from agentrt.runs.ledger import CALL
from agentrt.runs.places import Places
from agentrt.runs.reads import Key, Tell
from agentrt.surrogates import mended_text
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool
from agentrt.toolbox.identical import canonical
from agentrt.toolbox.outcome import UNEXPECTED, ToolOutcome
from agentrt.toolbox.results import READ_RESULT, fit
from agentrt.trace import CORRELATION


def key_of(run: Carried, call: ToolCall) -> Key | None:
    """What a read may be shared by; None for any other call, and for arguments that do not fit."""
    tool = run.role.registry.get(call.name)
    if tool is None or not tool.early:
        return None
    arguments = canonical(tool, call.arguments)
    return None if arguments is None else (call.name, arguments)


async def execute(run: Carried, tool: Tool[Any], call: ToolCall, tell: Tell) -> ToolOutcome:
    """Call the tool, by way of the agent's middleware, and say what came of it."""
    order = run.order
    CALL.set(call.id)  # each call is a task of its own
    if (around := CORRELATION.get()) is not None:
        CORRELATION.set(replace(around, call_id=call.id))
    context = Context(
        deps=order.deps,
        run_id=order.run_id,
        call_id=call.id,
        idempotency_key=idempotency_key(order.run_id, call.id),
        deadline=run.record.deadline,
        metadata=order.metadata,
        principal=order.principal,
        tell=lambda data: tell(ToolProgress(call_id=call.id, name=call.name, data=data)),
    )
    if not run.role.agent.around_tool:
        return await _execute(run, tool, call, context, tell)
    return await around_tool(run, tool, call, context, lambda asked: _execute(run, tool, asked, context, tell))


async def _execute(run: Carried, tool: Tool[Any], call: ToolCall, context: Context[Any], tell: Tell) -> ToolOutcome:
    """Call the tool once its provider and its pace let us."""
    order, caller = run.order, run.ports.caller
    readable = run.role.registry.get(READ_RESULT.name) is None
    if tool.provider is None and tool.rate is None and tool.concurrency is None and not tool.retries:
        return await caller.call(tool, call.arguments, context, readable=readable)
    if (outcome := caller.known(tool, call.arguments, context, readable=readable)) is not None:
        return outcome
    async with caller.turn(tool, call.id, tell) as turn:
        work = partial(caller.call, tool, call.arguments, context, turn=turn, readable=readable)
        if tool.provider is None:
            return await work()
        attempts = _Attempts(tool, work, order.spare)
        knock = _knock(run, tool, call, tell, attempts.spare)
        return await _through(run.ports.places, run.ports.gate_of(tool.provider), attempts, knock)


def idempotency_key(run_id: str, call_id: str) -> str:
    """The same whenever a call is run again."""
    return f"{run_id}:{call_id}"


# ---- through a provider's gate -------------------------------------------------------------------------


class _Guarded(Spare):
    """The run's spare retries, but none for a call that may have taken effect and must not do so twice."""

    __slots__ = ("_run", "barred")

    def __init__(self, run: Spare) -> None:
        self._run = run
        self.barred = False

    @property
    def left(self) -> int:
        return 0 if self.barred else self._run.left

    @left.setter
    def left(self, left: int) -> None:
        self._run.left = left


class _Came(AgentrtError):
    """Carries a failure that says nothing about the provider through the gate."""

    def __init__(self, outcome: ToolOutcome) -> None:
        super().__init__(outcome.content)
        self.code = outcome.code or "tool_failed"
        self.outcome = outcome


class _Attempts:
    """The attempts at one call: the work for `Gate.call`. `seconds` is how long the last one that ended took."""

    def __init__(self, tool: Tool[Any], call: Callable[[], Awaitable[ToolOutcome]], spare: Spare) -> None:
        self.tool = tool
        self.spare = _Guarded(spare)
        self.seconds = 0.0
        self._call = call

    async def make(self, _grant: Grant) -> ToolOutcome:
        """Call the tool once. The next attempt reads the arguments anew: the tool may have changed what it got."""
        outcome = await self._call()
        self.seconds = outcome.seconds
        if outcome.error is not None:
            self.spare.barred = not (self.tool.repeatable or (outcome.alone and _not_done(outcome.error)))
            raise outcome.error
        if outcome.code in UNEXPECTED:
            raise _Came(outcome)
        return outcome


def _not_done(error: ProviderError) -> bool:
    """Whether the provider is known not to have done what was asked.

    So it is after 429 (RFC 6585: refused for the rate) and where nothing was sent. 503 is not among them, not even
    with Retry-After: proxies say it of requests that broke off on their way back.
    """
    return isinstance(error, ProviderThrottled) or not error.sent


def _knock(run: Carried, tool: Tool[Any], call: ToolCall, tell: Tell, spare: Spare) -> Knock:
    order = run.order
    return Knock(
        deadline=run.record.deadline,
        watch=tell,
        model=tool.name,
        call_id=call.id,
        priority=order.priority,
        tenant=order.principal or "",
        run=order.run_id,
        spare=spare,
        idempotent=tool.repeatable,
    )


async def _through(places: Places, gate: Gate, attempts: _Attempts, knock: Knock) -> ToolOutcome:
    """Whatever the gate says becomes an outcome, for the model to read."""
    try:
        return await places.call(gate, attempts.make, knock)
    except _Came as came:
        return came.outcome
    except GateTimeout as error:
        text, code = f"{gate.key} cannot be asked before the run's deadline: {error}", error.code
    except ProviderError as error:
        text, code = _in_words(gate.key, error), error.code
        if attempts.spare.barred and error.retry != "never":
            text += " (the call may have taken effect)"
    return ToolOutcome("error", fit(mended_text(text), attempts.tool.max_result), code, attempts.seconds)


def _in_words(provider: str, error: ProviderError) -> str:
    later = "" if error.retry_after is None else f", retry after {ceil(error.retry_after)} s"
    said = f": {error}" if str(error) else ""
    return f"{provider} {_state(error)}{later}{said}"


def _state(error: ProviderError) -> str:
    match error:
        case ProviderThrottled():
            return "is throttled"
        case ProviderExhausted():
            return "has no quota left"
        case ProviderUnavailable():
            return "is unavailable"
        case ProviderUnreachable():
            return "cannot be reached"
        case ProviderRefused():
            return "refused the request"
        case _:
            return "failed"
