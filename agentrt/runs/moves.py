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


class End(msgspec.Struct, frozen=True):
    """The run is over. `code` is one of errors.py; None for a success."""

    outcome: Outcome
    code: str | None = None
    message: str = ""


Move = AskModel | CallTools | End

_STOPPED = {
    "content_filter": "the provider's content filter stopped the answer",
    "refusal": "the model refused to answer",
}


def next_move(state: RunState, budget: Budget, now: float) -> Move:
    """What to do in `state`. `now` is seconds since 1970, as is `state.ends_at`."""
    if state.cancel is not None:
        return End("cancelled", "cancelled", state.cancel)
    cut_short = state.finish == "cancelled"
    if state.turns and isinstance(state.messages[-1], AssistantMessage) and not state.calls and not cut_short:
        stopped = _STOPPED.get(state.finish or "")
        return End("failed", "content_filtered", stopped) if stopped else End("success")
    if now >= state.ends_at:
        return End("deadline", "run_timeout", "the run's deadline passed")
    if cut_short:
        return End("failed", "internal", "the process died while it ended the run")
    if over := _over_budget(state, budget):
        return over
    calls = state.open_calls
    return CallTools(calls) if calls else AskModel(offer_tools=state.turns + 1 < budget.turns)


def _over_budget(state: RunState, budget: Budget) -> End | None:
    if state.turns >= budget.turns:
        spent = f"{state.turns} of {budget.turns} turns"
    elif state.tool_calls > budget.tool_calls:
        spent = f"{state.tool_calls} tool calls asked for, {budget.tool_calls} allowed"
    elif budget.tokens is not None and state.usage.total_tokens >= budget.tokens:
        spent = f"{state.usage.total_tokens} of {budget.tokens} tokens"
    else:
        return None
    return End("budget", "budget_exceeded", f"the run has used up its budget: {spent}")
