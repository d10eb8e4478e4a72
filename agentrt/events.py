"""What can happen in a run.

*Facts* count: they stand in the journal, and the state of a run is their fold. *Passing* events are
for who watches: text as it arrives, a tool's progress, a wait at a gate. Both travel in one feed, in
one order; the run's owner stamps each with `(epoch, seq, at)`, `at` being seconds since 1970.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from agentrt.messages import AssistantMessage, FinishReason, Message, Usage, UserMessage

ToolStatus = Literal["ok", "error", "timeout", "cancelled", "denied"]
Outcome = Literal["success", "failed", "cancelled", "deadline", "budget"]
WaitReason = Literal["concurrency", "rate", "tokens", "cooldown", "breaker"]
Priority = Literal["interactive", "background"]

StopMode = Literal["now", "after_tools", "after_turn"]
"""When a run that was cancelled stops: at once; once the tools that run have returned, without asking the model any
more; or once the model's reply and the calls in it are through."""

When = Literal["next_step", "now"]
"""When the model hears what was said into a run: with the results of the calls that are open, or at once: the reply
that is arriving and the calls that run are stopped."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """One thing that happened. The stamp is the owner's; who makes an event leaves it out."""

    epoch: int = 0
    seq: int = 0
    at: float = 0.0


# ---- facts -----------------------------------------------------------------------------------------


class RunStarted(Event, frozen=True, kw_only=True, tag="RunStarted"):
    """A run began. `messages` are the new ones only: a thread's history is the chain of its runs.

    `principal` is who asked. `budget` holds the bounds of the run's own `Budget`, None where it has its agent's.
    `parent` is the run whose tool began this one; `trace` is the W3C `traceparent` it began under.
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
    budget: dict[str, float | None] | None = None
    priority: Priority = "interactive"
    parent: str | None = None
    trace: str | None = None


class RunResumed(Event, frozen=True, kw_only=True, tag="RunResumed"):
    """The run goes on under a new owner. Its epoch is the owner's; what an older one writes is not kept."""


class MessageAdded(Event, frozen=True, kw_only=True, tag="MessageAdded"):
    """What was said into the run has joined the conversation: the first of `Steered` that had not yet."""

    message: UserMessage


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


class ToolStarted(Event, frozen=True, kw_only=True, gc=False, tag="ToolStarted"):
    """The intent: this call is about to run. `idempotency_key` stays the same whenever it runs again.

    A call has a second intent where it runs again because the process died in the first.
    """

    call_id: str
    name: str
    arguments: str
    idempotency_key: str


class ToolReturned(Event, frozen=True, kw_only=True, tag="ToolReturned"):
    """A call has its result; `content` is the text for the model, `seconds` how long it ran.

    `rest` is the whole text where the model got only part of it. `usage` is what runs spent that the tool began.
    """

    call_id: str
    name: str
    status: ToolStatus
    content: str
    code: str | None = None
    seconds: float = 0.0
    rest: str | None = None
    usage: Usage | None = None


class ApprovalAsked(Event, frozen=True, kw_only=True, tag="ApprovalAsked"):
    """This call runs only once somebody approves of it."""

    call_id: str
    name: str
    arguments: str


class ApprovalGiven(Event, frozen=True, kw_only=True, tag="ApprovalGiven"):
    """Somebody decided: the call may run, or it may not, and the model is told the reason. `by` is who."""

    call_id: str
    approved: bool
    reason: str = ""
    by: str | None = None


class ClientAsked(Event, frozen=True, kw_only=True, tag="ClientAsked"):
    """This call is not for us to run: whoever shows the run does, and gives us its result."""

    call_id: str
    name: str
    arguments: str


class Steered(Event, frozen=True, kw_only=True, tag="Steered"):
    """Somebody said something into the run. It joins the conversation by `MessageAdded`."""

    message: UserMessage
    when: When = "next_step"


class OutputRejected(Event, frozen=True, kw_only=True, tag="OutputRejected"):
    """The answer is not of the form that the agent promises; `message` tells the model what is wrong with it."""

    message: str


class HandedOff(Event, frozen=True, kw_only=True, tag="HandedOff"):
    """Another agent goes on with the conversation from here."""

    agent: str


class Summarised(Event, frozen=True, kw_only=True, tag="Summarised"):
    """From now on the model reads `text` in place of the conversation's first `covers` messages."""

    text: str
    covers: int
    usage: Usage = Usage()


class CancelAsked(Event, frozen=True, kw_only=True, tag="CancelAsked"):
    """Somebody asked the run to stop, or only the call named by `call_id`."""

    mode: StopMode = "now"
    reason: str = ""
    call_id: str | None = None


class RunEnded(Event, frozen=True, kw_only=True, tag="RunEnded"):
    """The run is over; there is exactly one. `stragglers` names the tools that would not stop."""

    outcome: Outcome
    code: str | None = None
    message: str = ""
    usage: Usage = Usage()
    stragglers: tuple[str, ...] = ()


Fact = (
    RunStarted
    | RunResumed
    | MessageAdded
    | ModelReplied
    | ToolStarted
    | ToolReturned
    | ApprovalAsked
    | ApprovalGiven
    | ClientAsked
    | Steered
    | OutputRejected
    | HandedOff
    | Summarised
    | CancelAsked
    | RunEnded
)

# `gc=False`: there are many of these, made of texts and numbers, and none can be in a cycle.

# ---- passing ---------------------------------------------------------------------------------------


class TextDelta(Event, frozen=True, kw_only=True, gc=False, tag="TextDelta"):
    """Text of the answer as it arrives."""

    message_id: str
    text: str


class ReasoningDelta(Event, frozen=True, kw_only=True, gc=False, tag="ReasoningDelta"):
    """The model's reasoning text, where the provider shows it."""

    message_id: str
    text: str


class ArgumentsDelta(Event, frozen=True, kw_only=True, gc=False, tag="ArgumentsDelta"):
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


class GateWaited(Event, frozen=True, kw_only=True, gc=False, tag="GateWaited"):
    """A call waits at its provider's gate: told when the wait begins (`waited` 0, `eta` expected seconds or
    None where nobody can know) and when it ends (`eta` 0). `call_id` is the tool call's, None for the model.
    A tool that waits for a rate of its own is named as the `provider`.
    """

    provider: str
    reason: WaitReason
    waited: float
    eta: float | None
    call_id: str | None = None


class CallAttempted(Event, frozen=True, kw_only=True, gc=False, tag="CallAttempted"):
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


class Retrying(Event, frozen=True, kw_only=True, gc=False, tag="Retrying"):
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


class Rewound(Event, frozen=True, kw_only=True, gc=False, tag="Rewound"):
    """The reply broke off after part of it was shown: forget `message_id`, `replaced_by` takes its place."""

    message_id: str
    replaced_by: str


class RunRested(Event, frozen=True, kw_only=True, tag="RunRested"):
    """The run waits for people, about these calls, and holds nothing until they decide; nothing more comes of it here.
    It is no end: `Runtime.resume` goes on with it.
    """

    call_ids: tuple[str, ...]


class ContextTrimmed(Event, frozen=True, kw_only=True, tag="ContextTrimmed"):
    """The request was made to fit the model's window: tokens `before` and `after`, results `shortened`, and how many
    messages a summary stands for."""

    before: int
    after: int
    shortened: int
    summarised: int


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
    | RunRested
    | ContextTrimmed
)

AnyEvent = Fact | Passing
