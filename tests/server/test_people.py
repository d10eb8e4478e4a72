"""People in a run, as viewers are told of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from agentrt.events import (
    AnyEvent,
    ApprovalAsked,
    ApprovalGiven,
    ArgumentsDelta,
    CancelAsked,
    ClientAsked,
    ContextTrimmed,
    GateWaited,
    HandedOff,
    MessageAdded,
    ModelReplied,
    OutputRejected,
    ReasoningDelta,
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
from agentrt.messages import AssistantMessage, FinishReason, ImagePart, ToolCall, Usage, UserMessage
from agentrt.server.agui import Mapper
from tests.server.client import Json, seen
from tests.server.rules import assert_valid

BEGUN = RunStarted(run_id="r1", agent="clerk", model="openai:gpt", messages=(UserMessage("Pay."),), ends_at=1_600.0)
PAY = ApprovalAsked(call_id="c1", name="pay", arguments='{"amount": 3}')
LOCATE = ClientAsked(call_id="c2", name="locate", arguments="{}")
RUNS = ToolStarted(call_id="c1", name="pay", arguments="{}", idempotency_key="k")
AND_B = UserMessage("And B?")


def replied(content: str, *names: str, finish: FinishReason = "tool_calls", message_id: str = "r1:m1") -> ModelReplied:
    calls = tuple(ToolCall(f"c{n}", name, "{}") for n, name in enumerate(names, 1))
    usage = Usage(input_tokens=9, output_tokens=2, requests=1)
    return ModelReplied(message_id=message_id, message=AssistantMessage(content, calls), finish=finish, usage=usage)


CALLED = (BEGUN, replied("", "pay", "locate"))


def text(piece: str, message_id: str = "r1:m1") -> TextDelta:
    return TextDelta(message_id=message_id, text=piece)


def returned(call_id: str, status: Any = "ok", **more: Any) -> ToolReturned:
    return ToolReturned(call_id=call_id, name="pay", status=status, content="42", **more)


def told(*events: AnyEvent) -> list[Json]:
    """What viewers are told; event n of the run happened n seconds after second 1,000 since 1970."""
    mapper = Mapper("r1", "t1")
    stamped = [replace(event, epoch=1, seq=n, at=1_000.0 + n) for n, event in enumerate(events, 1)]
    mapped = msgspec.json.encode([one for event in stamped for one in mapper.map(event)])
    stream: list[Json] = msgspec.json.decode(mapped)
    assert_valid(stream)
    return stream


def state(stream: list[Json], call_id: str) -> str:
    return str(seen(stream).activities[f"tool:{call_id}"][1]["state"])


def approval(stream: list[Json], call_id: str = "c1") -> Json:
    kind, content = seen(stream).activities[f"approval:{call_id}"]
    assert kind == "agentrt.approval"
    return content


def kinds(stream: list[Json]) -> list[str]:
    return [event["type"] for event in stream if not event["type"].startswith("ACTIVITY")]


# ---- approvals and calls of the client ---------------------------------------------------------


def test_a_call_waits_for_an_approval_with_all_that_one_must_know() -> None:
    stream = told(*CALLED, PAY)
    assert approval(stream) == {
        "approvalId": "c1", "toolCallId": "c1", "tool": "pay", "args": {"amount": 3}, "state": "pending",
    }  # fmt: skip
    assert (state(stream, "c1"), state(stream, "c2")) == ("waiting", "queued")


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ('{"a": 1.50, "b": [null]}', {"a": 1.5, "b": [None]}),
        (f'{{"n": {10**30}}}', {"n": 10**30}),
        ('{"a": ', '{"a": '),
        ("", ""),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_arguments_are_shown_as_json_or_as_they_were_written(arguments: str, shown: Any) -> None:
    assert approval(told(*CALLED, replace(PAY, arguments=arguments)))["args"] == shown


def test_a_decision_is_seen_with_who_made_it_and_why() -> None:
    yes = ApprovalGiven(call_id="c1", approved=True, by="ada")
    stream = told(*CALLED, PAY, yes)
    assert (approval(stream)["state"], approval(stream)["by"], approval(stream)["note"]) == ("approved", "ada", "")
    assert state(stream, "c1") == "queued"
    assert state(told(*CALLED, PAY, yes, RUNS), "c1") == "running"

    no = ApprovalGiven(call_id="c1", approved=False, reason="too much")
    stream = told(*CALLED, PAY, no, returned("c1", "denied", code="denied"))
    assert (approval(stream)["state"], approval(stream)["by"], approval(stream)["note"]) == ("denied", None, "too much")
    assert state(stream, "c1") == "denied"
    twice = (*CALLED, PAY, yes, RUNS)
    assert told(*twice, no) == told(*twice), "the first answer counts"


def test_an_approval_that_nobody_gives_any_more_is_closed() -> None:
    ends = [
        (CancelAsked(call_id="c1", reason="slow"), returned("c1", "cancelled")),
        (CancelAsked(reason="user"), returned("c1", "cancelled"), returned("c2"), RunEnded(outcome="cancelled")),
        (RunEnded(outcome="failed", code="internal"),),
    ]
    for end in ends:
        assert approval(told(*CALLED, PAY, *end))["state"] == "closed"


def test_a_call_that_the_client_runs_says_so_and_has_no_approval() -> None:
    stream = told(*CALLED, LOCATE)
    assert state(stream, "c2") == "client"
    assert "approval:c2" not in seen(stream).activities
    assert state(told(*CALLED, LOCATE, returned("c2")), "c2") == "ok"


def test_a_call_that_is_stopped_alone_is_seen_to_stop_and_stays_so() -> None:
    stop = CancelAsked(call_id="c1", reason="slow")
    wait = GateWaited(provider="crm", reason="rate", waited=0.1, eta=0.0, call_id="c1")
    assert state(told(*CALLED, RUNS, stop), "c1") == "stopping"
    assert state(told(*CALLED, RUNS, stop, wait, replace(wait, eta=1.0)), "c1") == "stopping"
    assert told(*CALLED, replace(stop, call_id="c9")) == told(*CALLED)


def test_behind_calls_that_were_stopped_alone_the_next_turn_is_seen_to_begin() -> None:
    one = (BEGUN, replied("", "pay"), RUNS, CancelAsked(call_id="c1"), returned("c1", "cancelled"))
    assert seen(told(*one)).steps == {"llm#2"}
    assert seen(told(BEGUN, replied("", "pay"), RUNS, returned("c1", "cancelled"))).steps == set()


# ---- rest --------------------------------------------------------------------------------------


def test_a_run_that_rests_is_over_for_now_and_says_what_it_waits_for() -> None:
    stream = told(*CALLED, PAY, LOCATE, RunRested(call_ids=("c1", "c2")))
    assert stream[-1] == {
        "type": "RUN_FINISHED",
        "timestamp": 1_005_000,
        "threadId": "t1",
        "runId": "r1",
        "outcome": {
            "type": "interrupt",
            "interrupts": [
                {
                    "id": "c1",
                    "reason": "tool_call",
                    "message": "pay runs once somebody approves of it.",
                    "toolCallId": "c1",
                },
                {
                    "id": "c2",
                    "reason": "agentrt:client_tool",
                    "message": "locate is to be run by the client.",
                    "toolCallId": "c2",
                },
            ],
        },
        "usage": [
            {
                "provider": "openai",
                "model": "gpt",
                "inputTokens": 9,
                "outputTokens": 2,
                "totalTokens": 11,
                "cachedInputTokens": 0,
            }
        ],
    }
    assert (approval(stream)["state"], state(stream, "c1"), state(stream, "c2")) == ("pending", "waiting", "client")


def test_calls_that_wait_do_so_in_the_next_epoch_too() -> None:
    stream = told(*CALLED, PAY, LOCATE, RunResumed())
    assert (state(stream, "c1"), state(stream, "c2")) == ("waiting", "client")
    stream = told(*CALLED, PAY, RunResumed(), ApprovalGiven(call_id="c1", approved=True))
    assert (approval(stream)["state"], state(stream, "c1"), state(stream, "c2")) == ("approved", "queued", "queued")


# ---- what is said into a run -------------------------------------------------------------------


def test_what_is_said_into_a_run_is_a_message_of_the_user_where_the_model_hears_it() -> None:
    said = (Steered(message=AND_B), returned("c1"), returned("c2"), MessageAdded(message=AND_B))
    stream = told(*CALLED, *said)
    start, content, end = stream[-3:]
    assert start == {
        "type": "TEXT_MESSAGE_START", "messageId": "r1:s1", "role": "user", "metadata": {"agentrt": {"steer": True}},
    }  # fmt: skip
    assert (content["delta"], end["type"]) == ("And B?", "TEXT_MESSAGE_END")
    assert seen(stream).steps == {"llm#2"}
    assert "TEXT_MESSAGE_START" not in kinds(told(*CALLED, *said[:-1])), "until then it is not heard"


def test_behind_an_answer_what_was_said_begins_another_turn() -> None:
    answered = (BEGUN, Steered(message=AND_B), replied("Twelve.", finish="stop"))
    assert seen(told(*answered)).steps == set()
    stream = told(*answered, MessageAdded(message=AND_B), text("Nine.", "r1:m2"))
    assert seen(stream).steps == {"llm#2"}
    assert seen(stream).texts == {"r1:m1": "Twelve.", "r1:s1": "And B?", "r1:m2": "Nine."}


def test_a_reply_that_was_cut_for_it_keeps_its_text() -> None:
    now = Steered(message=AND_B, when="now")
    cut = replied("Twel", finish="cancelled")
    stream = told(BEGUN, text("Twel"), now, cut, MessageAdded(message=AND_B), text("Nine.", "r1:m2"))
    assert kinds(stream) == [
        *("RUN_STARTED", "STEP_STARTED"),
        *("TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "STEP_FINISHED"),
        *("TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"),
        *("STEP_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT"),
    ]


def test_a_reply_that_was_cut_before_there_was_a_word_is_forgotten() -> None:
    """Its id will be the next one's, who would go on with its calls otherwise."""
    pieces: list[AnyEvent] = [
        ReasoningDelta(message_id="r1:m1", text="Hm"),
        ArgumentsDelta(message_id="r1:m1", call_id="c1", name="pay", text='{"am'),
    ]
    stream = told(BEGUN, *pieces, Steered(message=AND_B, when="now"), MessageAdded(message=AND_B), text("Nine."))
    view = seen(stream)
    assert (view.reasoning, view.calls, view.texts) == ({}, {}, {"r1:s1": "And B?", "r1:m1": "Nine."})
    assert kinds(stream).count("STEP_STARTED") == 1
    custom = next(event for event in stream if event["type"] == "CUSTOM")
    assert custom["value"] == {"messageId": "r1:m1", "replacedBy": "r1:m1"}


def test_an_image_that_is_said_is_a_message_without_text() -> None:
    image = UserMessage((ImagePart(url="https://pictures.example/a.png"),))
    assert seen(told(BEGUN, MessageAdded(message=image))).texts == {"r1:s1": ""}


# ---- and what else happens to a conversation ---------------------------------------------------


def test_handing_over_and_making_fit_are_told_as_such() -> None:
    stream = told(
        BEGUN,
        Summarised(text="They spoke.", covers=4),
        ContextTrimmed(before=900, after=300, shortened=1, summarised=4),
        replied("", "poet"),
        HandedOff(agent="poet"),
    )
    assert [(event["name"], event["value"]) for event in stream if event["type"] == "CUSTOM"] == [
        ("agentrt.context", {"covers": 4}),
        ("agentrt.context", {"before": 900, "after": 300, "shortened": 1, "summarised": 4}),
        ("agentrt.handoff", {"agent": "poet"}),
    ]


def test_an_answer_of_the_wrong_form_is_followed_by_another_turn() -> None:
    wrong = replied("Twelve.", finish="stop")
    assert seen(told(BEGUN, wrong)).steps == set()
    assert seen(told(BEGUN, wrong, OutputRejected(message="Not of that form."))).steps == {"llm#2"}


def test_what_it_has_cost_is_told_where_it_is_known() -> None:
    def costs(*events: AnyEvent) -> list[float]:
        return [one["value"]["usd"] for one in told(*events) if one.get("name") == "agentrt.cost"]

    paid = replace(replied("", "pay"), usage=Usage(input_tokens=9, requests=1, usd=0.1))
    inner = returned("c1", usage=Usage(input_tokens=50, usd=0.2))
    summary = Summarised(text="x", covers=1, usage=Usage(input_tokens=4, usd=0.05))
    assert costs(BEGUN, summary, paid, RUNS, inner, RunEnded(outcome="success")) == [0.05, 0.15, 0.35]
    assert costs(*CALLED) == []
    assert costs(*CALLED, RunEnded(outcome="success", usage=Usage(usd=0.4))) == [0.4], "runs of which nothing was told"
    last = told(BEGUN, summary, paid, inner, RunEnded(outcome="success"))[-1]
    assert [one["inputTokens"] for one in last["usage"]] == [13], "runs inside of this one tell their own tokens"


def test_a_read_that_began_while_it_was_written_is_told_in_order() -> None:
    """Its progress comes behind its start, which comes behind the reply; see reads.py."""
    early: list[AnyEvent] = [
        ArgumentsDelta(message_id="r1:m1", call_id="c1", name="pay", text="{}"),
        replied("", "pay"),
        RUNS,
        ToolProgress(call_id="c1", name="pay", data={"done": 1}),
    ]
    stream = told(BEGUN, *early)
    order = [n for n, event in enumerate(stream) if event["type"] in ("TOOL_CALL_END", "ACTIVITY_SNAPSHOT")]
    progress = next(n for n, event in enumerate(stream) if "/progress" in str(event.get("patch")))
    assert max(order) < progress
    assert state(stream, "c1") == "running"
