"""Events joined for one frame: what arrived in pieces leaves in one piece. Pure.

Deltas of one message or call become one where nothing between them refers to it, and so do the changes of one
activity. Who folds the joined events sees what who folds them one by one sees, and the order stays a valid one: a
delta only moves back to the one before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from agentrt.server import agui_events as ui

_Key = tuple[Literal["message", "call"], str]

Delta = ui.TextMessageContent | ui.ReasoningMessageContent | ui.ToolCallArgs
Activity = ui.ActivitySnapshot | ui.ActivityDelta

_encode = msgspec.json.Encoder().encode


class Other(msgspec.Struct, frozen=True):
    """An event that is never joined, encoded; `about` are the messages and calls that it refers to."""

    raw: msgspec.Raw
    about: tuple[_Key, ...]


Item = Delta | Activity | Other


def as_item(event: ui.AguiEvent) -> Item:
    """The event, ready to be joined."""
    if isinstance(event, Delta | Activity):
        return event
    return Other(msgspec.Raw(_encode(event)), tuple(_about(event)))


def _about(event: ui.AguiEvent) -> Iterator[_Key]:
    match event:
        case ui.ToolCallStart():
            yield "call", event.tool_call_id
            yield "message", event.parent_message_id
        case ui.ToolCallEnd() | ui.ToolCallResult():
            yield "call", event.tool_call_id
        case ui.TextMessageStart() | ui.TextMessageEnd() | ui.ReasoningMessageStart() | ui.ReasoningMessageEnd():
            yield "message", event.message_id
        case _:
            pass  # of a message that is forgotten, the end comes before


class Joined:
    """The events of one frame so far."""

    def __init__(self) -> None:
        self._slots: list[_Pieces | _Change | msgspec.Raw] = []
        self._pieces: dict[_Key, _Pieces] = {}
        self._changes: dict[str, _Change] = {}

    def add(self, item: Item) -> None:
        """One more event."""
        if isinstance(item, Other):
            for key in item.about:
                self._pieces.pop(key, None)
            self._slots.append(item.raw)
        elif isinstance(item, Delta):
            key = _key(item)
            if (pieces := self._pieces.get(key)) is None:
                pieces = self._pieces[key] = _Pieces(item, [])
                self._slots.append(pieces)
            pieces.texts.append(item.delta)
        else:
            self._change(item)

    def joins(self, items: tuple[Item, ...]) -> bool:
        """Whether they are one delta that would become part of what is there."""
        item = items[0]
        return len(items) == 1 and isinstance(item, Delta) and _key(item) in self._pieces

    def events(self) -> tuple[msgspec.Raw, ...]:
        """All of them, encoded."""
        return tuple(
            slot if isinstance(slot, msgspec.Raw) else msgspec.Raw(_encode(slot.event())) for slot in self._slots
        )

    def _change(self, item: Activity) -> None:
        change = self._changes.get(item.message_id)
        if change is None:
            change = self._changes[item.message_id] = _Change(item, {})
            self._slots.append(change)
        if isinstance(item, ui.ActivitySnapshot):
            change.kind, change.values = item, dict(item.content)
        else:
            change.values.update((operation.path[1:], operation.value) for operation in item.patch)


class _Pieces(msgspec.Struct):
    first: Delta
    texts: list[str]

    def event(self) -> ui.AguiEvent:
        delta = "".join(self.texts)
        if isinstance(self.first, ui.ToolCallArgs):
            return ui.ToolCallArgs(tool_call_id=self.first.tool_call_id, delta=delta)
        return type(self.first)(message_id=self.first.message_id, delta=delta)


class _Change(msgspec.Struct):
    """An activity's last snapshot and the changes behind it, or changes alone, which stay changes."""

    kind: Activity
    values: dict[str, Any]

    def event(self) -> ui.AguiEvent:
        id_, kind = self.kind.message_id, self.kind.activity_type
        if isinstance(self.kind, ui.ActivitySnapshot):
            return ui.ActivitySnapshot(message_id=id_, activity_type=kind, content=self.values)
        patch = tuple(ui.Add(f"/{name}", value) for name, value in self.values.items())
        return ui.ActivityDelta(message_id=id_, activity_type=kind, patch=patch)


def _key(delta: Delta) -> _Key:
    if isinstance(delta, ui.ToolCallArgs):
        return "call", delta.tool_call_id
    return "message", delta.message_id
