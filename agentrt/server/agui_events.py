"""The AG-UI 1.0 events that agentrt emits, exactly as the protocol's schema has them. Pure.

Encoded by `msgspec.json` they are the wire's JSON: names in camel case, what has no value left out. What is ours
stands under `metadata.agentrt`, in activities named `agentrt.*` and in custom events named `agentrt.*`; never at the
top level of an event. Times are milliseconds since 1970.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", rename="camel", omit_defaults=True, gc=False):
    """One event. `metadata` has the one key `agentrt`.

    A log holds tens of thousands for long, and none has a cycle: the collector need not look at them.
    """

    timestamp: int | None = None
    metadata: dict[str, dict[str, Any]] | None = None


# ---- the run and its steps -------------------------------------------------------------------------


class Input(msgspec.Struct, frozen=True, rename="camel"):
    """The request of a run, echoed for viewers who did not make it."""

    thread_id: str
    run_id: str
    messages: tuple[UserMessage, ...]


class RunStarted(Event, frozen=True, kw_only=True, tag="RUN_STARTED"):
    thread_id: str
    run_id: str
    protocol_version: str
    input: Input


class Usage(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Tokens; the cached ones are part of the input."""

    provider: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_input_tokens: int | None = None


class Interrupt(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A call that waits for somebody."""

    id: str
    reason: str
    message: str
    tool_call_id: str


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a run ended, or, with `interrupts`, for what it rests."""

    type: Literal["success", "cancelled", "interrupt"]
    interrupts: tuple[Interrupt, ...] = ()


class RunFinished(Event, frozen=True, kw_only=True, tag="RUN_FINISHED"):
    thread_id: str
    run_id: str
    outcome: Outcome
    result: str | None = None
    usage: tuple[Usage, ...] = ()


class RunError(Event, frozen=True, kw_only=True, tag="RUN_ERROR"):
    message: str
    code: str
    usage: tuple[Usage, ...] = ()


class StepStarted(Event, frozen=True, kw_only=True, tag="STEP_STARTED"):
    step_name: str


class StepFinished(Event, frozen=True, kw_only=True, tag="STEP_FINISHED"):
    step_name: str


# ---- what the model says ---------------------------------------------------------------------------


class TextMessageStart(Event, frozen=True, kw_only=True, tag="TEXT_MESSAGE_START"):
    """Without a role it is the model's."""

    message_id: str
    role: Literal["user"] | None = None


class TextMessageContent(Event, frozen=True, kw_only=True, tag="TEXT_MESSAGE_CONTENT"):
    message_id: str
    delta: str


class TextMessageEnd(Event, frozen=True, kw_only=True, tag="TEXT_MESSAGE_END"):
    message_id: str


class ReasoningStart(Event, frozen=True, kw_only=True, tag="REASONING_START"):
    message_id: str


class ReasoningMessageStart(Event, frozen=True, kw_only=True, tag="REASONING_MESSAGE_START"):
    message_id: str
    role: Literal["reasoning"]


class ReasoningMessageContent(Event, frozen=True, kw_only=True, tag="REASONING_MESSAGE_CONTENT"):
    message_id: str
    delta: str


class ReasoningMessageEnd(Event, frozen=True, kw_only=True, tag="REASONING_MESSAGE_END"):
    message_id: str


class ReasoningEnd(Event, frozen=True, kw_only=True, tag="REASONING_END"):
    message_id: str


# ---- tools -----------------------------------------------------------------------------------------


class ToolCallStart(Event, frozen=True, kw_only=True, tag="TOOL_CALL_START"):
    tool_call_id: str
    tool_call_name: str
    parent_message_id: str


class ToolCallArgs(Event, frozen=True, kw_only=True, tag="TOOL_CALL_ARGS"):
    tool_call_id: str
    delta: str


class ToolCallEnd(Event, frozen=True, kw_only=True, tag="TOOL_CALL_END"):
    tool_call_id: str


class ToolCallResult(Event, frozen=True, kw_only=True, tag="TOOL_CALL_RESULT"):
    message_id: str
    tool_call_id: str
    content: str


# ---- activities, snapshots, our own ----------------------------------------------------------------


class Add(msgspec.Struct, frozen=True, tag_field="op", tag="add"):
    """The one operation of JSON Patch that we need: on a member that exists it replaces."""

    path: str
    value: Any


class ActivitySnapshot(Event, frozen=True, kw_only=True, tag="ACTIVITY_SNAPSHOT"):
    message_id: str
    activity_type: str
    content: dict[str, Any]


class ActivityDelta(Event, frozen=True, kw_only=True, tag="ACTIVITY_DELTA"):
    message_id: str
    activity_type: str
    patch: tuple[Add, ...]


class MessagesSnapshot(Event, frozen=True, kw_only=True, tag="MESSAGES_SNAPSHOT"):
    messages: tuple[Message, ...]


class Custom(Event, frozen=True, kw_only=True, tag="CUSTOM"):
    name: str
    value: Any


# ---- messages, as snapshots and the echoed input have them -----------------------------------------


class Function(msgspec.Struct, frozen=True):
    name: str
    arguments: str


class ToolCall(msgspec.Struct, frozen=True, tag_field="type", tag="function"):
    id: str
    function: Function


class UserMessage(msgspec.Struct, frozen=True, tag_field="role", tag="user", omit_defaults=True):
    id: str
    content: str
    metadata: dict[str, dict[str, Any]] | None = None


class AssistantMessage(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="role", tag="assistant", rename="camel", omit_defaults=True
):
    id: str
    content: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()


class ReasoningMessage(msgspec.Struct, frozen=True, tag_field="role", tag="reasoning"):
    id: str
    content: str


class ToolMessage(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="role", tag="tool", rename="camel", omit_defaults=True
):
    id: str
    tool_call_id: str
    content: str
    metadata: dict[str, dict[str, Any]] | None = None


Message = UserMessage | AssistantMessage | ReasoningMessage | ToolMessage

AguiEvent = (
    RunStarted
    | RunFinished
    | RunError
    | StepStarted
    | StepFinished
    | TextMessageStart
    | TextMessageContent
    | TextMessageEnd
    | ReasoningStart
    | ReasoningMessageStart
    | ReasoningMessageContent
    | ReasoningMessageEnd
    | ReasoningEnd
    | ToolCallStart
    | ToolCallArgs
    | ToolCallEnd
    | ToolCallResult
    | ActivitySnapshot
    | ActivityDelta
    | MessagesSnapshot
    | Custom
)
