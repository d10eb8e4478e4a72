"""The one loop. Whatever a run does, it does here; the only place in this room that waits."""

from __future__ import annotations

import asyncio

from agentrt.gate.grant import Knock
from agentrt.messages import AssistantMessage, Message, SystemMessage
from agentrt.model.model import ModelRequest
from agentrt.model.tokens import count_request
from agentrt.runs.ask import Turn
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
                await _ask_model(order, record, ports, offer_tools=offer_tools)
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


async def _ask_model(order: Order, record: Record, ports: Ports, *, offer_tools: bool) -> None:
    agent, state = order.agent, record.state
    request = ModelRequest(
        model=order.model,
        messages=_prompt(agent.instructions, state.messages),
        tools=agent.registry.specs if offer_tools else (),
        max_output_tokens=agent.max_output_tokens,
        temperature=agent.temperature,
    )
    turn = Turn(f"{order.run_id}:m{state.turns + 1}", ports.model, request, record.tell, _call_ids(state.messages))
    tokens = 0
    if ports.gate.limits.tokens is not None:
        tokens = count_request(request).tokens + (agent.max_output_tokens or 0)
    knock = Knock(tokens=tokens, deadline=order.deadline, watch=record.tell, model=order.model)
    await record.keep(await ports.gate.call(turn.attempt, knock))


def _prompt(instructions: str, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    return (SystemMessage(instructions), *messages) if instructions else messages


def _call_ids(messages: tuple[Message, ...]) -> set[str]:
    return {call.id for message in messages if isinstance(message, AssistantMessage) for call in message.tool_calls}
