"""What a stream of AG-UI events has to be: each event as the schema has it, and in an order clients can follow.

The order is that of the reference client's `verifyEvents`, version 1.0, and one rule more: nothing is told of a
message, call or activity that was not begun.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from ag_ui.core import Event
from pydantic import BaseModel, TypeAdapter

Json = dict[str, Any]

_EVENT: TypeAdapter[BaseModel] = TypeAdapter(Event)

_BRACKETS = {
    "TEXT_MESSAGE": ("messageId", "START", "END"),
    "REASONING": ("messageId", "START", "END"),
    "REASONING_MESSAGE": ("messageId", "START", "END"),
    "TOOL_CALL": ("toolCallId", "START", "END"),
    "STEP": ("stepName", "STARTED", "FINISHED"),
}
_INSIDE = {
    "TEXT_MESSAGE_CONTENT": "TEXT_MESSAGE",
    "REASONING_MESSAGE_CONTENT": "REASONING_MESSAGE",
    "TOOL_CALL_ARGS": "TOOL_CALL",
}


def assert_schema(events: list[Json]) -> None:
    """Each is an event of AG-UI, and has no field that AG-UI does not know."""
    for event in events:
        assert_known(_EVENT.validate_python(event))


def assert_known(model: BaseModel) -> None:
    assert not model.model_extra, f"{type(model).__name__} has no {model.model_extra}"
    for _, value in model:
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, BaseModel):
                assert_known(part)


def assert_order(events: list[Json]) -> None:
    """A client can follow: all is opened before it is used, closed before the end, and nothing comes after that."""
    open_: defaultdict[str, set[str]] = defaultdict(set)
    activities: set[str] = set()
    ended = False
    for n, event in enumerate(events):
        kind = event["type"]
        assert not ended, f"{kind} after the end"
        assert (n == 0) == (kind == "RUN_STARTED"), f"{kind} is number {n}"
        for family, (name, begin, end) in _BRACKETS.items():
            if kind == f"{family}_{begin}":
                assert event[name] not in open_[family], f"{kind} {event[name]}: it is open"
                open_[family].add(event[name])
            elif kind == f"{family}_{end}":
                assert event[name] in open_[family], f"{kind} {event[name]}: it is not open"
                open_[family].remove(event[name])
        if kind in _INSIDE:
            assert event[_BRACKETS[_INSIDE[kind]][0]] in open_[_INSIDE[kind]], f"{kind}: it is not open"
            assert event["delta"], "an empty delta says nothing"
        if kind == "ACTIVITY_SNAPSHOT":
            activities.add(event["messageId"])
        elif kind == "ACTIVITY_DELTA":
            assert event["messageId"] in activities, f"{event['messageId']} was not begun"
        elif kind in {"RUN_FINISHED", "RUN_ERROR"}:
            ended = True
            still = {family: ids for family, ids in open_.items() if ids}
            assert not still, f"{kind} while open: {still}"


def assert_valid(events: list[Json]) -> None:
    """All of the above."""
    assert_schema(events)
    assert_order(events)
