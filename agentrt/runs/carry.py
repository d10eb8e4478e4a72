"""The one loop. Whatever a run does, it does here; the only place in this room that waits."""

from __future__ import annotations

import asyncio

from agentrt.runs.ask import ask_model
from agentrt.runs.moves import AskModel, CallTools, End, next_move
from agentrt.runs.order import Order, Ports
from agentrt.runs.perform import perform
from agentrt.runs.record import Record


async def carry(order: Order, record: Record, ports: Ports) -> End:
    """Make the moves until there is none left.

    Raises:
        ProviderError: the model could not be asked.
        GateTimeout: its gate cannot let us through before the deadline.
        JournalFailed: a fact could not be kept. From a tool call it comes in an ExceptionGroup.
    """
    while True:
        match next_move(record.state, order.budget, ports.now()):
            case AskModel(offer_tools):
                await ask_model(order, record, ports, offer_tools=offer_tools)
            case CallTools(calls):
                interrupted = record.state.started  # nothing of this batch runs yet: these began in a process that died
                async with asyncio.TaskGroup() as group:
                    for call in calls:
                        work = perform(call, order, record, ports, again=call.id in interrupted)
                        group.create_task(work, name=f"{call.name} {call.id}")
                if {call.id for call in calls} & {call.id for call in record.state.open_calls}:
                    return End("failed", "internal", "a call ended without a result")
            case End() as move:
                return move
