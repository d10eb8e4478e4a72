"""The state of a run is the fold of its facts: `reduce(apply, facts, RunState())`.

Pure: no clock, no I/O. Given the same facts it gives the same state, in the process that lived the run
and in the one that reads it back. Results land in whatever order the tools finish; the transcript holds
them in the order of the calls, so that what the model reads does not depend on timing.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import assert_never

import msgspec
from msgspec.structs import replace

from agentrt.events import (
    CancelAsked,
    Fact,
    ModelReplied,
    RunEnded,
    RunResumed,
    RunStarted,
    ToolReturned,
    ToolStarted,
)
from agentrt.messages import Answer, AssistantMessage, FinishReason, Message, ToolCall, ToolMessage, Usage


class RunState(msgspec.Struct, frozen=True):
    """Where a run stands.

    `messages` is a valid transcript but for `calls`, the calls of the last reply, whose results so far
    are `landed`; they join the transcript together. `started` are the ids of calls with an intent and no
    result: while a run lives they are running, and after the death of its process nobody knows.
    """

    run_id: str = ""
    ends_at: float = float("inf")
    messages: tuple[Message, ...] = ()
    turns: int = 0
    tool_calls: int = 0
    calls: tuple[ToolCall, ...] = ()
    landed: tuple[ToolMessage, ...] = ()
    started: frozenset[str] = frozenset()
    usage: Usage = Usage()
    finish: FinishReason | None = None
    cancel: str | None = None
    ended: RunEnded | None = None

    @property
    def open_calls(self) -> tuple[ToolCall, ...]:
        """Calls without a result."""
        if not self.landed:
            return self.calls
        done = {result.call_id for result in self.landed}
        return tuple(call for call in self.calls if call.id not in done)

    @property
    def transcript(self) -> tuple[Message, ...]:
        """`messages`, valid even where the run was cut short: a call whose result was lost gets one that says so."""
        landed = {result.call_id: result for result in self.landed}
        lost = "The call was stopped: its result was lost."
        results = (landed.get(call.id, ToolMessage(call.id, call.name, lost)) for call in self.calls)
        return (*self.messages, *results)

    @property
    def text(self) -> str:
        """The text of this run's last reply; empty before the first."""
        last = self.messages[-1] if self.messages and self.turns else None
        return last.content if isinstance(last, AssistantMessage) else ""

    def answer(self) -> Answer:
        """What the run has come to so far."""
        return Answer(self.text, self.messages, self.usage, self.run_id, self.finish)


def apply(state: RunState, fact: Fact) -> RunState:
    """The state after one more fact."""
    match fact:
        case RunStarted():
            return replace(state, run_id=fact.run_id, ends_at=fact.ends_at, messages=(*state.messages, *fact.messages))
        case ModelReplied():
            return replace(
                state,
                messages=(*state.messages, fact.message),
                turns=state.turns + 1,
                tool_calls=state.tool_calls + len(fact.message.tool_calls),
                calls=fact.message.tool_calls,
                landed=(),
                started=frozenset(),
                usage=state.usage + fact.usage,
                finish=fact.finish,
            )
        case ToolStarted():
            return replace(state, started=state.started | {fact.call_id})
        case ToolReturned():
            state = replace(state, started=state.started - {fact.call_id})
            return _landed(state, ToolMessage(fact.call_id, fact.name, fact.content))
        case RunResumed():
            return state
        case CancelAsked():
            return replace(state, cancel=fact.reason or "asked")
        case RunEnded():
            return replace(state, ended=fact)
        case _:
            assert_never(fact)


def _landed(state: RunState, result: ToolMessage) -> RunState:
    landed = (*state.landed, result)
    if len(landed) < len(state.calls):
        return replace(state, landed=landed)
    by_call = {one.call_id: one for one in landed}
    ordered = tuple(by_call[call.id] for call in state.calls)
    return replace(state, messages=(*state.messages, *ordered), calls=(), landed=())


_BEFORE = RunState()


def fold(facts: Iterable[Fact], state: RunState = _BEFORE) -> RunState:
    """The state after all of `facts`."""
    return reduce(apply, facts, state)
