"""One tool call of a run, from its intent to its result."""

from __future__ import annotations

from typing import Any

from agentrt.events import ToolProgress, ToolStarted
from agentrt.messages import ToolCall
from agentrt.runs.intents import OUTCOME_UNKNOWN, may_run_again, returned
from agentrt.runs.order import Order, Ports
from agentrt.runs.record import Record
from agentrt.toolbox.call import ToolOutcome, unknown_tool
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool


async def perform(call: ToolCall, order: Order, record: Record, ports: Ports, *, again: bool) -> None:
    """Run one call; its result is a fact the moment it lands. A tool that fails stops nobody else."""
    tool = order.agent.registry.get(call.name)
    if again and not may_run_again(tool):
        outcome = OUTCOME_UNKNOWN
    elif tool is None:
        outcome = unknown_tool(call.name, order.agent.registry.names)
    else:
        outcome = await _call(tool, call, order, record, ports)
    await record.keep(returned(call, outcome))


async def _call(tool: Tool[Any], call: ToolCall, order: Order, record: Record, ports: Ports) -> ToolOutcome:
    key = f"{order.run_id}:{call.id}"
    await record.keep(ToolStarted(call_id=call.id, name=call.name, arguments=call.arguments, idempotency_key=key))
    context = Context(
        deps=order.deps,
        run_id=order.run_id,
        call_id=call.id,
        idempotency_key=key,
        deadline=order.deadline,
        metadata=order.metadata,
        tell=lambda data: record.tell(ToolProgress(call_id=call.id, name=call.name, data=data)),
    )
    return await ports.caller.call(tool, call.arguments, context)
