"""The page's view of a run, under node: it shows what the events tell, whether it saw them all or came late."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentrt.server.log import Log
from tests.page.node import NODE, with_node
from tests.server.client import seen
from tests.server.feeds import Life, lives

pytestmark = with_node

Json = dict[str, Any]
Fold = Callable[[list[Json]], Json]

often = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def fold() -> Iterator[Fold]:
    command = [NODE, str(Path(__file__).with_name("fold.mjs"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as node:
        stdin, stdout = node.stdin, node.stdout
        assert stdin is not None and stdout is not None

        def ask(events: list[Json]) -> Json:
            stdin.write(msgspec.json.encode(events) + b"\n")
            stdin.flush()
            view: Json = msgspec.json.decode(stdout.readline())
            return view

        yield ask
        stdin.close()


def frames(log: Log, after: int) -> list[Json]:
    """The events of all frames behind a cursor."""
    events: list[Json] = []
    while frame := log.frame(after, 1_000):
        text, after = frame
        events += msgspec.json.decode(text)["events"]
    return events


@often
@given(life=lives())
def test_it_shows_what_the_events_tell(fold: Fold, life: Life) -> None:
    log = Log("r1", "t1")
    log.take(life.events)
    stream = frames(log, 0)

    view, wanted = fold(stream), seen(stream)

    assert view["question"] == "\n\n".join(wanted.question)
    shown = {id_: text["text"] for id_, text in view["texts"].items() if text["text"]}
    assert shown == {id_: text for id_, text in wanted.texts.items() if text}
    calls = {id_: (call["name"], call.get("parent"), call["args"]) for id_, call in view["calls"].items()}
    assert calls == wanted.calls
    results = {id_: call["result"] for id_, call in view["calls"].items() if call["result"] is not None}
    assert results == {id_: content for id_, (content, _) in wanted.results.items() if id_ in calls}
    for id_, call in view["calls"].items():
        assert call["at"] == wanted.activities.get(f"tool:{id_}", ("", {}))[1]
    turns = [content for kind, content in wanted.activities.values() if kind == "agentrt.model"]
    assert [turn["at"] for turn in view["turns"].values()] == turns
    assert (view["endedAt"] > 0) == (wanted.end is not None)


@often
@given(life=lives(), cut=st.integers(0, 60))
def test_who_comes_late_sees_the_same(fold: Fold, life: Life, cut: int) -> None:
    early, log = Log("r1", "t1"), Log("r1", "t1")
    early.take(life.events[: cut + 1])
    log.take(life.events)
    snapshot = msgspec.json.decode(early.snapshot())
    seen_before = frames(early, 0)

    late = fold([*seen_before, {"type": "agentrt.reset"}, *snapshot["events"], *frames(log, snapshot["seq"])])

    whole = fold(frames(log, 0))
    assert _told(late) == _told(whole)
    assert list(late["calls"]) == list(whole["calls"])
    assert list(late["turns"]) == list(whole["turns"])


def _told(view: Json) -> Json:
    """Without texts of nothing: that one was begun is told to who was there."""
    texts = {id_: text for id_, text in view["texts"].items() if text["text"]}
    return {**view, "texts": texts}
