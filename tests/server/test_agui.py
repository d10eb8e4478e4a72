from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from agentrt.errors import AgentrtError
from agentrt.events import (
    AnyEvent,
    ArgumentsDelta,
    CallAttempted,
    CancelAsked,
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
from agentrt.messages import (
    AssistantMessage,
    FinishReason,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)
from agentrt.server.agui import Mapper
from tests.server.client import Json, seen
from tests.server.rules import assert_valid

MODEL = "model:r1:1"


def started(*messages: Message) -> RunStarted:
    said = messages or (UserMessage("How many?"),)
    return RunStarted(
        run_id="alice%2Fr1", agent="clerk", model="openai:gpt", messages=said, ends_at=1_600.5, thread="alice%2Ft1"
    )


def text(piece: str, message_id: str = "alice%2Fr1:m1") -> TextDelta:
    return TextDelta(message_id=message_id, text=piece)


def thought(piece: str) -> ReasoningDelta:
    return ReasoningDelta(message_id="alice%2Fr1:m1", text=piece)


def arguments(call_id: str, piece: str) -> ArgumentsDelta:
    return ArgumentsDelta(message_id="alice%2Fr1:m1", call_id=call_id, name="count", text=piece)


def replied(content: str = "", *calls: ToolCall, message_id: str = "alice%2Fr1:m1") -> ModelReplied:
    message = AssistantMessage(content=content, tool_calls=calls)
    usage = Usage(input_tokens=9, output_tokens=2, requests=1)
    finish: FinishReason = "tool_calls" if calls else "stop"
    return ModelReplied(message_id=message_id, message=message, finish=finish, usage=usage)


def call(call_id: str) -> ToolCall:
    return ToolCall(call_id, "count", '{"of":"A"}')


def running(call_id: str) -> ToolStarted:
    return ToolStarted(call_id=call_id, name="count", arguments="{}", idempotency_key="k")


def progress(call_id: str, data: Any) -> ToolProgress:
    return ToolProgress(call_id=call_id, name="count", data=data)


def returned(call_id: str, **how: Any) -> ToolReturned:
    usual: dict[str, Any] = {"name": "count", "status": "ok", "content": "12", "seconds": 0.25}
    return ToolReturned(call_id=call_id, **(usual | how))


def ended(outcome: Outcome = "success", **how: Any) -> RunEnded:
    return RunEnded(outcome=outcome, **how)


def told(*events: AnyEvent) -> list[Json]:
    """What viewers are told; event n of the run happened n seconds after second 1,000 since 1970."""
    mapper = Mapper("r1", "t1")
    stamped = [replace(event, epoch=1, seq=n, at=1_000.0 + n) for n, event in enumerate(events, 1)]
    mapped = msgspec.json.encode([one for event in stamped for one in mapper.map(event)])
    stream: list[Json] = msgspec.json.decode(mapped)
    assert_valid(stream)
    return stream


def kinds(stream: list[Json]) -> list[str]:
    return [event["type"] for event in stream if not event["type"].startswith("ACTIVITY")]


def activity(stream: list[Json], id_: str) -> Json:
    return seen(stream).activities[id_][1]


def assert_shown(stream: list[Json], id_: str, **content: Any) -> None:
    shown = activity(stream, id_)
    assert {name: shown.get(name) for name in content} == content


def test_a_run_opens_with_its_question_and_the_first_turn() -> None:
    opened, step, model = told(started())

    assert opened == {
        "type": "RUN_STARTED",
        "timestamp": 1_001_000,
        "threadId": "t1",
        "runId": "r1",
        "protocolVersion": "1.0",
        "input": {
            "threadId": "t1",
            "runId": "r1",
            "messages": [{"role": "user", "id": "r1:u1", "content": "How many?"}],
        },
        "metadata": {"agentrt": {"agent": "clerk", "endsAt": 1_600_500}},
    }
    assert step == {"type": "STEP_STARTED", "timestamp": 1_001_000, "stepName": "llm#1"}
    assert (model["messageId"], model["activityType"]) == (MODEL, "agentrt.model")
    assert model["content"] == {
        "turn": 1, "provider": "openai", "model": "gpt", "state": "running", "startedAt": 1_001_000,
    }  # fmt: skip


def test_the_question_is_what_the_user_said_last_and_no_instructions() -> None:
    said = (
        SystemMessage("Be brief."),
        UserMessage("How many A?"),
        AssistantMessage("", (call("c0"),)),
        ToolMessage("c0", "count", "12"),
        UserMessage("And B?"),
        UserMessage("Today."),
    )
    assert seen(told(started(*said))).question == ["And B?", "Today."]


def test_text_and_reasoning_are_opened_by_their_first_piece_and_closed_when_it_is_over() -> None:
    stream = told(started(), thought("Hm"), thought("m."), text("Twel"), text(""), text("ve"), replied("Twelve"))

    assert kinds(stream)[2:] == [
        "REASONING_START",
        "REASONING_MESSAGE_START",
        "REASONING_MESSAGE_CONTENT",
        "REASONING_MESSAGE_CONTENT",
        "REASONING_MESSAGE_END",
        "REASONING_END",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "STEP_FINISHED",
    ]
    assert seen(stream).texts == {"r1:m1": "Twelve"}
    assert seen(stream).reasoning == {"r1:m1:r1": "Hmm."}


def test_reasoning_after_text_is_another_span() -> None:
    stream = told(started(), thought("a"), text("b"), thought("c"), replied("b"))
    assert seen(stream).reasoning == {"r1:m1:r1": "a", "r1:m1:r2": "c"}


def test_the_arguments_of_parallel_calls_interleave() -> None:
    pieces: list[AnyEvent] = [
        arguments("c1", ""),
        arguments("c2", '{"of":'),
        arguments("c1", '{"of":"A"}'),
        arguments("c2", '"A"}'),
    ]
    stream = told(started(), *pieces, replied("", call("c1"), call("c2")))

    assert [(event["type"][10:], event["toolCallId"]) for event in stream if event["type"].startswith("TOOL")] == [
        ("START", "c1"), ("START", "c2"), ("ARGS", "c2"), ("ARGS", "c1"), ("ARGS", "c2"), ("END", "c1"), ("END", "c2"),
    ]  # fmt: skip
    assert seen(stream).calls == dict.fromkeys(("c1", "c2"), ("count", "r1:m1", '{"of":"A"}'))


def test_what_no_piece_has_shown_comes_with_the_reply() -> None:
    stream = told(started(), text("Let me "), arguments("c1", '{"of"'), replied("Let me see.", call("c1"), call("c2")))

    assert seen(stream).texts == {"r1:m1": "Let me see."}
    assert seen(stream).calls == dict.fromkeys(("c1", "c2"), ("count", "r1:m1", '{"of":"A"}'))


def test_a_tool_is_queued_then_running_then_has_its_result() -> None:
    begun = (started(), replied("", call("c1"), call("c2")))
    assert activity(told(*begun), "tool:c1") == {
        "toolCallId": "c1", "name": "count", "state": "queued", "queuedAt": 1_002_000,
    }  # fmt: skip
    stream = told(*begun, running("c1"), progress("c1", {"done": 1}), progress("c1", {"done": 2}))
    assert activity(stream, "tool:c1") == {
        "toolCallId": "c1",
        "name": "count",
        "state": "running",
        "queuedAt": 1_002_000,
        "startedAt": 1_003_000,
        "progress": {"done": 2},
    }
    stream = told(*begun, running("c1"), returned("c1", status="timeout", code="tool_timeout"))
    assert_shown(stream, "tool:c1", state="timeout", endedAt=1_004_000, code="tool_timeout")
    result = next(event for event in stream if event["type"] == "TOOL_CALL_RESULT")
    assert (result["messageId"], result["toolCallId"], result["content"]) == ("c1:result", "c1", "12")
    assert result["metadata"] == {"agentrt": {"status": "timeout", "code": "tool_timeout", "ms": 250}}
    assert seen(stream).steps == set(), "one call is still open"


def test_the_next_turn_begins_with_the_last_result() -> None:
    calls = (started(), replied("", call("c1"), call("c2")), returned("c2"), returned("c1"))

    assert seen(told(*calls)).steps == {"llm#2"}
    assert_shown(told(*calls), "model:r1:2", state="running", startedAt=1_004_000)


def test_no_turn_begins_that_will_not_come() -> None:
    begun = (started(), replied("", call("c1")))

    asked = told(*begun, CancelAsked(reason="user"), returned("c1"), ended("cancelled"))
    stopped = told(*begun, returned("c1", status="cancelled"), ended("deadline", code="run_timeout"))
    assert [kinds(stream).count("STEP_STARTED") for stream in (asked, stopped)] == [1, 1]
    went_on = told(*begun, returned("c1", status="cancelled"), text("On."))
    assert seen(went_on).steps == {"llm#2"}


def test_sources_are_shown_as_such_and_are_no_progress() -> None:
    source = {"id": "d1", "title": "Leases", "uri": "http://docs.example/leases", "score": 1.5}
    begun = (started(), replied("", call("c1")), running("c1"))
    stream = told(*begun, progress("c1", {"sources": [source]}))

    assert len(stream) == len(told(*begun)) + 1
    assert seen(stream).activities["sources:c1"] == ("agentrt.sources", {"toolCallId": "c1", "sources": [source]})
    assert "progress" not in activity(stream, "tool:c1")
    assert activity(told(*begun, progress("c1", {"sources": 3})), "tool:c1")["progress"] == {"sources": 3}


def test_waits_attempts_and_retries_are_seen_at_the_turn() -> None:
    wait = GateWaited(provider="openai", reason="rate", waited=0, eta=2.5)
    over = GateWaited(provider="openai", reason="rate", waited=2.5, eta=0)
    failed = CallAttempted(
        provider="openai", model="gpt", attempt=1, seconds=0.1, queued=2.5, error="provider_unavailable"
    )
    again = Retrying(provider="openai", attempt=1, delay=0.5, error="provider_unavailable")

    assert_shown(told(started(), wait), MODEL, state="rate_limited", waiting={"reason": "rate", "until": 1_004_500})
    unknown = replace(wait, reason="concurrency", eta=None)
    assert activity(told(started(), unknown), MODEL)["waiting"] == {"reason": "concurrency", "until": None}
    assert activity(told(started(), wait, over), MODEL)["state"] == "running"
    stream = told(started(), wait, over, failed, again)
    assert_shown(stream, MODEL, state="retrying", attempts=1, error="provider_unavailable")
    assert activity(stream, MODEL)["retry"] == {"error": "provider_unavailable", "until": 1_005_500}
    stream = told(started(), wait, over, failed, again, text("Twelve"))
    assert_shown(stream, MODEL, state="running", firstAt=1_006_000)
    stream = told(started(), wait, over, failed, again, text("Twelve"), replied("Twelve"))
    assert_shown(stream, MODEL, state="ok", endedAt=1_007_000, inputTokens=9, outputTokens=2)


def test_a_tools_wait_is_seen_at_the_tool() -> None:
    begun = (started(), replied("", call("c1")), running("c1"))
    wait = GateWaited(provider="openai", reason="tokens", waited=0, eta=1, call_id="c1")

    until = {"reason": "tokens", "until": 1_005_000}
    assert_shown(told(*begun, wait), "tool:c1", state="rate_limited", waiting=until)
    assert activity(told(*begun, wait, replace(wait, eta=0)), "tool:c1")["state"] == "running"
    failed = CallAttempted(
        provider="crm", model="", attempt=1, seconds=0, queued=0, error="provider_unavailable", call_id="c1"
    )
    again = Retrying(provider="crm", attempt=1, delay=0.5, error="provider_unavailable", call_id="c1")
    assert_shown(told(*begun, failed), "tool:c1", attempts=1, error="provider_unavailable")
    assert_shown(told(*begun, failed, again), "tool:c1", state="retrying")
    unnamed: list[AnyEvent] = [
        replace(wait, call_id=None),
        CallAttempted(provider="openai", model="gpt", attempt=1, seconds=0, queued=0),
        Retrying(provider="openai", attempt=1, delay=0.5, error="provider_unavailable"),
    ]
    assert told(*begun, *unnamed) == told(*begun), "while tools run it is not the model's"


def test_a_turn_that_fell_back_names_who_is_asked_now_and_the_next_turn_begins_anew() -> None:
    fell = FellBack(model="backup:m2", instead_of="openai:gpt", error="provider_unavailable")
    assert_shown(told(started(), fell), MODEL, provider="backup", model="m2", state="running", error=fell.error)
    stream = told(started(), fell, replied("", call("c1")), running("c1"), returned("c1"))
    assert_shown(stream, "model:r1:2", provider="openai", model="gpt")


def test_a_call_that_has_its_result_changes_no_more() -> None:
    wait = GateWaited(provider="openai", reason="tokens", waited=1, eta=0, call_id="c1")
    begun = (started(), replied("", call("c1"), call("c2")), running("c1"), returned("c1", status="timeout"))
    assert told(*begun, wait, progress("c1", 1)) == told(*begun)


def test_a_reply_that_broke_off_is_closed_and_taken_back() -> None:
    again = "alice%2Fr1:m1.2"
    broken: list[AnyEvent] = [thought("Hm"), text("Elev"), arguments("c1", '{"of')]
    stream = told(
        started(),
        *broken,
        Rewound(message_id="alice%2Fr1:m1", replaced_by=again),
        text("Twelve", again),
        replied("Twelve", message_id=again),
    )

    rewind = next(n for n, event in enumerate(stream) if event["type"] == "CUSTOM")
    assert [event["type"] for event in stream[rewind - 2 : rewind]] == ["TEXT_MESSAGE_END", "TOOL_CALL_END"]
    assert stream[rewind]["name"] == "agentrt.rewind"
    assert stream[rewind]["value"] == {"messageId": "r1:m1", "replacedBy": "r1:m1.2"}
    view = seen(stream)
    assert (view.texts, view.reasoning, view.calls) == ({"r1:m1.2": "Twelve"}, {}, {})
    assert activity(stream, MODEL)["firstAt"] == 1_006_000


def test_what_is_open_when_the_run_stops_is_closed_before_its_end() -> None:
    pieces: list[AnyEvent] = [thought("Hm"), text("Twel"), arguments("c1", '{"of'), thought("So")]
    stream = told(started(), *pieces, ended("cancelled", code="cancelled"))

    assert stream[-1] == {
        "type": "RUN_FINISHED",
        "timestamp": 1_006_000,
        "threadId": "t1",
        "runId": "r1",
        "outcome": {"type": "cancelled"},
    }
    assert seen(stream).results["c1"][1] == "cancelled", "a call without a result could not be carried on from"
    assert_shown(stream, MODEL, state="cancelled", endedAt=1_006_000)


def test_tools_that_are_open_at_the_end_are_so_no_more() -> None:
    begun = (started(), replied("", call("c1")), running("c1"))
    states = {
        outcome: activity(told(*begun, ended(outcome)), "tool:c1")["state"]
        for outcome in ("cancelled", "failed", "deadline", "budget")
    }
    assert states == {"cancelled": "cancelled", "failed": "error", "deadline": "timeout", "budget": "cancelled"}


def test_a_success_has_its_answer_and_its_usage() -> None:
    usage = Usage(input_tokens=90, output_tokens=20, cached_tokens=64, requests=2, estimated=True)
    answered = replace(replied("Twelve"), usage=usage)
    last = told(started(), answered, ended(usage=usage, stragglers=("count",)))[-1]

    assert last["outcome"] == {"type": "success"}
    assert last["result"] == "Twelve"
    assert last["usage"] == [
        {
            "provider": "openai",
            "model": "gpt",
            "inputTokens": 90,
            "outputTokens": 20,
            "totalTokens": 110,
            "cachedInputTokens": 64,
        }
    ]
    assert last["metadata"] == {"agentrt": {"estimated": True, "stragglers": ["count"]}}


CODES: dict[str | None, str] = {
    "provider_rate_limited": "provider_rate_limited",
    "provider_timeout": "provider_timeout",
    "context_length_exceeded": "context_length_exceeded",
    "content_filtered": "content_filtered",
    "budget_exceeded": "budget_exceeded",
    "run_timeout": "run_timeout",
    "internal": "internal",
    None: "internal",
    **dict.fromkeys(
        (
            "provider_error",
            "provider_unreachable",
            "provider_unavailable",
            "provider_exhausted",
            "provider_refused",
            "reply_incomplete",
        ),
        "provider_error",
    ),
}


@pytest.mark.parametrize("code", CODES)
def test_a_failure_has_a_code_of_the_protocol_and_no_words_of_an_exception(code: str | None) -> None:
    attempt = CallAttempted(provider="openai", model="gpt", attempt=3, seconds=0.1, queued=0, error="provider_refused")
    last = told(started(), attempt, ended("failed", code=code, message="key sk-123 is no good"))[-1]

    assert (last["type"], last["code"]) == ("RUN_ERROR", CODES[code])
    assert "sk-123" not in str(last)
    assert last["message"].endswith(".")
    assert last["metadata"] == {"agentrt": {"reason": code or "internal", "provider": "openai", "attempts": 3}}


def test_no_code_of_ours_is_forgotten() -> None:
    """A new provider error is to be told as one."""

    def codes(kind: type[AgentrtError]) -> set[str]:
        return {kind.code}.union(*(codes(child) for child in kind.__subclasses__()))

    of_providers = {code for code in codes(AgentrtError) if code.startswith(("provider_", "context_", "reply_"))}
    assert of_providers - CODES.keys() == {"provider_unknown", "provider_failed"}, "these end no run"


def test_the_clients_ids_are_the_only_ones_shown() -> None:
    stream = told(started(), thought("a"), text("b"), replied("b", call("c1")), returned("c1"), ended("failed"))
    assert "alice" not in str(stream)


def test_a_run_that_is_resumed_goes_on_where_its_facts_end() -> None:
    stream = told(started(), RunResumed())
    assert (stream[-2]["name"], stream[-2]["value"]) == ("agentrt.resumed", {"epoch": 1})
    assert activity(stream, MODEL)["startedAt"] == 1_002_000

    stream = told(
        started(), replied("", call("c1"), call("c2")), running("c1"), returned("c1"), running("c2"), RunResumed()
    )
    assert activity(stream, "tool:c1")["state"] == "ok"
    assert activity(stream, "tool:c2")["state"] == "queued"

    stream = told(started(), text("Twel"), RunResumed(), text("Twelve"), replied("Twelve"), ended())
    assert seen(stream).texts == {"r1:m1": "Twelve"}


def test_nothing_is_told_behind_the_end() -> None:
    whole = (started(), replied("Twelve"), ended())
    assert told(*whole, progress("c1", 1), ended()) == told(*whole)


def test_usage_is_told_for_each_model_that_was_asked() -> None:
    spare = replace(replied("Twelve"), asked="backup:m2")
    last = told(started(), replied("", call("c1")), running("c1"), returned("c1"), spare, ended())[-1]
    assert [(spent["provider"], spent["model"]) for spent in last["usage"]] == [("openai", "gpt"), ("backup", "m2")]
