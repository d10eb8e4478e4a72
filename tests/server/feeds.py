"""Feeds of runs as they can happen: made by hypothesis, in the order in which ask.py, carry.py and owner.py tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, get_args

from hypothesis import strategies as st
from msgspec.structs import replace

from agentrt.events import (
    AnyEvent,
    ArgumentsDelta,
    CallAttempted,
    CancelAsked,
    Fact,
    FellBack,
    GateWaited,
    ModelReplied,
    Outcome,
    ReasoningDelta,
    Retrying,
    Rewound,
    RunEnded,
    RunResumed,
    RunStarted,
    TextDelta,
    ToolProgress,
    ToolReturned,
    ToolStarted,
)
from agentrt.messages import AssistantMessage, FinishReason, ToolCall, Usage, UserMessage
from agentrt.runs.feed import shown_text
from agentrt.runs.state import RunState, fold

RUN = "alice/r1"
"""The runtime's id of the run, which no client may see."""

TURNS = 3

Draw = Callable[[st.SearchStrategy[Any]], Any]

TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)


class _Cut(Exception):
    """The feed has as many events as it was to have."""


@dataclass
class Life:
    """The life of one run. `until` is how many events may happen before it is cut."""

    draw: Draw
    until: int
    epoch: int = 1
    events: list[AnyEvent] = field(default_factory=list[AnyEvent])
    shown: bool = False

    @property
    def facts(self) -> list[Fact]:
        return facts(self.events)

    @property
    def state(self) -> RunState:
        return fold(self.facts)

    def tell(self, event: AnyEvent) -> None:
        if len(self.events) >= self.until:
            raise _Cut
        seq = self.events[-1].seq + 1 if self.events else 1
        self.events.append(replace(event, epoch=self.epoch, seq=seq, at=1_000.0 + seq / 64))

    def live(self) -> bool:
        """Go on as far as it may; whether it came to its end."""
        try:
            if not self.events:
                question = (UserMessage("How many?"),)
                model = "openai:scripted"
                self.tell(RunStarted(run_id=RUN, agent="clerk", model=model, messages=question, ends_at=1_600.0))
            while not self.done():
                if self.state.calls:
                    self.tools()
                else:
                    self.turn()
        except _Cut:
            return False
        return True

    def done(self) -> bool:
        state = self.state
        if state.turns and not state.calls and isinstance(state.messages[-1], AssistantMessage):
            self.tell(RunEnded(outcome="success", usage=state.usage))
        elif state.turns >= TURNS:
            self.stop("budget")
        return isinstance(self.events[-1], RunEnded)

    # ---- a turn of the model ---------------------------------------------------------------------

    def turn(self) -> None:
        turn = self.state.turns + 1
        message_id = f"{RUN}:m{turn}"
        attempts = self.draw(st.integers(1, 3))
        for attempt in range(1, attempts + 1):
            self.wait(None)
            if self.shown:
                replaced, message_id = message_id, f"{RUN}:m{turn}.{attempt}"
                self.tell(Rewound(message_id=replaced, replaced_by=message_id))
            message = self.attempt(message_id, turn)
            if attempt < attempts:
                self.tell(self.attempted(attempt, "provider_unavailable"))
                if self.draw(st.booleans()):
                    self.tell(Retrying(provider="openai", attempt=attempt, delay=0.5, error="provider_unavailable"))
                else:
                    self.tell(FellBack(model="backup:m", instead_of="openai:gpt", error="provider_unavailable"))
        self.tell(self.attempted(attempts, None))
        if not self.shown:
            message = AssistantMessage(content="said at once")
        finish: FinishReason = "tool_calls" if message.tool_calls else "stop"
        usage = Usage(input_tokens=10, output_tokens=2, requests=1)
        self.tell(ModelReplied(message_id=message_id, message=message, finish=finish, usage=usage, model="scripted-1"))
        self.shown = False

    def attempt(self, message_id: str, turn: int) -> AssistantMessage:
        """Pieces of a reply, told as they come, and what they make together."""
        self.shown = False
        text, arguments = "", dict[str, str]()
        for kind, piece in self.draw(st.lists(st.tuples(st.sampled_from("ttrab"), TEXTS), max_size=8)):
            self.shown = True
            if kind == "t":
                text += piece
                self.tell(TextDelta(message_id=message_id, text=piece))
            elif kind == "r":
                self.tell(ReasoningDelta(message_id=message_id, text=piece))
            else:
                call_id = f"c{turn}{kind}"
                arguments[call_id] = arguments.get(call_id, "") + piece
                self.tell(ArgumentsDelta(message_id=message_id, call_id=call_id, name=f"tool {kind}", text=piece))
        calls = tuple(ToolCall(id_, f"tool {id_[-1]}", told or "{}") for id_, told in arguments.items())
        return AssistantMessage(content=text, tool_calls=calls)

    def attempted(self, attempt: int, error: str | None) -> CallAttempted:
        return CallAttempted(provider="openai", model="scripted", attempt=attempt, seconds=0.1, queued=0, error=error)

    def wait(self, call_id: str | None) -> None:
        if self.draw(st.booleans()):
            eta = self.draw(st.sampled_from([None, 0.25]))
            self.tell(GateWaited(provider="openai", reason="rate", waited=0.0, eta=eta, call_id=call_id))
            self.tell(GateWaited(provider="openai", reason="rate", waited=0.2, eta=0.0, call_id=call_id))

    # ---- tools -----------------------------------------------------------------------------------

    def tools(self) -> None:
        """The calls, side by side: the steps of all in one random order."""
        between = st.lists(st.sampled_from([self.say, self.cite, self.queue]), max_size=3)
        left = {call.id: [self.start, *self.draw(between), self.end] for call in self.state.open_calls}
        names = {call.id: call.name for call in self.state.open_calls}
        while left:
            call_id = self.draw(st.sampled_from(sorted(left)))
            left[call_id].pop(0)(call_id, names[call_id])
            if not left[call_id]:
                del left[call_id]

    def start(self, call_id: str, name: str) -> None:
        self.tell(ToolStarted(call_id=call_id, name=name, arguments="{}", idempotency_key=f"{RUN}:{call_id}"))

    def say(self, call_id: str, name: str) -> None:
        said = self.draw(st.sampled_from(["half", None, {"done": 1}]))
        self.tell(ToolProgress(call_id=call_id, name=name, data=said))

    def cite(self, call_id: str, name: str) -> None:
        source = {"id": "d1", "title": "Lease", "uri": f"http://docs.example/{self.draw(st.integers(1, 3))}"}
        self.tell(ToolProgress(call_id=call_id, name=name, data={"sources": [source]}))

    def queue(self, call_id: str, _name: str) -> None:
        self.wait(call_id)

    def end(self, call_id: str, name: str) -> None:
        status = self.draw(st.sampled_from(["ok", "error", "timeout", "cancelled"]))
        code = None if status == "ok" else f"tool_{status}"
        self.tell(ToolReturned(call_id=call_id, name=name, status=status, content="42", code=code, seconds=0.1))

    # ---- how it is cut ---------------------------------------------------------------------------

    def stop(self, outcome: Outcome) -> None:
        """The owner closes the run; see owner.py."""
        self.until = 10_000
        if outcome == "cancelled":
            self.tell(CancelAsked(reason="user"))
        message_id, text = shown_text(self.events)
        if text:
            usage = Usage(requests=1, estimated=True)
            partial = AssistantMessage(content=text)
            self.tell(ModelReplied(message_id=message_id, message=partial, finish="cancelled", usage=usage))
        for call in self.state.open_calls:
            self.tell(ToolReturned(call_id=call.id, name=call.name, status="cancelled", content="stopped"))
        code = {"deadline": "run_timeout", "budget": "budget_exceeded", "failed": "provider_unavailable"}.get(outcome)
        self.tell(RunEnded(outcome=outcome, code=code, message="secret", usage=self.state.usage))

    def die(self) -> None:
        """The process dies; what is in the journal is carried on by another."""
        self.shown = False
        self.events[:] = self.facts
        self.epoch += 1
        self.until = len(self.events) + 1
        self.tell(RunResumed())


def facts(events: Iterable[AnyEvent]) -> list[Fact]:
    return [event for event in events if isinstance(event, get_args(Fact))]


@st.composite
def lives(draw: Draw, *, dies: bool | None = None) -> Life:
    """A run up to some moment: still going on, ended by itself, stopped, or resumed after its process died."""
    life = Life(draw, until=draw(st.integers(1, 60)))
    ended = life.live()
    if not ended and (draw(st.booleans()) if dies is None else dies):
        life.die()
        life.until = len(life.events) + draw(st.integers(0, 60))
        ended = life.live()
    if not ended and draw(st.booleans()):
        life.stop(draw(st.sampled_from(["cancelled", "failed", "deadline", "budget"])))
    return life
