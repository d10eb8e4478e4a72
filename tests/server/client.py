"""A viewer of the tests: folds AG-UI events into what is to be seen, and frames as a client of `agentrt.v1` does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, assert_never

import msgspec

Json = dict[str, Any]


@dataclass
class View:
    """What a person would see of one run. Two views are equal if the same is to be seen."""

    question: list[str] = field(default_factory=list[str])
    texts: dict[str, str] = field(default_factory=dict[str, str])
    steered: set[str] = field(default_factory=set[str])  # those of `texts` that were said into the run
    reasoning: dict[str, str] = field(default_factory=dict[str, str])
    calls: dict[str, tuple[str, str, str]] = field(default_factory=dict[str, tuple[str, str, str]])
    results: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    activities: dict[str, tuple[str, Json]] = field(default_factory=dict[str, tuple[str, Json]])
    customs: dict[str, Any] = field(default_factory=dict[str, Any])
    steps: set[str] = field(default_factory=set[str])
    end: Json | None = None

    def see(self, event: Json) -> None:
        getattr(self, f"_{event['type'].lower()}", lambda _: None)(event)

    @property
    def conversation(self) -> tuple[object, ...]:
        """All but how it came about: what the journal's facts alone tell too."""
        end = {key: value for key, value in (self.end or {}).items() if key != "metadata"}
        return self.question, self.texts, self.steered, self.calls, self.results, end

    def _run_started(self, event: Json) -> None:
        self._messages(event["input"]["messages"])

    def _run_finished(self, event: Json) -> None:
        self.end = event

    _run_error = _run_finished

    def _step_started(self, event: Json) -> None:
        self.steps.add(event["stepName"])

    def _step_finished(self, event: Json) -> None:
        self.steps.remove(event["stepName"])

    def _text_message_start(self, event: Json) -> None:
        if event.get("role") == "user":
            assert event["metadata"] == {"agentrt": {"steer": True}}
            self.steered.add(event["messageId"])
        self.texts.setdefault(event["messageId"], "")

    def _text_message_content(self, event: Json) -> None:
        self.texts[event["messageId"]] += event["delta"]

    def _reasoning_message_start(self, event: Json) -> None:
        self.reasoning.setdefault(event["messageId"], "")

    def _reasoning_message_content(self, event: Json) -> None:
        self.reasoning[event["messageId"]] += event["delta"]

    def _tool_call_start(self, event: Json) -> None:
        call_id = event["toolCallId"]
        self.calls.setdefault(call_id, (event["toolCallName"], event["parentMessageId"], ""))

    def _tool_call_args(self, event: Json) -> None:
        name, parent, arguments = self.calls[event["toolCallId"]]
        self.calls[event["toolCallId"]] = (name, parent, arguments + event["delta"])

    def _tool_call_result(self, event: Json) -> None:
        self.results[event["toolCallId"]] = (event["content"], event["metadata"]["agentrt"]["status"])

    def _activity_snapshot(self, event: Json) -> None:
        self.activities[event["messageId"]] = (event["activityType"], dict(event["content"]))

    def _activity_delta(self, event: Json) -> None:
        content = self.activities[event["messageId"]][1]
        for operation in event["patch"]:
            assert operation["op"] in {"add", "replace"}
            assert operation["op"] == "add" or operation["path"][1:] in content
            content[operation["path"][1:]] = operation["value"]

    def _messages_snapshot(self, event: Json) -> None:
        self.question, self.texts, self.reasoning, self.calls, self.results = [], {}, {}, {}, {}
        self.steered = set()
        self._messages(event["messages"])

    def _custom(self, event: Json) -> None:
        if event["name"] in {"agentrt.handoff", "agentrt.context", "agentrt.cost"}:
            self.customs[event["name"]] = event["value"]
        if event["name"] == "agentrt.rewind":
            gone = event["value"]["messageId"]
            self.texts.pop(gone, None)
            self.reasoning = {id_: text for id_, text in self.reasoning.items() if not id_.startswith(f"{gone}:")}
            self.calls = {id_: call for id_, call in self.calls.items() if call[1] != gone}

    def _messages(self, messages: list[Json]) -> None:
        for message in messages:
            match message["role"]:
                case "user" if message.get("metadata") == {"agentrt": {"steer": True}}:
                    self.steered.add(message["id"])
                    self.texts[message["id"]] = message["content"]
                case "user":
                    self.question.append(message["content"])
                case "assistant":
                    if "content" in message:
                        self.texts[message["id"]] = message["content"]
                    for call in message.get("toolCalls", ()):
                        said = call["function"]
                        self.calls[call["id"]] = (said["name"], message["id"], said["arguments"])
                case "reasoning":
                    self.reasoning[message["id"]] = message["content"]
                case "tool":
                    status = message["metadata"]["agentrt"]["status"]
                    self.results[message["toolCallId"]] = (message["content"], status)
                case other:
                    assert_never(other)


def seen(events: list[Json]) -> View:
    view = View()
    for event in events:
        view.see(event)
    return view


@dataclass
class Client:
    """Takes frames as text, and keeps its cursor and, of the last snapshot on, all events."""

    epoch: int = 1
    after: int = 0
    events: list[Json] = field(default_factory=list[Json])
    snapshots: int = 0

    def take(self, text: str) -> None:
        frame = msgspec.json.decode(text)
        if frame["type"] == "snapshot":
            self.epoch, self.events = frame["epoch"], []
            self.snapshots += 1
        else:
            assert frame["type"] == "event"
            assert frame["first"] == self.after + 1, "a frame begins behind the cursor"
            assert frame["seq"] >= frame["first"]
        self.after = frame["seq"]
        self.events += frame["events"]

    @property
    def view(self) -> View:
        return seen(self.events)
