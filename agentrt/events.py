"""What can happen in a run.

*Facts* count: they stand in the journal, and the state of a run is their fold. *Passing* events are
for who watches: text as it arrives, a tool's progress, a wait at a gate. Both travel in one feed, in
one order; the run's owner stamps each with `(epoch, seq, at)`, `at` being seconds since 1970.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agentrt.messages import AssistantMessage, FinishReason, Message, Usage

ToolStatus = Literal["ok", "error", "timeout", "cancelled"]
Outcome = Literal["success", "failed", "cancelled", "deadline", "budget"]
WaitReason = Literal["concurrency", "rate", "tokens", "cooldown", "breaker"]
Priority = Literal["interactive", "background"]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """One thing that happened. The stamp is the owner's; who makes an event leaves it out."""

    epoch: int = 0
    seq: int = 0
    at: float = 0.0


# ---- facts -----------------------------------------------------------------------------------------


class RunStarted(Event, frozen=True, kw_only=True, tag="RunStarted"):
    """A run began. `messages` are the new ones only: a thread's history is the chain of its runs.

    `principal` is who asked. `budget` holds the bounds of the run's own `Budget`, None where it has its agent's.
    """

    run_id: str
    agent: str
    model: str
    messages: tuple[Message, ...]
    ends_at: float
    thread: str | None = None
    previous: str | None = None
    metadata: dict[str, str] = {}
    principal: str | None = None
    budget: dict[str, int | None] | None = None
    priority: Priority = "interactive"


class RunResumed(Event, frozen=True, kw_only=True, tag="RunResumed"):
    """The run goes on under a new owner. Its epoch is the owner's; what an older one writes is not kept."""


class ModelReplied(Event, frozen=True, kw_only=True, tag="ModelReplied"):
    """The model finished its turn (or was cut off by a cancel after showing text).

    `model` is what the provider says replied; `asked` is "provider:model", left out where it is the run's own.
    """

    message_id: str
    message: AssistantMessage
    finish: FinishReason
    usage: Usage
    model: str = ""
    asked: str | None = None


class ToolStarted(Event, frozen=True, kw_only=True, tag="ToolStarted"):
    """The intent: this call is about to run. `idempotency_key` stays the same whenever it runs again.

    A call has a second intent where it runs again because the process died in the first.
    """

    call_id: str
    name: str
    arguments: str
    idempotency_key: str


class ToolReturned(Event, frozen=True, kw_only=True, tag="ToolReturned"):
    """A call has its result; `content` is the text for the model, `seconds` how long it ran."""

    call_id: str
    name: str
    status: ToolStatus
    content: str
    code: str | None = None
    seconds: float = 0.0


class CancelAsked(Event, frozen=True, kw_only=True, tag="CancelAsked"):
    """Somebody asked the run to stop."""

    mode: Literal["now"] = "now"
    reason: str = ""


class RunEnded(Event, frozen=True, kw_only=True, tag="RunEnded"):
    """The run is over; there is exactly one. `stragglers` names the tools that would not stop."""

    outcome: Outcome
    code: str | None = None
    message: str = ""
    usage: Usage = Usage()
    stragglers: tuple[str, ...] = ()


Fact = RunStarted | RunResumed | ModelReplied | ToolStarted | ToolReturned | CancelAsked | RunEnded

# ---- passing ---------------------------------------------------------------------------------------


class TextDelta(Event, frozen=True, kw_only=True, tag="TextDelta"):
    """Text of the answer as it arrives."""

    message_id: str
    text: str


class ReasoningDelta(Event, frozen=True, kw_only=True, tag="ReasoningDelta"):
    """The model's reasoning text, where the provider shows it."""

    message_id: str
    text: str


class ArgumentsDelta(Event, frozen=True, kw_only=True, tag="ArgumentsDelta"):
    """A piece of a call's arguments. The first piece of a call may be empty and names the tool."""

    message_id: str
    call_id: str
    name: str
    text: str


class ToolProgress(Event, frozen=True, kw_only=True, tag="ToolProgress"):
    """What a tool said by `Context.emit`, lowered to JSON types."""

    call_id: str
    name: str
    data: Any


class GateWaited(Event, frozen=True, kw_only=True, tag="GateWaited"):
    """A call waits at its provider's gate: told when the wait begins (`waited` 0, `eta` expected seconds or
    None where nobody can know) and when it ends (`eta` 0). `call_id` is the tool call's, None for the model.
    A tool that waits for a rate of its own is named as the `provider`.
    """

    provider: str
    reason: WaitReason
    waited: float
    eta: float | None
    call_id: str | None = None


class CallAttempted(Event, frozen=True, kw_only=True, tag="CallAttempted"):
    """One attempt at a provider is over; seconds are this attempt's own, `received` the bytes of its answer.

    `call_id` is the tool call's, None for the model.
    """

    provider: str
    model: str
    attempt: int
    seconds: float
    queued: float
    status: int | None = None
    request_id: str | None = None
    first_byte: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    received: int | None = None
    error: str | None = None
    call_id: str | None = None


class Retrying(Event, frozen=True, kw_only=True, tag="Retrying"):
    """The attempt failed and will be made again after `delay` seconds. `call_id` as in `CallAttempted`."""

    provider: str
    attempt: int
    delay: float
    error: str
    call_id: str | None = None


class FellBack(Event, frozen=True, kw_only=True, tag="FellBack"):
    """`model` is asked in place of `instead_of`, which failed or would have failed by `error`."""

    model: str
    instead_of: str
    error: str


class Rewound(Event, frozen=True, kw_only=True, tag="Rewound"):
    """The reply broke off after part of it was shown: forget `message_id`, `replaced_by` takes its place."""

    message_id: str
    replaced_by: str


Passing = (
    TextDelta
    | ReasoningDelta
    | ArgumentsDelta
    | ToolProgress
    | GateWaited
    | CallAttempted
    | Retrying
    | FellBack
    | Rewound
)

AnyEvent = Fact | Passing
