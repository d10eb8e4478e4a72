"""Events to AG-UI: the one mapper. Pure; no clock.

What is told about a run, beside its messages:

- The activity `agentrt.model`, one a turn, `model:<run>:<turn>`: `turn`, `provider`, `model`, `state` (running,
  rate_limited, retrying, ok, error, timeout, cancelled), `startedAt`, `firstAt` (the first piece of the reply that
  counts), `endedAt`, `attempts`, `error` (of the last attempt that failed), `waiting` {reason, until}, which holds
  while the state is rate_limited, `retry` {error, until}, which holds while it is retrying, `inputTokens`,
  `outputTokens`; `insteadOf`, the "provider:model" that could not be asked, where another is.
- The activity `agentrt.tool`, one a call, `tool:<call>`: `toolCallId`, `name`, `state` (queued, rate_limited, running,
  retrying, ok, error, timeout, cancelled), `queuedAt`, `startedAt`, `endedAt`, `code`, `attempts`, `error`, `waiting`
  and `retry` as above, and `progress`: what the tool said last by `Context.emit`, as it said it.
- The activity `agentrt.sources`, `sources:<call>`: a tool that emits `{"sources": [{"id", "title", "uri", "score"?}]}`
  tells where its result comes from; the last such list holds. It is no progress.
- The custom event `agentrt.rewind` {messageId, replacedBy}: forget this message, its calls and its reasoning
  (messages whose ids begin with `<messageId>:`); the reply begins anew.
- The custom event `agentrt.resumed` {epoch}: another owner carries the run on.

All times are milliseconds since 1970; `until` is null where nobody can know.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, assert_never

from agentrt.events import (
    AnyEvent,
    ApprovalAsked,
    ApprovalGiven,
    ArgumentsDelta,
    CallAttempted,
    CancelAsked,
    ClientAsked,
    ContextTrimmed,
    Fact,
    FellBack,
    GateWaited,
    HandedOff,
    MessageAdded,
    ModelReplied,
    OutputRejected,
    Passing,
    ReasoningDelta,
    Retrying,
    Rewound,
    RunEnded,
    RunRested,
    RunResumed,
    RunStarted,
    Steered,
    Summarised,
    TextDelta,
    ToolProgress,
    ToolReturned,
    ToolStarted,
)
from agentrt.messages import AssistantMessage, Message, Usage, UserMessage
from agentrt.server import agui_events as ui
from agentrt.server.endings import on_the_wire
from agentrt.server.protocol import AGUI_VERSION
from agentrt.server.reply import Reply, result_id

Events = Iterator[ui.AguiEvent]

_MODEL = "agentrt.model"
_TOOL = "agentrt.tool"
_SOURCES = "agentrt.sources"

_LEFT = {"failed": "error", "deadline": "timeout"}
"""How what was still going on ended with the run, by the run's outcome; cancelled by any other."""

Place = tuple[str, str]
"""Kind and id of an activity."""


class Mapper:
    """Maps one run's events, in order, to the AG-UI events of a run with the client's own ids.

    The stream is one that the reference client accepts, wherever the run is cut, cancelled or resumed, and whether
    it is made of all events or of the facts alone.
    """

    def __init__(self, run_id: str, thread_id: str) -> None:
        self._run_id = run_id
        self._thread_id = thread_id
        self._prefix = ""  # of the runtime's message ids, which no client sees
        self._preferred = ""  # the agent's model; a turn may fall back on another
        self._provider = ""
        self._model = ""
        self._turn = 0
        self._asking = False  # the turn's step is open
        self._attempts = 0
        self._reply: Reply | None = None
        self._calls: dict[str, None] = {}  # without a result
        self._output = ""
        self._spent: dict[str, Usage] = {}  # by who was asked
        self._stopping = False
        self._ended = False

    def map(self, event: AnyEvent) -> tuple[ui.AguiEvent, ...]:
        """What viewers are told of this event; often nothing."""
        if self._ended:
            return ()
        if isinstance(event, Fact):
            return tuple(self._fact(event))
        return tuple(self._passing(event))

    def _fact(self, event: Fact) -> Events:
        match event:
            case RunStarted():
                return self._started(event)
            case RunResumed():
                return self._resumed(event)
            case ModelReplied():
                return self._replied(event)
            case ToolStarted():
                return self._change(_TOOL, event.call_id, state="running", startedAt=_ms(event.at))
            case ToolReturned():
                return self._returned(event)
            case CancelAsked():
                self._stopping = self._stopping or event.call_id is None
                return iter(())
            case (
                MessageAdded()
                | ApprovalAsked()
                | ApprovalGiven()
                | ClientAsked()
                | Steered()
                | OutputRejected()
                | HandedOff()
                | Summarised()
            ):
                return iter(())
            case RunEnded():
                return self._over(event)
            case _:
                assert_never(event)

    def _passing(self, event: Passing) -> Events:
        match event:
            case TextDelta() | ReasoningDelta() | ArgumentsDelta():
                return self._piece(event)
            case ToolProgress():
                return self._progress(event)
            case GateWaited():
                return self._waited(event)
            case CallAttempted() | Retrying():
                return self._attempted(event)
            case FellBack():
                return self._fell_back(event)
            case Rewound():
                return self._forget(event.message_id, event.replaced_by)
            case ContextTrimmed() | RunRested():
                return iter(())
            case _:
                assert_never(event)

    # ---- the run ---------------------------------------------------------------------------------

    def _started(self, event: RunStarted) -> Events:
        self._prefix = f"{event.run_id}:"
        self._preferred = event.model
        self._provider, _, self._model = event.model.partition(":")
        asked = (
            ui.UserMessage(f"{self._run_id}:u{n}", message.text)
            for n, message in enumerate(_new_from_the_user(event.messages), 1)
        )
        yield ui.RunStarted(
            thread_id=self._thread_id,
            run_id=self._run_id,
            protocol_version=AGUI_VERSION,
            input=ui.Input(self._thread_id, self._run_id, tuple(asked)),
            timestamp=_ms(event.at),
            metadata={"agentrt": {"agent": event.agent, "endsAt": _ms(event.ends_at)}},
        )
        yield from self._ask(event.at)

    def _resumed(self, event: RunResumed) -> Events:
        """What the dead owner had begun is begun again: the turn that is open, and calls without a result."""
        yield ui.Custom(name="agentrt.resumed", value={"epoch": event.epoch})
        if self._reply is not None:
            yield from self._forget(self._reply.message_id, self._reply.message_id)
        if self._asking:
            yield from self._change(_MODEL, self._turn_id, state="running", startedAt=_ms(event.at))
        for call_id in self._calls:
            yield from self._change(_TOOL, call_id, state="queued")

    def _over(self, event: RunEnded) -> Events:
        if self._reply is not None:
            yield from self._reply.complete(AssistantMessage())
        state = _LEFT.get(event.outcome, "cancelled")
        for call_id in self._calls:
            yield from self._change(_TOOL, call_id, state=state, endedAt=_ms(event.at))
        if self._asking:
            yield from self._answered(event.at, state=state)
        self._ended = True
        usage, metadata = self._usage(), dict[str, Any]()
        if event.usage.estimated:
            metadata["estimated"] = True
        if event.stragglers:
            metadata["stragglers"] = list(event.stragglers)
        if event.outcome in {"success", "cancelled"}:
            yield ui.RunFinished(
                thread_id=self._thread_id,
                run_id=self._run_id,
                outcome=ui.Outcome("success" if event.outcome == "success" else "cancelled"),
                result=self._output if event.outcome == "success" else None,
                usage=usage,
                timestamp=_ms(event.at),
                metadata={"agentrt": metadata} if metadata else None,
            )
        else:
            code, message = on_the_wire(event.code)
            metadata |= {"reason": event.code or "internal", "provider": self._provider, "attempts": self._attempts}
            yield ui.RunError(
                message=message,
                code=code,
                usage=usage,
                timestamp=_ms(event.at),
                metadata={"agentrt": metadata},
            )

    def _usage(self) -> tuple[ui.Usage, ...]:
        told: list[ui.Usage] = []
        for name, spent in self._spent.items():
            provider, _, model = name.partition(":")
            told.append(
                ui.Usage(
                    provider=provider,
                    model=model,
                    input_tokens=spent.input_tokens,
                    output_tokens=spent.output_tokens,
                    total_tokens=spent.total_tokens,
                    cached_input_tokens=spent.cached_tokens,
                )
            )
        return tuple(told)

    # ---- the model -------------------------------------------------------------------------------

    @property
    def _turn_id(self) -> str:
        return f"{self._run_id}:{self._turn}"

    def _ask(self, at: float) -> Events:
        """Begin a turn."""
        self._provider, _, self._model = self._preferred.partition(":")
        self._turn += 1
        self._asking = True
        self._attempts = 0
        yield ui.StepStarted(step_name=f"llm#{self._turn}", timestamp=_ms(at))
        yield self._activity(
            _MODEL,
            self._turn_id,
            turn=self._turn,
            provider=self._provider,
            model=self._model,
            state="running",
            startedAt=_ms(at),
        )

    def _answered(self, at: float, **content: Any) -> Events:
        """End the turn."""
        self._asking = False
        self._reply = None
        yield from self._change(_MODEL, self._turn_id, **content, endedAt=_ms(at))
        yield ui.StepFinished(step_name=f"llm#{self._turn}", timestamp=_ms(at))

    def _piece(self, event: TextDelta | ReasoningDelta | ArgumentsDelta) -> Events:
        reply = self._reply
        if reply is None or reply.message_id != event.message_id:
            return self._first_piece(event)
        match event:
            case TextDelta():
                return reply.text(event.text)
            case ReasoningDelta():
                return reply.reasoning(event.text)
            case ArgumentsDelta():
                return reply.arguments(event.call_id, event.name, event.text)

    def _first_piece(self, event: TextDelta | ReasoningDelta | ArgumentsDelta) -> Events:
        if not self._asking:
            yield from self._ask(event.at)
        yield from self._change(_MODEL, self._turn_id, state="running", firstAt=_ms(event.at))
        self._reply = self._reply_of(event.message_id)
        yield from self._piece(event)

    def _reply_of(self, message_id: str) -> Reply:
        return Reply(message_id, self._wire_id(message_id))

    def _wire_id(self, message_id: str) -> str:
        return f"{self._run_id}:{message_id.removeprefix(self._prefix)}"

    def _replied(self, event: ModelReplied) -> Events:
        if not self._asking:
            yield from self._ask(event.at)
        reply = self._reply or self._reply_of(event.message_id)
        yield from reply.complete(event.message)
        self._output = event.message.content
        asked = event.asked or self._preferred
        self._spent[asked] = self._spent.get(asked, Usage()) + event.usage
        yield from self._answered(
            event.at,
            state="cancelled" if event.finish == "cancelled" else "ok",
            inputTokens=event.usage.input_tokens,
            outputTokens=event.usage.output_tokens,
        )
        for call in event.message.tool_calls:
            self._calls[call.id] = None
            yield self._activity(
                _TOOL, call.id, toolCallId=call.id, name=call.name, state="queued", queuedAt=_ms(event.at)
            )

    def _forget(self, message_id: str, replaced_by: str) -> Events:
        if self._reply is not None:
            yield from self._reply.close()
            self._reply = None
        value = {"messageId": self._wire_id(message_id), "replacedBy": self._wire_id(replaced_by)}
        yield ui.Custom(name="agentrt.rewind", value=value)

    def _attempted(self, event: CallAttempted | Retrying) -> Events:
        place = yield from self._place(event)
        if place is None:
            return
        if isinstance(event, Retrying):
            retry = {"error": event.error, "until": _ms(event.at + event.delay)}
            yield from self._change(*place, state="retrying", retry=retry)
            return
        if event.call_id is None:
            self._attempts = event.attempt
        failed = {"error": event.error} if event.error else {}
        yield from self._change(*place, attempts=event.attempt, **failed)

    def _fell_back(self, event: FellBack) -> Events:
        if not self._asking:
            yield from self._ask(event.at)
        self._provider, _, self._model = event.model.partition(":")
        told = {"provider": self._provider, "model": self._model, "insteadOf": event.instead_of, "error": event.error}
        yield from self._change(_MODEL, self._turn_id, state="running", **told)

    def _place(self, event: GateWaited | CallAttempted | Retrying) -> Generator[ui.AguiEvent, None, Place | None]:
        """The activity that this belongs to, if any is shown; a turn of the model begins with it."""
        if event.call_id is not None:
            return _TOOL, event.call_id
        if not self._asking:
            if self._calls:
                return None  # not the model's
            yield from self._ask(event.at)
        return _MODEL, self._turn_id

    # ---- tools -----------------------------------------------------------------------------------

    def _returned(self, event: ToolReturned) -> Events:
        told: dict[str, Any] = {"status": event.status, "ms": _ms(event.seconds)}
        if event.code:
            told["code"] = event.code
        yield ui.ToolCallResult(
            message_id=result_id(event.call_id),
            tool_call_id=event.call_id,
            content=event.content,
            metadata={"agentrt": told},
        )
        code = {"code": event.code} if event.code else {}
        yield from self._change(_TOOL, event.call_id, state=event.status, endedAt=_ms(event.at), **code)
        self._calls.pop(event.call_id, None)
        # The model is asked next, and the wait for it is to be seen. Where calls were stopped, the run may be over.
        if not self._calls and not self._stopping and event.status != "cancelled":
            yield from self._ask(event.at)

    def _progress(self, event: ToolProgress) -> Events:
        match event.data:
            case {"sources": [*sources]}:
                yield self._activity(_SOURCES, event.call_id, toolCallId=event.call_id, sources=sources)
            case _:
                yield from self._change(_TOOL, event.call_id, progress=event.data)

    # ---- activities ------------------------------------------------------------------------------

    def _waited(self, event: GateWaited) -> Events:
        place = yield from self._place(event)
        if place is None:
            return
        if event.eta == 0:
            yield from self._change(*place, state="running")
            return
        until = None if event.eta is None else _ms(event.at + event.eta)
        waiting = {"reason": event.reason, "until": until}
        yield from self._change(*place, state="rate_limited", waiting=waiting)

    def _activity(self, kind: str, which: str, **content: Any) -> ui.ActivitySnapshot:
        return ui.ActivitySnapshot(message_id=_activity_id(kind, which), activity_type=kind, content=content)

    def _change(self, kind: str, which: str, **content: Any) -> Events:
        """Change an activity that is shown; another's was never shown, or is over."""
        if kind == _TOOL and which not in self._calls:
            return
        patch = tuple(ui.Add(f"/{name}", value) for name, value in content.items())
        yield ui.ActivityDelta(message_id=_activity_id(kind, which), activity_type=kind, patch=patch)


def _activity_id(kind: str, which: str) -> str:
    return f"{kind.removeprefix('agentrt.')}:{which}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _new_from_the_user(messages: tuple[Message, ...]) -> list[UserMessage]:
    """The question: what the user said since anybody else spoke."""
    said: list[UserMessage] = []
    for message in reversed(messages):
        if not isinstance(message, UserMessage):
            break
        said.append(message)
    return said[::-1]
