"""Feeds of runs as they can happen: made by hypothesis, in the order in which the rooms of runs tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from hypothesis import strategies as st
from msgspec.structs import replace

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
    Outcome,
    OutputRejected,
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
from agentrt.messages import AssistantMessage, FinishReason, ToolCall, Usage, UserMessage
from agentrt.runs.feed import shown_text
from agentrt.runs.state import RunState, fold

RUN = "alice/r1"
"""The runtime's id of the run, which no client may see."""

TURNS = 3

Draw = Callable[[st.SearchStrategy[Any]], Any]
Step = Callable[[str, str], None]

TEXTS = st.text(st.characters(codec="utf-8"), max_size=6)


class _Cut(Exception):
    """The feed has as many events as it was to have, or the run rests."""


class _Interrupted(Exception):
    """The reply is cut, because somebody said something."""


@dataclass
class Life:
    """The life of one run. `until` is how many events may happen before it is cut; `steers`, whether anybody talks."""

    draw: Draw
    until: int
    steers: bool = False
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
        answered = state.turns and not state.calls and isinstance(state.messages[-1], AssistantMessage)
        if answered and not state.steered:
            if state.turns < TURNS and not self.draw(st.integers(0, 3)):
                self.tell(OutputRejected(message="Not of that form."))
                return False
            self.tell(RunEnded(outcome="success", usage=state.usage))
        elif state.turns >= TURNS:
            self.stop("budget")
        return isinstance(self.events[-1], RunEnded)

    # ---- a turn of the model ---------------------------------------------------------------------

    def turn(self) -> None:
        for message in self.state.steered:
            self.tell(MessageAdded(message=message))
        try:
            self.ask()
        except _Interrupted:
            self.cut_reply()

    def ask(self) -> None:
        turn = self.state.turns + 1
        message_id = f"{RUN}:m{turn}"
        if self.draw(st.booleans()):
            self.tell(Summarised(text="They spoke.", covers=2, usage=Usage(input_tokens=5, usd=0.01)))
            self.tell(ContextTrimmed(before=900, after=300, shortened=1, summarised=2))
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
        usage = Usage(input_tokens=10, output_tokens=2, requests=1, usd=self.draw(st.sampled_from([0.0, 0.125])))
        self.tell(ModelReplied(message_id=message_id, message=message, finish=finish, usage=usage, model="scripted-1"))
        self.shown = False

    def attempt(self, message_id: str, turn: int) -> AssistantMessage:
        """Pieces of a reply, told as they come, and what they make together."""
        self.shown = False
        text, arguments = "", dict[str, str]()
        for kind, piece in self.draw(st.lists(st.tuples(st.sampled_from("ttrab"), TEXTS), max_size=8)):
            self.shown = True
            if self.steers and not self.draw(st.integers(0, 19)):
                self.steer("now")
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

    def steer(self, when: Literal["next_step", "now"]) -> None:
        """Somebody says something; now is to cut the reply that arrives."""
        self.tell(Steered(message=UserMessage(self.draw(st.sampled_from(["Shorter!", "And B?"]))), when=when))
        if when == "now":
            raise _Interrupted

    def cut_reply(self) -> None:
        """What was shown of the text is kept."""
        self.shown = False
        message_id, text = shown_text(self.events)
        if text:
            message, usage = AssistantMessage(content=text), Usage(requests=1, estimated=True)
            self.tell(ModelReplied(message_id=message_id, message=message, finish="cancelled", usage=usage))

    # ---- tools -----------------------------------------------------------------------------------

    def tools(self) -> None:
        """The calls, side by side: the steps of all in one random order; rest, if only people could go on."""
        left = {call.id: self.steps(call.id) for call in self.state.open_calls}
        names = {call.id: call.name for call in self.state.open_calls}
        while left:
            if self.state.resting and self.draw(st.booleans()):
                self.tell(RunRested(call_ids=tuple(left)))
                raise _Cut
            call_id = self.draw(st.sampled_from(sorted(left)))
            left[call_id].pop(0)(call_id, names[call_id])
            if not left[call_id]:
                del left[call_id]

    def steps(self, call_id: str) -> list[Step]:
        """What will become of a call: it runs, with or without an approval, or the client runs it, or none of that."""
        state = self.state
        if call_id in state.handed_out:
            return [self.end]
        runs: list[Step] = [self.start, *self.draw(self.between), self.end]
        answers: list[list[Step]] = [[self.approve, *runs], [self.deny], [self.stop_call]]
        if call_id in state.waiting:
            answer: list[Step] = self.draw(st.sampled_from(answers))
            return answer
        asked: list[Step] = [self.ask_for_approval, *self.draw(st.sampled_from(answers))]
        given: list[Step] = [self.hand_out, self.end]
        stopped: list[Step] = [self.start, self.stop_call]
        steps: list[Step] = self.draw(st.sampled_from([runs, runs, asked, given, stopped, [self.hand_over]]))
        return steps

    @property
    def between(self) -> st.SearchStrategy[list[Step]]:
        steps: list[Step] = [self.say, self.cite, self.queue, *([self.listen] if self.steers else [])]
        return st.lists(st.sampled_from(steps), max_size=3)

    def ask_for_approval(self, call_id: str, name: str) -> None:
        arguments = self.draw(st.sampled_from(['{"of": "A"}', "no JSON"]))
        self.tell(ApprovalAsked(call_id=call_id, name=name, arguments=arguments))

    def approve(self, call_id: str, _name: str) -> None:
        self.tell(ApprovalGiven(call_id=call_id, approved=True, by=self.draw(st.sampled_from([None, "ada"]))))

    def deny(self, call_id: str, name: str) -> None:
        self.tell(ApprovalGiven(call_id=call_id, approved=False, reason="too much", by="ada"))
        self.tell(ToolReturned(call_id=call_id, name=name, status="denied", content="no", code="denied"))

    def hand_out(self, call_id: str, name: str) -> None:
        self.tell(ClientAsked(call_id=call_id, name=name, arguments="{}"))

    def hand_over(self, call_id: str, name: str) -> None:
        self.tell(HandedOff(agent="poet"))
        self.tell(ToolReturned(call_id=call_id, name=name, status="ok", content="over"))

    def stop_call(self, call_id: str, name: str) -> None:
        self.tell(CancelAsked(reason="slow", call_id=call_id))
        self.tell(ToolReturned(call_id=call_id, name=name, status="cancelled", content="stopped", code="cancelled"))

    def listen(self, _call_id: str, _name: str) -> None:
        self.steer("next_step")

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
        usage = self.draw(st.sampled_from([None, Usage(input_tokens=7, usd=0.5)]))
        returned = ToolReturned(call_id=call_id, name=name, status=status, content="42", code=code, seconds=0.1)
        self.tell(replace(returned, usage=usage))

    # ---- how it is cut ---------------------------------------------------------------------------

    @property
    def rests(self) -> bool:
        return isinstance(self.events[-1], RunRested)

    def stop(self, outcome: Outcome) -> None:
        """The owner closes the run; see owner.py."""
        self.until = 10_000
        if outcome == "cancelled":
            self.tell(CancelAsked(reason="user"))
        self.cut_reply()
        for call in self.state.open_calls:
            self.tell(ToolReturned(call_id=call.id, name=call.name, status="cancelled", content="stopped"))
        code = {"deadline": "run_timeout", "budget": "budget_exceeded", "failed": "provider_unavailable"}.get(outcome)
        self.tell(RunEnded(outcome=outcome, code=code, message="secret", usage=self.state.usage))

    def die(self) -> None:
        """The process dies, or the run rests; what is in the journal is carried on by another."""
        self.shown = False
        self.events[:] = self.facts
        self.epoch += 1
        self.until = len(self.events) + 1
        self.tell(RunResumed())


def facts(events: Iterable[AnyEvent]) -> list[Fact]:
    return [event for event in events if isinstance(event, get_args(Fact))]


@st.composite
def lives(draw: Draw, *, dies: bool | None = None, steers: bool = False) -> Life:
    """A run up to some moment: going on, ended by itself, stopped, at rest, or resumed after that or a death.

    Only with `steers` is anything said into it: the page cannot show that yet.
    """
    life = Life(draw, until=draw(st.integers(1, 60)), steers=steers)
    ended = life.live()
    if not ended and (draw(st.booleans()) if dies is None else dies):
        life.die()
        life.until = len(life.events) + draw(st.integers(0, 60))
        ended = life.live()
    if not ended and not life.rests and draw(st.booleans()):
        life.stop(draw(st.sampled_from(["cancelled", "failed", "deadline", "budget"])))
    return life
