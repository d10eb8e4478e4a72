from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from agentrt.events import (
    AnyEvent,
    ApprovalAsked,
    ArgumentsDelta,
    CancelAsked,
    MessageAdded,
    ModelReplied,
    RunEnded,
    RunRested,
    RunResumed,
    RunStarted,
    Summarised,
    TextDelta,
    ToolProgress,
    ToolStarted,
)
from agentrt.messages import AssistantMessage, ToolCall, Usage, UserMessage
from agentrt.server.log import Log
from tests.server.client import Client, Json
from tests.server.rules import assert_valid

STARTED = RunStarted(run_id="r1", agent="clerk", model="openai:gpt", messages=(UserMessage("Hi"),), ends_at=600.0)
ENDED = RunEnded(outcome="success")


def text(*pieces: str) -> list[AnyEvent]:
    return [TextDelta(message_id="r1:m1", text=piece) for piece in pieces]


def replied(content: str = "", *calls: ToolCall) -> ModelReplied:
    message = AssistantMessage(content=content, tool_calls=calls)
    return ModelReplied(message_id="r1:m1", message=message, finish="stop", usage=Usage(requests=1))


def stamped(*events: AnyEvent, first: int = 1, epoch: int = 1) -> list[AnyEvent]:
    return [replace(event, epoch=epoch, seq=n, at=float(n)) for n, event in enumerate(events, first)]


def logged(*events: AnyEvent, **settings: Any) -> Log:
    log = Log("r1", "t1", **settings)
    log.take(stamped(*events))
    return log


def frames(log: Log, after: int = 0, max_bytes: int = 32_768) -> list[Json]:
    found: list[Json] = []
    while frame := log.frame(after, max_bytes):
        sent, after = frame
        found.append(msgspec.json.decode(sent))
    return found


def told(log: Log, after: int = 0) -> list[str]:
    """What is told behind the cursor, activities aside."""
    return [
        event["type"] + (f" {event['delta']}" if "delta" in event else "")
        for frame in frames(log, after)
        for event in frame["events"]
        if not event["type"].startswith("ACTIVITY")
    ]


def test_a_frame_covers_all_numbers_behind_the_cursor() -> None:
    log = logged(STARTED, CancelAsked(reason="user"), *text("a"))

    (frame,) = frames(log)
    assert (frame["type"], frame["run_id"], frame["first"], frame["seq"]) == ("event", "r1", 1, 3)
    (frame,) = frames(log, after=1)
    assert (frame["first"], frame["seq"]) == (2, 3)
    assert log.frame(3) is None
    assert (log.epoch, log.head, log.ended) == (1, 3, False)


def test_what_tells_viewers_nothing_moves_their_cursor_all_the_same() -> None:
    log = logged(STARTED, CancelAsked(reason="user"))
    (frame,) = frames(log, after=1)
    assert (frame["first"], frame["seq"], frame["events"]) == (2, 2, [])


def test_a_closed_message_is_replayed_in_one_piece() -> None:
    words = [f"{n} " for n in range(100)]
    log = logged(STARTED, *text(*words), replied("".join(words)), ENDED)

    assert told(log) == [
        "RUN_STARTED",
        "STEP_STARTED",
        "TEXT_MESSAGE_START",
        f"TEXT_MESSAGE_CONTENT {''.join(words)}",
        "TEXT_MESSAGE_END",
        "STEP_FINISHED",
        "RUN_FINISHED",
    ]
    assert log.ended
    assert told(log, after=99) == ["TEXT_MESSAGE_CONTENT 98 99 ", *told(log)[-3:]]


def test_pieces_of_calls_that_interleave_are_joined_by_call() -> None:
    pieces = [
        ArgumentsDelta(message_id="r1:m1", call_id=call, name="count", text=text)
        for call, text in [("c1", "a"), ("c2", "x"), ("c1", "b"), ("c2", "y"), ("c1", "c")]
    ]
    assert told(logged(STARTED, *pieces))[2:] == [
        "TOOL_CALL_START", "TOOL_CALL_ARGS abc", "TOOL_CALL_START", "TOOL_CALL_ARGS xy",
    ]  # fmt: skip


def test_text_is_not_joined_across_a_call_of_its_message() -> None:
    call = ArgumentsDelta(message_id="r1:m1", call_id="c1", name="count", text="")
    assert told(logged(STARTED, *text("a", "b"), call, *text("c", "d")))[3:] == [
        "TEXT_MESSAGE_CONTENT ab", "TOOL_CALL_START", "TEXT_MESSAGE_CONTENT cd",
    ]  # fmt: skip


def test_an_activitys_changes_become_one() -> None:
    started = ToolStarted(call_id="c1", name="count", arguments="{}", idempotency_key="k")
    progress = [ToolProgress(call_id="c1", name="count", data=n) for n in range(50)]
    log = logged(STARTED, replied("", ToolCall("c1", "count")), started, *progress)

    (frame,) = frames(log, after=2)
    assert frame["events"] == [
        {
            "type": "ACTIVITY_DELTA",
            "messageId": "tool:c1",
            "activityType": "agentrt.tool",
            "patch": [
                {"op": "add", "path": "/state", "value": "running"},
                {"op": "add", "path": "/startedAt", "value": 3_000},
                {"op": "add", "path": "/progress", "value": 49},
            ],
        }
    ]
    (frame,) = frames(log, after=1)
    assert [event["type"] for event in frame["events"]].count("ACTIVITY_DELTA") == 1, "that of the model's turn"
    shown = frame["events"][-1]
    assert (shown["type"], shown["content"]["progress"]) == ("ACTIVITY_SNAPSHOT", 49)


def test_of_two_snapshots_of_an_activity_the_last_is_told() -> None:
    cited = [ToolProgress(call_id="c1", name="count", data={"sources": [{"id": id_}]}) for id_ in ("d1", "d2")]
    log = logged(STARTED, replied("", ToolCall("c1", "count")), *cited)

    (frame,) = frames(log, after=2)
    assert [event["content"]["sources"] for event in frame["events"]] == [[{"id": "d2"}]]


@pytest.mark.parametrize("max_bytes", [1_200, 5_000])
def test_a_frame_is_as_full_as_it_may_be_and_no_fuller(max_bytes: int) -> None:
    log = logged(STARTED, *text(*(['"ü\n€" '] * 500)), replied('"ü\n€" ' * 500), ENDED)
    sizes = [len(msgspec.json.encode(frame)) for frame in frames(log, max_bytes=max_bytes)]

    assert len(sizes) > 1
    assert max(sizes[:-2]) <= max_bytes
    assert min(sizes[1:-2], default=max_bytes) > max_bytes - 100


def test_an_event_that_is_larger_than_a_frame_goes_alone() -> None:
    log = logged(STARTED, *text("a", "x" * 10_000, "b"))
    assert [(frame["first"], frame["seq"]) for frame in frames(log, max_bytes=1_000)] == [(1, 2), (3, 3), (4, 4)]


def test_viewers_at_one_cursor_are_sent_the_very_same_text() -> None:
    log = logged(STARTED, *text("a", "b"))
    first, second = log.frame(0), log.frame(0)
    assert first is not None and second is not None
    assert first[0] is second[0]
    assert log.snapshot() is log.snapshot()

    log.take(stamped(*text("c"), first=4))
    third = log.frame(0)
    assert third is not None and third[1] == 4
    assert msgspec.json.decode(log.snapshot())["seq"] == 4


def test_only_a_few_frames_are_kept() -> None:
    log = logged(STARTED, *text(*"abcdefgh" * 10))
    sent = [log.frame(after) for after in range(80)]
    assert sum(log.frame(after) is frame for after, frame in reversed(list(enumerate(sent)))) == 16


def test_a_cursor_is_continued_if_its_viewer_saw_what_this_log_holds() -> None:
    log = logged(STARTED, *text("a", "b"))

    assert all(log.replayable(1, after) for after in range(4))
    assert log.replayable(0, 0)
    assert not log.replayable(1, 4), "beyond the head"
    assert not log.replayable(2, 1), "another epoch"
    assert not log.replayable(1, -1)
    assert log.replayable(0, 2), "a client that was told of the run before it had begun knows no epoch"


def test_a_resumed_runs_log_continues_the_new_epoch_and_the_beginning() -> None:
    log = Log("r1", "t1")
    log.take(stamped(STARTED))
    log.take(stamped(replied("", ToolCall("c1", "count")), first=40))
    log.take(stamped(RunResumed(), *text("a"), first=41, epoch=2))

    assert log.replayable(0, 0)
    assert log.replayable(2, 1), "it was shown this number by a log of this epoch, and that held what this one holds"
    assert log.replayable(2, 42)
    assert not log.replayable(1, 1)
    assert not log.replayable(1, 41)
    assert not log.replayable(0, 42)
    client = Client(epoch=0)
    for frame in frames(log):
        client.take(msgspec.json.encode(frame).decode())
    assert_valid(client.events)
    assert client.after == 42


def test_a_log_of_facts_continues_no_cursor_behind_the_first_event_it_lacks() -> None:
    """Who saw pieces of a message would be told the whole of it once more."""
    log = Log("r1", "t1")
    log.take([*stamped(STARTED), *stamped(replied("ab"), ENDED, first=9)])

    assert [after for after in range(11) if log.replayable(1, after)] == [0, 1]


def test_a_snapshot_begins_anew_what_is_open() -> None:
    call = ArgumentsDelta(message_id="r1:m1", call_id="c1", name="count", text='{"of"')
    log = logged(STARTED, *text("a", "b"), call)
    snapshot = msgspec.json.decode(log.snapshot())

    assert (snapshot["type"], snapshot["run_id"], snapshot["epoch"], snapshot["seq"]) == ("snapshot", "r1", 1, 4)
    assert_valid(snapshot["events"])
    assert [event["type"] for event in snapshot["events"]] == [
        "RUN_STARTED",
        "STEP_STARTED",
        "MESSAGES_SNAPSHOT",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TOOL_CALL_START",
        "TOOL_CALL_ARGS",
        "ACTIVITY_SNAPSHOT",
    ]
    assert snapshot["events"][4]["delta"] == "ab"
    assert snapshot["events"][2]["messages"] == [{"role": "user", "id": "r1:u1", "content": "Hi"}]


def test_a_log_that_nothing_has_happened_in_is_empty() -> None:
    log = Log("r1", "t1")
    assert (log.epoch, log.head, log.ended) == (0, 0, False)
    assert log.frame(0) is None
    assert log.replayable(0, 0)
    assert msgspec.json.decode(log.snapshot()) == {
        "type": "snapshot", "run_id": "r1", "epoch": 0, "seq": 0, "events": [],
    }  # fmt: skip


def test_the_oldest_go_first_and_their_viewers_get_a_snapshot() -> None:
    pieces = text(*(["word "] * 1_000))
    log = logged(STARTED, *pieces, max_bytes=20_000)

    kept = [after for after in range(1_002) if log.replayable(1, after)]
    assert kept == list(range(kept[0], 1_002)), "the newest"
    assert 0 < (1_001 - kept[0]) * len('{"type":"TEXT_MESSAGE_CONTENT","messageId":"r1:m1","delta":"word "}') <= 20_000
    assert not log.replayable(0, 0)

    slow = Client(after=3)
    frame = log.frame(slow.after)
    assert frame == (log.snapshot(), 1_001)
    log.take(stamped(replied("word " * 1_000), ENDED, first=1_002))
    for sent in (frame[0], *(msgspec.json.encode(one).decode() for one in frames(log, 1_001))):
        slow.take(sent)
    assert_valid(slow.events)
    assert slow.view.texts == {"r1:m1": "word " * 1_000}


def test_a_run_that_rests_has_no_end() -> None:
    log = logged(STARTED, replied("", ToolCall("c1", "pay")), ApprovalAsked(call_id="c1", name="pay", arguments="{}"))
    assert not log.rests
    log.take(stamped(RunRested(call_ids=("c1",)), first=4))
    assert (log.rests, log.ended) == (True, False)
    assert told(log)[-1] == "RUN_FINISHED"


def test_a_snapshot_holds_what_was_said_and_the_last_of_what_is_ours() -> None:
    said = UserMessage("And B?")
    costs = [Summarised(text="x", covers=n, usage=Usage(usd=0.5)) for n in (1, 2)]
    log = logged(STARTED, *costs, MessageAdded(message=said), RunResumed(), *text("a"))
    events = msgspec.json.decode(log.snapshot())["events"]
    assert_valid(events)
    messages = next(event["messages"] for event in events if event["type"] == "MESSAGES_SNAPSHOT")
    assert messages[1] == {
        "role": "user", "id": "r1:s1", "content": "And B?", "metadata": {"agentrt": {"steer": True}},
    }  # fmt: skip
    assert [(event["name"], event["value"]) for event in events if event["type"] == "CUSTOM"] == [
        ("agentrt.context", {"covers": 2}),
        ("agentrt.cost", {"usd": 1.0}),
    ]
