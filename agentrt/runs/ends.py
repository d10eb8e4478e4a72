"""The first fact of a run, and the last ones: what its owner writes before and after the moves."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict

from msgspec.structs import replace

from agentrt.errors import SettingInvalid
from agentrt.events import Fact, RunEnded, RunResumed, RunStarted
from agentrt.messages import call_ids
from agentrt.runs.carried import Carried
from agentrt.runs.carry import cut_reply
from agentrt.runs.chain import apart
from agentrt.runs.intents import OUTCOME_UNKNOWN, may_run_again, returned
from agentrt.runs.moves import End
from agentrt.runs.order import Order
from agentrt.runs.state import RunState, fold
from agentrt.runs.takeover import Taken
from agentrt.toolbox.outcome import ToolOutcome


async def begin(run: Carried, taken: Taken | None, previous: str | None, before: RunState) -> Fact:
    """The run's first fact, or the first of its new epoch, behind what its thread had come to; it is to be kept.

    Raises:
        SettingInvalid: the journal has a run of this id already, which stays with its owner.
        JournalFailed: the journal could not be asked.
    """
    record, order = run.record, run.order
    if taken is not None:
        theirs = apart(before.messages, call_ids(fold(taken.facts).messages))
        record.state = fold(taken.facts, replace(before, messages=theirs))
        return RunResumed()
    record.epoch = await _take(run)
    record.state = before
    return _started(order, previous)


def _started(order: Order, previous: str | None) -> RunStarted:
    return RunStarted(
        run_id=order.run_id,
        agent=order.agent.name,
        model=order.agent.model,
        messages=order.messages,
        ends_at=order.ends_at,
        thread=order.thread,
        previous=previous,
        metadata=dict(order.metadata),
        principal=order.principal,
        budget=None if order.budget is order.agent.budget else asdict(order.budget),
        priority=order.priority,
        parent=order.parent,
        trace=order.trace or None,
    )


async def _take(run: Carried) -> int:
    """The epoch of a new run. A run that has this id already stays with its owner."""
    journal, run_id = run.ports.journal, run.order.run_id
    epoch = 0 if await journal.read(run_id) else await journal.take(run_id)
    # It may have been taken before and have no facts: whoever took it died right then, or was cancelled here.
    if epoch == 0 or (epoch > 1 and await journal.read(run_id)):
        error = SettingInvalid(f'run_id="{run_id}": the journal has a run of this id; choose another one')
        run.record.fail(error)
        raise error
    return epoch


async def close(run: Carried, end: End, interrupted: Collection[str]) -> None:
    """Let the run end, from the folded state: the text shown so far, a result for every call, then the one `RunEnded`.

    `interrupted` are the calls that began in a process that died.
    """
    record = run.record
    if end.outcome != "success":
        await cut_reply(run)
    stragglers = run.ports.caller.stragglers.of(run.order.run_id)
    for call in record.state.open_calls:
        unknown = call.id in interrupted and not may_run_again(run.role.registry.get(call.name))
        outcome = OUTCOME_UNKNOWN if unknown else _stopped(end, straggles=call.name in stragglers)
        record.happened(returned(call, outcome, run.order.ledger.taken(call.id)))
    await record.keep(
        RunEnded(
            outcome=end.outcome,
            code=end.code,
            message=end.message,
            usage=record.state.usage + run.order.ledger.rest(),
            stragglers=stragglers,
        )
    )


def _stopped(end: End, *, straggles: bool) -> ToolOutcome:
    """What came of a call that has no result when the run ends."""
    content = f"The call was stopped: {end.message or end.outcome}."
    if straggles:
        content = "The call was told to stop and has not stopped: it may still take effect."
    return ToolOutcome("cancelled", content, "cancelled")
