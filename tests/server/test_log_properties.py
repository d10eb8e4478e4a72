"""However a feed is cut, joined and taken up again, its viewers see what those of the uncut stream see."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentrt.events import AnyEvent, ApprovalGiven, MessageAdded, ModelReplied, RunEnded, RunRested, ToolReturned
from agentrt.server.agui import Mapper
from agentrt.server.log import Log
from tests.server.client import Client, View, seen
from tests.server.feeds import RUN, Life, facts, lives
from tests.server.rules import assert_order, assert_schema, assert_valid

Json = dict[str, Any]

LIMITS = st.sampled_from([1, 300, 1_000, 32_768])

often = settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])


def mapped(events: list[AnyEvent]) -> list[Json]:
    mapper = Mapper("r1", "t1")
    told = [one for event in events for one in mapper.map(event)]
    decoded: list[Json] = msgspec.json.decode(msgspec.json.encode(told))
    return decoded


def logged(events: list[AnyEvent], **settings: int) -> Log:
    log = Log("r1", "t1", **settings)
    log.take(events)
    return log


def read(log: Log, client: Client, max_bytes: int = 32_768) -> None:
    """All there is, frame by frame."""
    while frame := log.frame(client.after, max_bytes):
        text, after = frame
        client.take(text)
        assert client.after == after


def attach(log: Log, client: Client) -> None:
    """Come back to a run, as `run.attach` does."""
    if not log.replayable(client.epoch if client.after else 0, client.after):
        client.take(log.snapshot())
    read(log, client)


@often
@given(lives(steers=True))
def test_a_stream_is_valid_wherever_the_run_is_cut_and_shows_what_the_feed_tells(life: Life) -> None:
    stream = mapped(life.events)
    view = seen(stream)

    assert_valid(stream)
    assert "alice" not in str(stream) and "secret" not in str(stream)
    for event in life.events:
        if isinstance(event, ModelReplied):
            message, id_ = event.message, f"r1:{event.message_id.removeprefix(f'{RUN}:')}"
            assert view.texts.get(id_, "") == message.content
            for call in message.tool_calls:
                assert view.calls[call.id] == (call.name, id_, call.arguments)
        elif isinstance(event, ToolReturned):
            assert view.results[event.call_id] == (event.content, event.status)
            assert view.activities[f"tool:{event.call_id}"][1]["state"] == event.status
        elif isinstance(event, ApprovalGiven):
            state = "approved" if event.approved else "denied"
            assert view.activities[f"approval:{event.call_id}"][1]["state"] == state
        elif isinstance(event, RunRested):
            assert view.end is not None and view.end["outcome"]["type"] == "interrupt"
            waiting = [one["toolCallId"] for one in view.end["outcome"]["interrupts"]]
            assert waiting == list(event.call_ids)
            states = {view.activities[f"tool:{call_id}"][1]["state"] for call_id in waiting}
            assert states <= {"waiting", "client"}
        elif isinstance(event, RunEnded):
            assert view.end is not None
            assert view.calls.keys() == view.results.keys()
            still = {"queued", "rate_limited", "running", "retrying", "waiting", "client", "stopping", "pending"}
            assert not still & {content.get("state") for _, content in view.activities.values()}
    said = [event.message.content for event in life.events if isinstance(event, MessageAdded)]
    assert [text for id_, text in view.texts.items() if id_ in view.steered] == said
    assert round(view.customs.get("agentrt.cost", {"usd": 0})["usd"], 6) == round(life.state.usage.usd, 6)


@often
@given(lives(steers=True))
def test_facts_alone_make_a_valid_stream_of_the_same_conversation(life: Life) -> None:
    if not life.rests and not isinstance(life.events[-1], RunEnded):
        life.stop("cancelled")
    rest = life.events[-1:] if life.rests else []
    whole, redrawn = seen(mapped(life.events)), mapped([*facts(life.events), *rest])

    assert_valid(redrawn)
    void = whole.calls.keys() - seen(redrawn).calls.keys()  # cut off before the model had finished them
    for call_id in void:
        del whole.calls[call_id], whole.results[call_id]
    assert seen(redrawn).conversation == whole.conversation


@often
@given(lives(steers=True), st.data())
def test_frames_cut_anywhere_show_the_uncut_stream(life: Life, data: st.DataObject) -> None:
    log, client, given = Log("r1", "t1"), Client(), list(life.events)
    while given:
        n = data.draw(st.integers(1, len(given)))
        log.take(given[:n])
        del given[:n]
        if frame := log.frame(client.after, data.draw(LIMITS)):
            client.take(frame[0])
            assert client.after == frame[1]
    read(log, client, data.draw(LIMITS))

    assert_valid(client.events)
    assert client.after == log.head == life.events[-1].seq
    assert client.view == seen(mapped(life.events))


@often
@given(lives(steers=True), st.data())
def test_a_snapshot_anywhere_and_what_follows_show_the_uncut_stream(life: Life, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(life.events)))
    log, client = logged(life.events[:cut]), Client(epoch=99, after=5)

    client.take(log.snapshot())
    assert_valid(client.events)
    assert client.view == seen(mapped(life.events[:cut]))
    assert log.frame(client.after) is None

    log.take(life.events[cut:])
    read(log, client, data.draw(LIMITS))
    assert_valid(client.events)
    assert client.view == seen(mapped(life.events))
    assert (client.epoch, client.snapshots) == (life.events[cut - 1].epoch, 1)


@often
@given(lives(dies=False, steers=True), st.data())
def test_a_viewer_who_comes_back_to_a_log_without_passing_events_sees_a_whole_run(
    life: Life, data: st.DataObject
) -> None:
    """The log it knew is gone: the process died and another carries on, or the run is read back from the journal."""
    log, client = logged(life.events), Client(epoch=data.draw(st.sampled_from([0, 1])))
    while data.draw(st.booleans()) and (frame := log.frame(client.after, data.draw(LIMITS))):
        client.take(frame[0])
    if isinstance(life.events[-1], RunEnded):
        life.events[:] = facts(life.events)
    else:
        life.die()
        life.until = len(life.events) + data.draw(st.integers(0, 60))
        life.live()

    attach(logged(life.events), client)

    assert_schema(client.events)
    assert_order(client.events)
    if isinstance(life.events[-1], RunEnded):
        assert client.view.conversation == seen(mapped(life.events)).conversation


@often
@given(lives(steers=True), st.data(), st.integers(1, 5_000))
def test_a_log_that_forgets_gives_slow_viewers_a_snapshot(life: Life, data: st.DataObject, max_bytes: int) -> None:
    log, client, given = Log("r1", "t1", max_bytes=max_bytes), Client(), list(life.events)
    while given:
        n = data.draw(st.integers(1, len(given)))
        log.take(given[:n])
        del given[:n]
        if data.draw(st.booleans()) and (frame := log.frame(client.after)):
            client.take(frame[0])
    read(log, client)

    assert_valid(client.events)
    assert client.view == seen(mapped(life.events))


def test_the_lives_are_of_every_kind() -> None:
    """So that the properties above are about something."""
    found: set[str] = set()

    @settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
    @given(lives(steers=True))
    def look(life: Life) -> None:
        found.update(type(event).__name__ for event in life.events)
        last = life.events[-1]
        found.add(last.outcome if isinstance(last, RunEnded) else "resting" if life.rests else "going on")

    look()
    assert found >= {kind.__name__ for kind in AnyEvent.__args__}
    assert found >= {"success", "failed", "cancelled", "deadline", "budget", "resting", "going on"}


def test_views_differ_where_something_else_is_to_be_seen() -> None:
    assert seen([{"type": "CUSTOM", "name": "other", "value": None}]) == View()
    assert seen([{"type": "TEXT_MESSAGE_START", "messageId": "m"}]) != View()
