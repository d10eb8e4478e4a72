from __future__ import annotations

from agentrt.cli.timeline import Timeline
from agentrt.events import (
    AnyEvent,
    GateWaited,
    ModelReplied,
    RunEnded,
    RunStarted,
    TextDelta,
    ToolReturned,
    ToolStarted,
    ToolStatus,
)
from agentrt.messages import AssistantMessage, Usage, UserMessage


def told(*events: AnyEvent) -> Timeline:
    timeline = Timeline()
    for event in events:
        timeline.add(event)
    return timeline


STARTED = RunStarted(run_id="r", agent="a", model="p:m", messages=(UserMessage("?"),), ends_at=600.0, at=100.0)


def started(id: str, at: float) -> ToolStarted:
    return ToolStarted(call_id=id, name="look", arguments="{}", idempotency_key=id, at=at)


def returned(id: str, at: float, code: str | None = None) -> ToolReturned:
    status: ToolStatus = "ok" if code is None else "error"
    return ToolReturned(call_id=id, name="look", status=status, content="", code=code, at=at)


def replied(at: float) -> ModelReplied:
    return ModelReplied(
        message_id="m", message=AssistantMessage("x"), finish="stop", usage=Usage(10, 5, requests=1), at=at
    )


def test_turns_and_calls_are_rows_on_one_time_axis() -> None:
    timeline = told(STARTED, replied(101.0), started("a", 101.0), started("b", 101.5), returned("b", 102.0))
    assert [(row.label, row.started, row.ended, row.state) for row in timeline.rows] == [
        ("model", 0.0, 1.0, "ok"),
        ("look", 1.0, None, "running"),
        ("look", 1.5, 2.0, "ok"),
    ]


def test_the_model_is_asked_again_once_all_calls_are_back() -> None:
    timeline = told(STARTED, replied(101.0), started("a", 101.0), returned("a", 102.0, code="tool_timeout"))
    assert [(row.label, row.detail, row.note) for row in timeline.rows] == [
        ("model", "turn 1", ""),
        ("look", "{}", "tool_timeout"),
        ("model", "turn 2", ""),
    ]


def test_a_wait_at_the_gate_is_noted_while_it_lasts() -> None:
    wait = GateWaited(provider="p", reason="rate", waited=0.0, eta=3.0, at=100.0)
    timeline = told(STARTED, wait)
    assert timeline.rows[0].note == "waits for rate"
    timeline.add(GateWaited(provider="p", reason="rate", waited=3.0, eta=0.0, at=103.0))
    assert timeline.rows[0].note == ""


def test_the_end_closes_what_is_open_and_has_the_total() -> None:
    timeline = told(
        STARTED,
        TextDelta(message_id="m", text="x", at=100.5),
        RunEnded(outcome="cancelled", usage=Usage(10, 5), at=101.0),
    )
    assert [(row.ended, row.state) for row in timeline.rows] == [(1.0, "cancelled")]
    assert (timeline.seconds, timeline.usage.total_tokens) == (1.0, 15)
