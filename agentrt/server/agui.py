"""Events to AG-UI: the one mapper. Pure; no clock.

What is told about a run, beside its messages:

- The activity `agentrt.model`, one a turn, `model:<run>:<turn>`: `turn`, `provider`, `model`, `state` (running,
  rate_limited, retrying, ok, error, timeout, cancelled), `startedAt`, `firstAt` (the first piece of the reply that
  counts), `endedAt`, `attempts`, `error` (of the last attempt that failed), `waiting` {reason, until}, which holds
  while the state is rate_limited, `retry` {error, until}, which holds while it is retrying, `inputTokens`,
  `outputTokens`; `insteadOf`, the "provider:model" that could not be asked, where another is.
- The activity `agentrt.tool`, one a call, `tool:<call>`: `toolCallId`, `name`, `state` (queued, rate_limited, running,
  retrying, waiting for an approval, client where that runs it, stopping; ok, error, timeout, cancelled, denied),
  `queuedAt`, `startedAt`, `endedAt`, `code`, `attempts`, `error`, `waiting` and `retry` as above, and `progress`: what
  the tool said last by `Context.emit`, as it said it.
- The activity `agentrt.approval`, `approval:<call>`: `approvalId` and `toolCallId`, both the call's, `tool`, `args` (as
  JSON, or the text where it is none), `state` (pending; approved or denied, with `by` and `note`; closed where the call
  was stopped before anybody said so).
- The activity `agentrt.sources`, `sources:<call>`: a tool that emits `{"sources": [{"id", "title", "uri", "score"?}]}`
  tells where its result comes from; the last such list holds. It is no progress.
- The custom event `agentrt.rewind` {messageId, replacedBy}: forget this message, its calls and its reasoning
  (messages whose ids begin with `<messageId>:`); the reply begins anew.
- The custom event `agentrt.resumed` {epoch}: another owner carries the run on.
- The custom event `agentrt.handoff` {agent}: from the next turn on that agent speaks.
- The custom event `agentrt.context`: of a request that was made to fit {before, after, shortened, summarised}, the
  first two in tokens; or {covers}, of a summary that from now on stands for so many messages.
- The custom event `agentrt.cost` {usd}: all that is known to have been spent so far.

What was said into the run is a message of the role "user" with `metadata.agentrt.steer`, where the model hears it. A
run that rests ends here, by the outcome interrupt; when it goes on, it is told in another stream, from its beginning.

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
from agentrt.messages import Message, UserMessage
from agentrt.server import agui_events as ui
from agentrt.server.activities import MODEL, SOURCES, TOOL, Place, changed, ms, shown
from agentrt.server.endings import on_the_wire
from agentrt.server.people import People
from agentrt.server.protocol import AGUI_VERSION
from agentrt.server.reply import result_id
from agentrt.server.spending import Spending
from agentrt.server.turns import Turns

Events = Iterator[ui.AguiEvent]

_LEFT = {"failed": "error", "deadline": "timeout"}
"""How what was still going on ended with the run, by the run's outcome; cancelled by any other."""

_Aside = MessageAdded | ApprovalAsked | ApprovalGiven | ClientAsked | Steered | OutputRejected | HandedOff | Summarised
"""Facts that are neither a run's beginning or end nor a reply or a call of its own."""


class Mapper:
    """Maps one run's events, in order, to the AG-UI events of a run with the client's own ids.

    The stream is one that the reference client accepts, wherever the run is cut, cancelled or resumed, and whether
    it is made of all events or of the facts alone.
    """

    def __init__(self, run_id: str, thread_id: str) -> None:
        self._run_id = run_id
        self._thread_id = thread_id
        self._turns = Turns(run_id)
        self._people = People(run_id)
        self._spending = Spending()
        self._calls: dict[str, str] = {}  # the tools' names, of calls without a result
        self._stopped: set[str] = set()  # calls that were to stop alone
        self._output = ""
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
                return self._change(TOOL, event.call_id, state="running", startedAt=ms(event.at))
            case ToolReturned():
                return self._returned(event)
            case CancelAsked():
                return self._cancel(event)
            case RunEnded():
                return self._over(event)
            case _:
                return self._aside(event)

    def _aside(self, event: _Aside) -> Events:
        match event:
            case MessageAdded():
                return self._said(event)
            case ApprovalAsked() | ClientAsked():
                return self._waits(event)
            case ApprovalGiven():
                return self._decided(event)
            case Steered():
                return iter(())
            case OutputRejected():
                return self._turns.ask(event.at)
            case HandedOff():
                return iter((ui.Custom(name="agentrt.handoff", value={"agent": event.agent}),))
            case Summarised():
                return self._summarised(event)
            case _:
                assert_never(event)

    def _passing(self, event: Passing) -> Events:
        match event:
            case TextDelta() | ReasoningDelta() | ArgumentsDelta():
                return self._turns.piece(event)
            case ToolProgress():
                return self._progress(event)
            case GateWaited():
                return self._waited(event)
            case CallAttempted() | Retrying():
                return self._attempted(event)
            case FellBack():
                return self._turns.fell_back(event)
            case Rewound():
                return self._turns.rewound(event)
            case RunRested():
                return self._rested(event)
            case ContextTrimmed():
                return self._trimmed(event)
            case _:
                assert_never(event)

    # ---- the run ---------------------------------------------------------------------------------

    def _started(self, event: RunStarted) -> Events:
        asked = (
            ui.UserMessage(f"{self._run_id}:u{n}", message.text)
            for n, message in enumerate(_new_from_the_user(event.messages), 1)
        )
        yield ui.RunStarted(
            thread_id=self._thread_id,
            run_id=self._run_id,
            protocol_version=AGUI_VERSION,
            input=ui.Input(self._thread_id, self._run_id, tuple(asked)),
            timestamp=ms(event.at),
            metadata={"agentrt": {"agent": event.agent, "endsAt": ms(event.ends_at)}},
        )
        yield from self._turns.begin(event)

    def _resumed(self, event: RunResumed) -> Events:
        """What the dead owner had begun is begun again: the turn that is open, and calls that wait for nobody."""
        yield ui.Custom(name="agentrt.resumed", value={"epoch": event.epoch})
        yield from self._turns.anew(event.at)
        for call_id in self._calls:
            if call_id not in self._people.waiting:
                yield from self._change(TOOL, call_id, state="queued")

    def _rested(self, event: RunRested) -> Events:
        self._ended = True
        calls = {call_id: self._calls[call_id] for call_id in event.call_ids if call_id in self._calls}
        yield ui.RunFinished(
            thread_id=self._thread_id,
            run_id=self._run_id,
            outcome=ui.Outcome("interrupt", self._people.interrupts(calls)),
            usage=self._spending.usage(),
            timestamp=ms(event.at),
        )

    def _over(self, event: RunEnded) -> Events:
        state = _LEFT.get(event.outcome, "cancelled")
        for call_id in self._calls:
            yield from self._people.settled(call_id)
            yield from self._change(TOOL, call_id, state=state, endedAt=ms(event.at))
        yield from self._turns.over(event.at, state)
        yield from self._spending.finish(event.usage)
        self._ended = True
        usage, metadata = self._spending.usage(), dict[str, Any]()
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
                timestamp=ms(event.at),
                metadata={"agentrt": metadata} if metadata else None,
            )
        else:
            code, message = on_the_wire(event.code)
            provider, attempts = self._turns.asked.partition(":")[0], self._turns.attempts
            metadata |= {"reason": event.code or "internal", "provider": provider, "attempts": attempts}
            yield ui.RunError(
                message=message,
                code=code,
                usage=usage,
                timestamp=ms(event.at),
                metadata={"agentrt": metadata},
            )

    # ---- the model -------------------------------------------------------------------------------

    def _replied(self, event: ModelReplied) -> Events:
        yield from self._turns.replied(event)
        self._output = event.message.content
        yield from self._spending.add(event.usage, self._turns.asked)
        for call in event.message.tool_calls:
            self._calls[call.id] = call.name
            yield shown(TOOL, call.id, toolCallId=call.id, name=call.name, state="queued", queuedAt=ms(event.at))

    def _attempted(self, event: CallAttempted | Retrying) -> Events:
        place = yield from self._place(event)
        if place is None:
            return
        if isinstance(event, Retrying):
            retry = {"error": event.error, "until": ms(event.at + event.delay)}
            yield from self._change(*place, state="retrying", retry=retry)
            return
        if event.call_id is None:
            self._turns.attempts = event.attempt
        failed = {"error": event.error} if event.error else {}
        yield from self._change(*place, attempts=event.attempt, **failed)

    def _summarised(self, event: Summarised) -> Events:
        yield ui.Custom(name="agentrt.context", value={"covers": event.covers})
        yield from self._spending.add(event.usage, self._turns.preferred)  # the fact does not say who wrote it

    def _trimmed(self, event: ContextTrimmed) -> Events:
        value = {name: getattr(event, name) for name in ("before", "after", "shortened", "summarised")}
        yield ui.Custom(name="agentrt.context", value=value)

    def _place(self, event: GateWaited | CallAttempted | Retrying) -> Generator[ui.AguiEvent, None, Place | None]:
        """The activity that this belongs to, if any is shown; a turn of the model begins with it."""
        if event.call_id is not None:
            return None if event.call_id in self._stopped else (TOOL, event.call_id)
        if self._calls and not self._turns.asking:
            return None  # not the model's
        yield from self._turns.ask(event.at)
        return MODEL, self._turns.id

    # ---- people ----------------------------------------------------------------------------------

    def _said(self, event: MessageAdded) -> Events:
        """The model hears it next. A reply that was cut for it, before there was a word, will not be kept."""
        yield from self._turns.anew(event.at)
        yield from self._people.said(event)
        yield from self._turns.ask(event.at)

    def _waits(self, event: ApprovalAsked | ClientAsked) -> Events:
        if isinstance(event, ApprovalAsked):
            yield from self._people.asked(event)
        else:
            self._people.handed_out(event)
        yield from self._change(TOOL, event.call_id, state=self._people.waiting[event.call_id])

    def _decided(self, event: ApprovalGiven) -> Events:
        if event.call_id in self._people.waiting:
            yield from self._people.decided(event)
            yield from self._change(TOOL, event.call_id, state="queued")

    def _cancel(self, event: CancelAsked) -> Events:
        if event.call_id is None:
            self._stopping = True
            return
        self._stopped.add(event.call_id)
        yield from self._change(TOOL, event.call_id, state="stopping")

    # ---- tools -----------------------------------------------------------------------------------

    def _returned(self, event: ToolReturned) -> Events:
        told: dict[str, Any] = {"status": event.status, "ms": ms(event.seconds)}
        if event.code:
            told["code"] = event.code
        yield from self._people.settled(event.call_id)
        yield ui.ToolCallResult(
            message_id=result_id(event.call_id),
            tool_call_id=event.call_id,
            content=event.content,
            metadata={"agentrt": told},
        )
        code = {"code": event.code} if event.code else {}
        yield from self._change(TOOL, event.call_id, state=event.status, endedAt=ms(event.at), **code)
        self._calls.pop(event.call_id, None)
        if event.usage is not None:
            yield from self._spending.add(event.usage)
        # The model is asked next, and the wait for it is to be seen. Where a call was stopped, though not it alone, the
        # run may be over.
        goes_on = event.status != "cancelled" or event.call_id in self._stopped
        if goes_on and not self._calls and not self._stopping:
            yield from self._turns.ask(event.at)

    def _progress(self, event: ToolProgress) -> Events:
        match event.data:
            case {"sources": [*sources]}:
                yield shown(SOURCES, event.call_id, toolCallId=event.call_id, sources=sources)
            case _:
                yield from self._change(TOOL, event.call_id, progress=event.data)

    def _waited(self, event: GateWaited) -> Events:
        place = yield from self._place(event)
        if place is None:
            return
        if event.eta == 0:
            yield from self._change(*place, state="running")
            return
        until = None if event.eta is None else ms(event.at + event.eta)
        waiting = {"reason": event.reason, "until": until}
        yield from self._change(*place, state="rate_limited", waiting=waiting)

    def _change(self, kind: str, which: str, **content: Any) -> Events:
        """Change an activity that is shown; another's was never shown, or is over."""
        if kind != TOOL or which in self._calls:
            yield changed(kind, which, **content)


def _new_from_the_user(messages: tuple[Message, ...]) -> list[UserMessage]:
    """The question: what the user said since anybody else spoke."""
    said: list[UserMessage] = []
    for message in reversed(messages):
        if not isinstance(message, UserMessage):
            break
        said.append(message)
    return said[::-1]
