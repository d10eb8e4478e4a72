"""The rule for intents: what becomes of a call that was running when its process died.

Its `ToolStarted` is a fact and its result is none, so nobody knows whether it took effect. It runs again
where that does no harm; otherwise the model is told, and decides. No call is ever promised to run exactly
once, but a call that changes the world runs at most once.
"""

from __future__ import annotations

from typing import Any

from agentrt.events import ApprovalGiven, CancelAsked, ToolReturned
from agentrt.messages import ToolCall, Usage
from agentrt.toolbox.define import Tool
from agentrt.toolbox.outcome import ToolOutcome

OUTCOME_UNKNOWN = ToolOutcome(
    "error",
    "The process that ran this call died before the call had returned. Nobody knows whether it took effect. "
    "It was not run again.",
    "outcome_unknown",
)


def may_run_again(tool: Tool[Any] | None) -> bool:
    """Whether an interrupted call of this tool may run once more; None is a tool that is no more."""
    return tool is not None and tool.repeatable


def stopped_alone(asked: CancelAsked) -> ToolOutcome:
    """The outcome of a call that was stopped while its run went on."""
    return ToolOutcome("cancelled", f"The call was stopped: {asked.reason or 'somebody asked for that'}.", "cancelled")


def denied(given: ApprovalGiven) -> ToolOutcome:
    """The outcome of a call that nobody wanted to run."""
    why = f": {given.reason}" if given.reason else ""
    return ToolOutcome("denied", f"The call was not approved and did not run{why}.", "denied")


def returned(call: ToolCall, outcome: ToolOutcome, usage: Usage | None = None) -> ToolReturned:
    """The fact that the call came to this. `usage` is what runs spent that it began."""
    return ToolReturned(
        call_id=call.id,
        name=call.name,
        status=outcome.status,
        content=outcome.content,
        code=outcome.code,
        seconds=outcome.seconds,
        rest=outcome.rest,
        usage=usage,
    )
