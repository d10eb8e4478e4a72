"""One tool call of a run, from its intent to its result.

What a call may need besides being executed: somebody's approval, or a client that runs it. It asks by a fact, and
waits here while somebody attends to the run; otherwise it ends without a result, and the run rests.
"""

from __future__ import annotations

from typing import Literal

from agentrt.events import ApprovalAsked, ClientAsked, HandedOff, ToolStarted
from agentrt.messages import ToolCall
from agentrt.runs.carried import Carried
from agentrt.runs.execute import execute, idempotency_key, key_of
from agentrt.runs.intents import OUTCOME_UNKNOWN, denied, may_run_again, returned, stopped_alone
from agentrt.runs.reading import read_on
from agentrt.toolbox.outcome import ToolOutcome, unknown_tool
from agentrt.toolbox.results import READ_RESULT


async def perform(run: Carried, call: ToolCall, *, again: bool) -> None:
    """Run one call; its result is a fact the moment it lands. A tool that fails stops nobody else."""
    outcome = await _outcome(run, call, again=again)
    if outcome is not None:
        await run.record.keep(returned(call, outcome, run.order.ledger.taken(call.id)))
        run.control.changed()


async def _outcome(run: Carried, call: ToolCall, *, again: bool) -> ToolOutcome | None:
    """What came of the call; None if that is for somebody else to say."""
    tool = run.role.registry.get(call.name)
    stopped = run.record.state.stop_of(call.id)
    if stopped is not None:
        return stopped_alone(stopped)
    if tool is None:
        return await _without_tool(run, call, again=again)
    if again and not may_run_again(tool):
        return OUTCOME_UNKNOWN
    asks = tool.needs_approval or tool.run_in == "client"
    if asks and (refused := run.ports.caller.refused(tool, call.arguments)) is not None:
        return refused
    if tool.needs_approval and (given := await _decision(run, call)) is not True:
        return given
    if tool.run_in == "client":
        await run.record.keep(ClientAsked(call_id=call.id, name=call.name, arguments=call.arguments))
        await run.control.settled(call.id)
        return None
    key = idempotency_key(run.order.run_id, call.id)
    intent = ToolStarted(call_id=call.id, name=call.name, arguments=call.arguments, idempotency_key=key)
    await run.record.keep(intent)
    if run.reads and (read := key_of(run, call)) is not None and read in run.reads:
        return await run.reads.outcome(read, call, run.record.tell)
    return await execute(run, tool, call, run.record.tell)


async def _without_tool(run: Carried, call: ToolCall, *, again: bool) -> ToolOutcome:
    if call.name in run.role.handoffs:
        return await _hand_over(run, run.role.handoffs[call.name])
    if call.name == READ_RESULT.name:
        return await read_on(run, call)
    return OUTCOME_UNKNOWN if again else unknown_tool(call.name, run.role.registry.names)


async def _hand_over(run: Carried, agent: str) -> ToolOutcome:
    """From the next turn on. The first of several handoffs in one reply counts."""
    state = run.record.state
    if state.agent == state.speaker:
        await run.record.keep(HandedOff(agent=agent))
    if run.record.state.agent != agent:
        return ToolOutcome("error", f"The conversation goes to {run.record.state.agent} already.", "handed_off")
    return ToolOutcome("ok", f"The conversation is handed over to {agent}.")


async def _decision(run: Carried, call: ToolCall) -> ToolOutcome | Literal[True] | None:
    """True once the call may run; the outcome if it may not; None if nobody says so here and now."""
    given = run.record.state.decision(call.id)
    if given is None:
        await run.record.keep(ApprovalAsked(call_id=call.id, name=call.name, arguments=call.arguments))
        if not await run.control.settled(call.id):
            return None
        given = run.record.state.decision(call.id)
    if given is None:
        return None
    return True if given.approved else denied(given)
