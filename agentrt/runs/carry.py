"""The one loop. Whatever a run does, it does here; the only place in this room that makes moves."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import cast

from agentrt.events import MessageAdded, ModelReplied
from agentrt.messages import AssistantMessage, ToolCall, Usage
from agentrt.runs.around import on_loop
from agentrt.runs.ask import ask_model
from agentrt.runs.carried import Carried
from agentrt.runs.execute import execute, key_of
from agentrt.runs.feed import shown_text
from agentrt.runs.guardrails import begin_screening, check_said, screened
from agentrt.runs.moves import AskModel, CallTools, End, Move, Rest, next_move
from agentrt.runs.output import settled
from agentrt.runs.perform import perform
from agentrt.runs.reads import Reads


async def carry(run: Carried) -> End | Rest:
    """Make the moves until there is none left, or none without a person.

    Raises:
        ProviderError: the model could not be asked.
        GateTimeout: its gate cannot let us through before the deadline.
        JournalFailed: a fact could not be kept.
        MiddlewareFailed: a middleware around the model failed.
        Tripped: a guardrail would not let the input or the answer pass.
    """
    try:
        async with asyncio.TaskGroup() as group:
            run.reads = Reads(group, partial(execute, run))
            begin_screening(run, group)
            try:
                return await _moves(run)
            finally:
                run.reads.keep(())
                if run.screen is not None:
                    run.screen.cancel()
    except ExceptionGroup as failed:
        failure = _first(failed)
    raise failure


async def _moves(run: Carried) -> End | Rest:
    while True:
        move = next_move(run.record.state, run.order.budget, run.ports.now())
        match await _ready(run, move):
            case AskModel(offer_tools):
                await _ask(run, offer_tools=offer_tools)
            case CallTools(calls):
                await _call(run, calls)
                if any(call in calls and not run.record.state.decision(call.id) for call in run.record.state.due_calls):
                    return End("failed", "internal", "a call ended without a result")
            case Rest() as move:
                if not await run.control.awake() and run.record.state.stop is None:
                    run.control.closing = True
                    return move
            case End() as move:
                end = await settled(run) if move.outcome == "success" else move
                if end is not None and not (end.outcome == "success" and run.record.state.steered):
                    run.control.closing = True
                    return end


async def _ready(run: Carried, move: Move) -> Move:
    """The move, in the role that makes it; the end, if there is nothing left to spend on it."""
    if isinstance(move, AskModel | CallTools):
        if over := run.order.ledger.overdrawn():
            return End("budget", "budget_exceeded", f"the run has used up its budget: {over}")
        state = run.record.state
        name = state.agent if isinstance(move, AskModel) else state.speaker
        run.role = await run.roles.of(name, partial(on_loop, run))
    return move


async def _ask(run: Carried, *, offer_tools: bool) -> None:
    """One turn of the model; the reply may be cut, and what was shown of it stays."""
    for message in run.record.state.steered:
        await check_said(run, message)
        await run.record.keep(MessageAdded(message=message))
    async with run.control.asking() as scope:
        await ask_model(run, offer_tools=offer_tools)
    if scope.expired():
        await cut_reply(run)
    if run.reads:
        run.reads.keep({key for call in run.record.state.calls if (key := key_of(run, call)) is not None})


async def cut_reply(run: Carried) -> None:
    """Keep, as a reply that was cut, the text that viewers have seen of a reply that will not come."""
    message_id, text = shown_text(run.record.feed.events)
    if text:
        message, usage = AssistantMessage(content=text), Usage(requests=1, estimated=True)
        await run.record.keep(ModelReplied(message_id=message_id, message=message, finish="cancelled", usage=usage))


async def _call(run: Carried, calls: tuple[ToolCall, ...]) -> None:
    """These calls side by side, each a task that can be stopped alone."""
    interrupted = run.record.state.started  # nothing of this batch runs yet: these began in a process that died
    _share(run, calls)
    try:
        async with asyncio.TaskGroup() as group:
            for call in calls:
                work = _perform(run, call, again=call.id in interrupted)
                run.control.running[call.id] = call, group.create_task(work, name=f"{call.name} {call.id}")
    finally:
        run.control.running.clear()
        run.reads.keep(())


async def _perform(run: Carried, call: ToolCall, *, again: bool) -> None:
    """Run one call, which waits for the guardrails of the input unless it only reads."""
    tool = run.role.registry.get(call.name)
    if tool is None or not tool.early:
        await screened(run)
    await perform(run, call, again=again)


def _share(run: Carried, calls: tuple[ToolCall, ...]) -> None:
    """Begin the reads that more than one of the calls want."""
    if len({call.name for call in calls}) == len(calls):
        return
    keys = [(key_of(run, call), call) for call in calls if run.record.state.stop_of(call.id) is None]
    times = Counter(key for key, _ in keys)
    for key, call in keys:
        tool = run.role.registry.get(call.name)
        if key is not None and times[key] > 1 and tool is not None:
            run.reads.begin(key, tool, call)


def _first(failed: ExceptionGroup[Exception]) -> Exception:
    """The first of the errors inside, for they came in the order in which they happened."""
    inner: Exception | ExceptionGroup[Exception] = failed.exceptions[0]
    while isinstance(inner, ExceptionGroup):
        inner = cast("ExceptionGroup[Exception]", inner).exceptions[0]
    return inner
