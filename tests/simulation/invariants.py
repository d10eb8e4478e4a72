"""What must hold of a run, whatever befell it: pure checkers, each of which yields its complaints in words.

They know nothing of how the run came about. What they are given was written down by others: the journal's facts, what
readers of the feed saw, what the tools did to the world, how the gates stood in the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agentrt.events import (
    AnyEvent,
    ArgumentsDelta,
    CancelAsked,
    Fact,
    ModelReplied,
    ReasoningDelta,
    Rewound,
    RunEnded,
    RunResumed,
    RunStarted,
    TextDelta,
    ToolReturned,
    ToolStarted,
)
from agentrt.gate.grant import Statistics
from agentrt.messages import AssistantMessage, Message, ToolMessage
from agentrt.runs.state import RunState, fold

Complaints = Iterator[str]


@dataclass(frozen=True)
class Deed:
    """A tool's function began: `intended` if its `ToolStarted` was acknowledged by then, in this life of the process;
    `settled` if its result was."""

    tool: str
    run_id: str
    call_id: str
    key: str
    intended: bool
    settled: bool


# ---- the journal of one run ------------------------------------------------------------------------------


def numbered(facts: Sequence[Fact]) -> Complaints:
    """Facts are numbered upwards, begin with the one `RunStarted`, and each epoch but the first with `RunResumed`."""
    if not facts or not isinstance(facts[0], RunStarted):
        yield "the first fact is no RunStarted"
        return
    for before, fact in pairwise(facts):
        if fact.seq <= before.seq:
            yield f"fact {fact.seq} stands behind {before.seq}"
        if isinstance(fact, RunStarted):
            yield f"fact {fact.seq} is a second RunStarted"
        if (fact.epoch > before.epoch) != isinstance(fact, RunResumed) or fact.epoch < before.epoch:
            yield f"fact {fact.seq} is {type(fact).__name__} of epoch {fact.epoch} behind one of epoch {before.epoch}"


def ended_once(facts: Sequence[Fact]) -> Complaints:
    """There is one `RunEnded`, it is the last fact, and adds up what was spent."""
    ends = [fact for fact in facts if isinstance(fact, RunEnded)]
    if len(ends) != 1 or ends[0] is not facts[-1]:
        yield f"{len(ends)} RunEnded, and the last fact is {type(facts[-1]).__name__ if facts else None}"
    elif ends[0].usage != fold(facts).usage:
        yield f"RunEnded speaks of {ends[0].usage}, and its facts of {fold(facts).usage}"


def kept(acknowledged: Sequence[Fact], facts: Sequence[Fact]) -> Complaints:
    """What was acknowledged once is there, in the same order and with nothing in between."""
    if list(facts[: len(acknowledged)]) != list(acknowledged):
        yield f"acknowledged were {_short(acknowledged)}; there is {_short(facts)}"


def in_turn(facts: Sequence[Fact]) -> Complaints:  # noqa: C901 - one case for each fact
    """A call is intended, then has its one result, before the model speaks again or the run ends.

    It has one intent an epoch, always under one key. No id is used for two calls.
    """
    open_calls: set[str] = set()
    known: set[str] = set()
    intents: dict[str, tuple[int, str]] = {}
    for fact in facts:
        match fact:
            case ModelReplied():
                wanted = [call.id for call in fact.message.tool_calls]
                if open_calls:
                    yield f"the model speaks while {sorted(open_calls)} are open"
                if len(known | set(wanted)) < len(known) + len(wanted):
                    yield f"an id of {wanted} is used for two calls"
                known.update(wanted)
                open_calls = set(wanted)
            case ToolStarted():
                epoch, key = intents.get(fact.call_id, (-1, fact.idempotency_key))
                if fact.call_id not in open_calls or epoch == fact.epoch or key != fact.idempotency_key:
                    yield f"{fact.call_id} is not to be started: open {sorted(open_calls)}, intended {epoch}, {key}"
                intents[fact.call_id] = fact.epoch, fact.idempotency_key
            case ToolReturned():
                if fact.call_id not in open_calls:
                    yield f"{fact.call_id} has a result and is not open"
                open_calls.discard(fact.call_id)
            case RunEnded():
                if open_calls:
                    yield f"the run ends while {sorted(open_calls)} are open"
            case _:
                pass


def never_internal(facts: Sequence[Fact]) -> Complaints:
    """Nothing that can happen is an error of ours. One end has that code, and means a crash between two facts."""
    ended = facts[-1] if facts else None
    if isinstance(ended, RunEnded) and ended.code == "internal" and "process died" not in ended.message:
        yield f"the run ended by an error of ours: {ended.message}"


def prompt(facts: Sequence[Fact], within: float) -> Complaints:
    """Who was told to stop now, has ended within so many seconds; a crash takes its own time."""
    asked: CancelAsked | None = None
    for fact in facts:
        if isinstance(fact, RunResumed):
            asked = None
        elif isinstance(fact, CancelAsked) and fact.mode == "now" and fact.call_id is None:
            asked = fact
        elif isinstance(fact, RunEnded) and asked is not None and fact.at > asked.at + within:
            yield f"it ended {fact.at - asked.at:g} s after it was told to stop"


# ---- the conversation ------------------------------------------------------------------------------------


def valid(messages: Iterable[Message]) -> Complaints:
    """Each call has one result, behind it, in the order of the calls and before the next reply; no id is used twice."""
    due: list[str] = []
    seen: set[str] = set()
    for message in messages:
        if isinstance(message, ToolMessage):
            if not due or due.pop(0) != message.call_id:
                yield f"the result of {message.call_id} is not the next that is due"
            continue
        if due:
            yield f"{due} have no result"
            due = []
        if isinstance(message, AssistantMessage):
            due = [call.id for call in message.tool_calls]
            if len(seen | set(due)) < len(seen) + len(due):
                yield f"an id of {due} is used for two calls"
            seen.update(due)
    if due:
        yield f"{due} have no result"


def folds(facts: Sequence[Fact], before: RunState, live: RunState) -> Complaints:
    """The journal, folded, is the state that the run lived in."""
    if (folded := fold(facts, before)) != live:
        differing = [name for name in RunState.__struct_fields__ if getattr(folded, name) != getattr(live, name)]
        yield f"folded and live state differ in {differing}"


# ---- who watched -----------------------------------------------------------------------------------------


def watched(events: Sequence[AnyEvent], acknowledged: Sequence[Fact], *, after: int = 0) -> Complaints:
    """A reader saw what the journal acknowledged, all of it, in order, and everything with a growing number."""
    numbers = [event.seq for event in events]
    if numbers != sorted(set(numbers)) or (numbers and numbers[0] <= after):
        yield f"a reader behind {after} saw the numbers {numbers}"
    facts = [event for event in events if isinstance(event, Fact)]
    due = [fact for fact in acknowledged if fact.seq > after]
    if facts != due:
        yield f"a reader behind {after} saw {_short(facts)}; acknowledged were {_short(due)}"


def redrawn(events: Iterable[AnyEvent]) -> Complaints:  # noqa: C901 - one case for each event
    """Text that was shown is the text of the fact that follows, or was taken back."""
    shown: dict[str, str] = {}
    for event in events:
        match event:
            case TextDelta():
                shown[event.message_id] = shown.get(event.message_id, "") + event.text
            case ReasoningDelta() | ArgumentsDelta():
                shown.setdefault(event.message_id, "")
            case Rewound():
                if shown.pop(event.message_id, None) is None:
                    yield f"{event.message_id} was taken back and had not been shown"
            case ModelReplied():
                if (text := shown.pop(event.message_id, event.message.content)) != event.message.content:
                    yield f"{event.message_id} was shown as {text!r} and kept as {event.message.content!r}"
            case RunResumed():
                shown.clear()  # a new process: who watched begins anew
            case RunEnded():
                if any(shown.values()):
                    yield f"{sorted(shown)} were shown and not kept"
            case _:
                pass


# ---- the world -------------------------------------------------------------------------------------------


def facts_before_deeds(deeds: Iterable[Deed], speculative: Collection[str] = ()) -> Complaints:
    """No tool ran before its intent was kept, and none whose result was.

    Reads may: they begin early, and one that two calls share goes on for the second when the first was stopped.
    """
    for deed in deeds:
        if not deed.intended and deed.tool not in speculative:
            yield f"{deed.tool} ran as {deed.key} before its intent was kept"
        if deed.settled and deed.tool not in speculative:
            yield f"{deed.tool} ran as {deed.key} although its result was kept"
        if deed.key != f"{deed.run_id}:{deed.call_id}":
            yield f"{deed.tool} ran as {deed.key}, being {deed.call_id} of {deed.run_id}"


def once(deeds: Iterable[Deed], repeatable: Collection[str]) -> Complaints:
    """What changes the world and may not do so twice did not."""
    counts = Counter(deed.key for deed in deeds if deed.tool not in repeatable)
    yield from (f"{key} took effect {count} times" for key, count in counts.items() if count > 1)


def all_back(gates: Mapping[str, Statistics]) -> Complaints:
    """Every permit is back, and nobody is in line."""
    for name, gate in gates.items():
        if gate.in_flight or gate.waiting or any(group.in_flight or group.waiting for group in gate.groups):
            yield f"gate {name}: {gate.in_flight} in flight, {gate.waiting} in line"


def _short(facts: Iterable[Fact]) -> str:
    return ", ".join(f"{fact.seq} {type(fact).__name__}" for fact in facts) or "nothing"
