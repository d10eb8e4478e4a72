"""The next move follows from the state: pure, told the time.

Who wants to know why a run did what it did reads its facts and asks this function again.
"""

from __future__ import annotations

import msgspec

from agentrt.agent import Budget
from agentrt.events import Outcome
from agentrt.messages import AssistantMessage, ToolCall
from agentrt.runs.state import RunState


class AskModel(msgspec.Struct, frozen=True):
    """Ask the model. On the last turn of the budget no tools are offered, so that it must answer."""

    offer_tools: bool


class CallTools(msgspec.Struct, frozen=True):
    """Run these calls, side by side."""

    calls: tuple[ToolCall, ...]


class Rest(msgspec.Struct, frozen=True):
    """There is nothing to do until a person decides, or a client gives a result: hold nothing until then."""


class End(msgspec.Struct, frozen=True):
    """The run is over. `code` is one of errors.py; None for a success."""

    outcome: Outcome
    code: str | None = None
    message: str = ""


Move = AskModel | CallTools | Rest | End

_STOPPED = {
    "content_filter": "the provider's content filter stopped the answer",
    "refusal": "the model refused to answer",
}


def next_move(state: RunState, budget: Budget, now: float) -> Move:
    """What to do in `state`. `now` is seconds since 1970, as is `state.ends_at`."""
    stop = state.stop
    if stop is not None and stop.mode == "now":
        return End("cancelled", "cancelled", stop.reason)
    cut_short = state.finish == "cancelled" and not state.steered and isinstance(state.messages[-1], AssistantMessage)
    if not cut_short and (answered := _answered(state)):
        return answered
    if stop is not None and not state.due_calls:
        return End("cancelled", "cancelled", stop.reason)
    if state.resting:
        return Rest()
    if now >= state.ends_at:
        return End("deadline", "run_timeout", "the run's deadline passed")
    if cut_short:
        return End("failed", "internal", "the process died while it ended the run")
    if over := _over_budget(state, budget):
        return over
    calls = state.due_calls
    return CallTools(calls) if calls else AskModel(offer_tools=state.turns + 1 < budget.turns)


def _answered(state: RunState) -> End | None:
    """The end, if the model has had its say and nobody has said anything since."""
    if not state.turns or state.calls or state.steered or not isinstance(state.messages[-1], AssistantMessage):
        return None
    stopped = _STOPPED.get(state.finish or "")
    return End("failed", "content_filtered", stopped) if stopped else End("success")


def _over_budget(state: RunState, budget: Budget) -> End | None:
    if state.turns >= budget.turns:
        spent = f"{state.turns} of {budget.turns} turns"
    elif state.tool_calls > budget.tool_calls:
        spent = f"{state.tool_calls} tool calls asked for, {budget.tool_calls} allowed"
    elif budget.tokens is not None and state.usage.total_tokens >= budget.tokens:
        spent = f"{state.usage.total_tokens} of {budget.tokens} tokens"
    elif budget.usd is not None and state.usage.usd >= budget.usd:
        spent = f"{state.usage.usd:.4f} of {budget.usd:.4f} US dollars"
    else:
        return None
    return End("budget", "budget_exceeded", f"the run has used up its budget: {spent}")
