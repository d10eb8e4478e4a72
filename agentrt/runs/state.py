"""The state of a run is the fold of its facts: `reduce(apply, facts, RunState())`.

Pure: no clock, no I/O. Given the same facts it gives the same state, in the process that lived the run
and in the one that reads it back. Results land in whatever order the tools finish; the transcript holds
them in the order of the calls, so that what the model reads does not depend on timing.

While a run does nothing but wait for people its clock stands still: the time goes to `ends_at`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import assert_never

import msgspec
from msgspec.structs import replace

from agentrt.events import (
    ApprovalAsked,
    ApprovalGiven,
    CancelAsked,
    ClientAsked,
    Fact,
    HandedOff,
    MessageAdded,
    ModelReplied,
    OutputRejected,
    RunEnded,
    RunResumed,
    RunStarted,
    Steered,
    StopMode,
    Summarised,
    ToolReturned,
    ToolStarted,
)
from agentrt.messages import (
    Answer,
    AssistantMessage,
    FinishReason,
    Message,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)


class Stop(msgspec.Struct, frozen=True):
    """The run was asked to stop, in this mode."""

    mode: StopMode
    reason: str


class Summary(msgspec.Struct, frozen=True):
    """What stands for the first `covers` messages of the conversation where the model reads it."""

    text: str
    covers: int


class RunState(msgspec.Struct, frozen=True):
    """Where a run stands.

    `messages` is a valid transcript but for `calls`, the calls of the last reply, whose results so far
    are `landed`; they join the transcript together. `started` are the ids of calls with an intent and no
    result: while a run lives they are running, and after the death of its process nobody knows. `waiting` are those
    that wait for somebody: for the client's result if they are `handed_out`, else for a decision, as `decided` keeps
    them. `stopped` are the calls that are to stop, and why.
    `steered` is what was said into the run and has not joined the conversation. `agent` is who goes on with it, by
    name, and `speaker` who said the last reply. `at` is when the last fact happened.
    """

    run_id: str = ""
    agent: str = ""
    speaker: str = ""
    at: float = 0.0
    ends_at: float = float("inf")
    messages: tuple[Message, ...] = ()
    turns: int = 0
    tool_calls: int = 0
    calls: tuple[ToolCall, ...] = ()
    landed: tuple[ToolMessage, ...] = ()
    started: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()
    handed_out: frozenset[str] = frozenset()
    decided: tuple[ApprovalGiven, ...] = ()
    stopped: tuple[CancelAsked, ...] = ()
    steered: tuple[UserMessage, ...] = ()
    summary: Summary | None = None
    corrections: int = 0
    usage: Usage = Usage()
    finish: FinishReason | None = None
    stop: Stop | None = None
    ended: RunEnded | None = None

    @property
    def open_calls(self) -> tuple[ToolCall, ...]:
        """Calls without a result."""
        if not self.landed:
            return self.calls
        done = {result.call_id for result in self.landed}
        return tuple(call for call in self.calls if call.id not in done)

    @property
    def due_calls(self) -> tuple[ToolCall, ...]:
        """Calls without a result that wait for nobody."""
        return (
            tuple(call for call in self.open_calls if call.id not in self.waiting) if self.waiting else self.open_calls
        )

    @property
    def resting(self) -> bool:
        """Whether there is nothing to do until somebody decides about a call, or gives its result."""
        return bool(self.waiting) and self.ended is None and not self.due_calls

    @property
    def transcript(self) -> tuple[Message, ...]:
        """`messages`, valid even where the run was cut short: a call whose result was lost gets one that says so."""
        landed = {result.call_id: result for result in self.landed}
        return (*self.messages, *(landed.get(call.id) or self._without_result(call) for call in self.calls))

    def decision(self, call_id: str) -> ApprovalGiven | None:
        """What was decided about a call, if it was."""
        return next((given for given in self.decided if given.call_id == call_id), None)

    def stop_of(self, call_id: str) -> CancelAsked | None:
        """That this call alone was to stop, if it was."""
        return next((asked for asked in self.stopped if asked.call_id == call_id), None)

    def _without_result(self, call: ToolCall) -> ToolMessage:
        waits = call.id in self.waiting
        text = "The call waits for a person." if waits else "The call was stopped: its result was lost."
        return ToolMessage(call.id, call.name, text)

    @property
    def text(self) -> str:
        """The text of this run's last reply; empty before the first."""
        last = self.messages[-1] if self.messages and self.turns else None
        return last.content if isinstance(last, AssistantMessage) else ""

    def answer(self) -> Answer:
        """What the run has come to so far."""
        waiting = tuple(call for call in self.open_calls if call.id in self.waiting) if self.waiting else ()
        messages = self.transcript if self.calls else self.messages
        return Answer(self.text, messages, self.usage, self.run_id, self.finish, waiting)


def apply(state: RunState, fact: Fact) -> RunState:  # noqa: C901, PLR0911, PLR0912 - one case for each fact
    """The state after one more fact."""
    waited = fact.at - state.at if state.waiting and state.resting else 0.0
    state = replace(state, at=fact.at, ends_at=state.ends_at + max(0.0, waited))
    match fact:
        case RunStarted():
            return replace(
                state,
                run_id=fact.run_id,
                agent=fact.agent,
                ends_at=fact.ends_at,
                messages=(*state.messages, *fact.messages),
            )
        case ModelReplied():
            return _replied(state, fact)
        case ToolStarted():
            return replace(state, started=state.started | {fact.call_id})
        case ToolReturned():
            return _returned(state, fact)
        case ApprovalAsked():
            return replace(state, waiting=state.waiting | {fact.call_id})
        case ClientAsked():
            handed_out = state.handed_out | {fact.call_id}
            return replace(state, waiting=state.waiting | {fact.call_id}, handed_out=handed_out)
        case ApprovalGiven():
            return replace(state, waiting=state.waiting - {fact.call_id}, decided=(*state.decided, fact))
        case Steered():
            return replace(state, steered=(*state.steered, fact.message))
        case MessageAdded():
            return replace(state, messages=(*state.messages, fact.message), steered=state.steered[1:])
        case OutputRejected():
            message = UserMessage(fact.message)
            return replace(state, messages=(*state.messages, message), corrections=state.corrections + 1)
        case HandedOff():
            return replace(state, agent=fact.agent)
        case Summarised():
            return replace(state, summary=Summary(fact.text, fact.covers), usage=state.usage + fact.usage)
        case CancelAsked():
            if fact.call_id is not None:
                return replace(state, stopped=(*state.stopped, fact))
            return replace(state, stop=Stop(fact.mode, fact.reason or "asked"))
        case RunResumed():
            return state
        case RunEnded():
            return replace(state, ended=fact, usage=fact.usage)
        case _:
            assert_never(fact)


def _replied(state: RunState, fact: ModelReplied) -> RunState:
    return replace(
        state,
        messages=(*state.messages, fact.message),
        turns=state.turns + 1,
        tool_calls=state.tool_calls + len(fact.message.tool_calls),
        calls=fact.message.tool_calls,
        speaker=state.agent,
        landed=(),
        started=frozenset(),
        waiting=frozenset(),
        handed_out=frozenset(),
        decided=(),
        stopped=(),
        usage=state.usage + fact.usage,
        finish=fact.finish,
    )


def _returned(state: RunState, fact: ToolReturned) -> RunState:
    state = replace(
        state,
        started=state.started - {fact.call_id},
        waiting=state.waiting - {fact.call_id},
        usage=state.usage if fact.usage is None else state.usage + fact.usage,
        landed=(*state.landed, ToolMessage(fact.call_id, fact.name, fact.content)),
    )
    if len(state.landed) < len(state.calls):
        return state
    by_call = {one.call_id: one for one in state.landed}
    ordered = tuple(by_call[call.id] for call in state.calls)
    return replace(state, messages=(*state.messages, *ordered), calls=(), landed=())


_BEFORE = RunState()


def fold(facts: Iterable[Fact], state: RunState = _BEFORE) -> RunState:
    """The state after all of `facts`."""
    return reduce(apply, facts, state)
