"""What clients say to a run: that it stop, or one call of it; decisions, results, and words to the model.

Theory: a run that goes on is told at once. One that rests is taken up again for what it is told, so an answer may come
days later, and after a restart. One thing at a time is said to a run, so that of two who answer at once only the first
takes it up.
"""

from __future__ import annotations

from agentrt.errors import SettingInvalid
from agentrt.messages import AssistantMessage
from agentrt.runs.decisions import Approved, Decision, Denied, Returned
from agentrt.runs.owner import Run
from agentrt.runs.state import RunState
from agentrt.server.commands import ApprovalRespond, Reaching, RunCancel, RunSteer, ToolCancel, ToolResult
from agentrt.server.desk import Desk
from agentrt.server.inputs import said
from agentrt.server.protocol import Refused
from agentrt.server.shows import Show

MAX_RESULT = 65_536
"""Bytes of a result that a client gives."""

_MAX_REASON = 200
"""Characters of a client's reason for a cancel that are kept."""

_MAX_NOTE = 2_000
"""Characters of the note to a decision that are kept: the model reads it."""

_Word = RunCancel | ToolCancel | ApprovalRespond | ToolResult


async def reach(desk: Desk, who: str | None, asked: Reaching) -> Show | None:
    """Say it to the run. If that took up a run that had come to rest: the run as it is shown from now on.

    Raises:
        Refused: it cannot be said, or there is nobody to hear it.
    """
    if isinstance(asked, ApprovalRespond) and asked.edited_args is not None:
        raise Refused("not_supported", "edited_args: arguments cannot be edited yet; deny, and say in the note why")
    if isinstance(asked, ToolResult) and len((asked.error or asked.content).encode()) > MAX_RESULT:
        raise Refused("payload_too_large", f"content: expected up to {MAX_RESULT:,} bytes")
    async with desk.alone(who, asked.run_id):
        show = await desk.find(who, asked.run_id)
        if isinstance(asked, RunSteer):
            _steer(show, asked)
            return None
        if await _told(show, who, asked):
            return None
        _check(asked, state := await desk.state_of(show), show)
        if not state.resting:
            raise Refused("run_finished", "the run has ended")
        show = await desk.resume(show)
        assert show.run is not None
        _tell(show, show.run, who, asked)
        return show


def _steer(show: Show, asked: RunSteer) -> None:
    if not show.steer(asked.message.id, [said(asked.message)], asked.when):
        raise Refused("run_finished", "the run has ended, rests, or is about to: nobody would hear that")


async def _told(show: Show, who: str | None, asked: _Word) -> bool:
    """Whether it was said to a run that goes on."""
    run = show.run
    if run is None or show.over:
        return False
    _check(asked, run.state, show)
    rested = run.state.resting
    try:
        _tell(show, run, who, asked)
    except SettingInvalid:  # it is coming to rest, or to its end, at this very moment
        await show.ended()
        return False
    if rested and isinstance(asked, RunCancel) and run.state.stop is None:  # so it may be, or it has not begun
        await show.ended()
        return show.log.ended
    return True


def _check(asked: _Word, state: RunState, show: Show) -> None:
    """See that there is what it is about.

    Raises:
        Refused: there is not.
    """
    if isinstance(asked, RunCancel | ToolCancel) and state.ended is not None:
        raise Refused("run_finished", "the run has ended")
    if isinstance(asked, RunCancel):
        return
    call_id = asked.approval_id if isinstance(asked, ApprovalRespond) else asked.tool_call_id
    is_open = any(call.id == call_id for call in state.open_calls) and call_id not in show.answered
    if isinstance(asked, ToolCancel):
        if not is_open:
            raise Refused("no_such_tool_call", f'no call "{call_id}" is open in this run')
        return
    waiting = state.handed_out if isinstance(asked, ToolResult) else state.waiting - state.handed_out
    if is_open and call_id in waiting:
        return
    if not any(call.id == call_id for m in state.messages if isinstance(m, AssistantMessage) for call in m.tool_calls):
        raise Refused("no_such_tool_call", f'the run has no call "{call_id}"')
    what = "a result" if isinstance(asked, ToolResult) else "a decision"
    raise Refused("approval_closed", f'call "{call_id}" does not wait for {what}, or not any more')


def _tell(show: Show, run: Run, who: str | None, asked: _Word) -> None:
    """Say it.

    Raises:
        SettingInvalid: the run does not go on here any more.
    """
    match asked:
        case RunCancel():
            run.cancel(asked.reason[:_MAX_REASON] or "user", mode=asked.mode)
        case ApprovalRespond(decision="cancel_run"):
            run.cancel(asked.note[:_MAX_REASON] or "user")
        case ToolCancel() if asked.tool_call_id not in run.state.waiting:
            run.cancel_call(asked.tool_call_id, asked.reason[:_MAX_REASON])
        case _:
            decision = _decision(asked, run.state)
            run.decide(decision, by=who)
            show.answered.add(decision.call_id)


def _decision(asked: ToolCancel | ApprovalRespond | ToolResult, state: RunState) -> Decision:
    match asked:
        case ApprovalRespond(approval_id=call_id, note=note):
            return Approved(call_id) if asked.decision == "approve" else Denied(call_id, note[:_MAX_NOTE])
        case ToolResult(tool_call_id=call_id):
            return Returned(call_id, asked.content if asked.error is None else asked.error, asked.error is not None)
        case ToolCancel(tool_call_id=call_id, reason=reason):
            why = reason[:_MAX_REASON]
            if call_id in state.handed_out:
                return Returned(call_id, f"The call was stopped: {why or 'somebody asked for that'}.", error=True)
            return Denied(call_id, why)
