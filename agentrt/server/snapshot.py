"""What a run looks like now: the fold of its AG-UI events, to be told anew to who comes late. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from agentrt.server import agui_events as ui


class _Call(msgspec.Struct):
    name: str
    parts: list[str] = []
    open: bool = True


class _Said(msgspec.Struct):
    """A message of the model, a span of its reasoning, or what was said into the run.

    `begin` is what opened it; `parts` is None where no text was begun.
    """

    begin: ui.TextMessageStart | ui.ReasoningMessageStart | ui.ToolCallStart
    parts: list[str] | None = None
    open: bool = False
    calls: dict[str, _Call] = {}

    @property
    def reasoning(self) -> bool:
        return isinstance(self.begin, ui.ReasoningMessageStart)

    @property
    def text(self) -> str | None:
        return None if self.parts is None else "".join(self.parts)


class View:
    """Sees every event of one run, in order; `events` tells what is to be seen of them."""

    def __init__(self) -> None:
        self._begin: ui.RunStarted | None = None
        self._steps: dict[str, ui.StepStarted] = {}
        self._messages: dict[str, _Said | ui.UserMessage | ui.ToolMessage] = {}
        self._said: dict[str, _Said] = {}  # those of `_messages` that the model said
        self._calls: dict[str, _Call] = {}
        self._activities: dict[str, tuple[str, dict[str, Any]]] = {}
        self._customs: dict[str, ui.Custom] = {}  # the last of each name
        self._end: ui.RunFinished | ui.RunError | None = None

    def see(self, event: ui.AguiEvent) -> None:
        """Take one event in."""
        match event:
            case ui.TextMessageContent() | ui.ReasoningMessageContent():
                parts = self._said[event.message_id].parts
                assert parts is not None
                parts.append(event.delta)
            case ui.ToolCallArgs():
                self._calls[event.tool_call_id].parts.append(event.delta)
            case ui.ActivityDelta():
                content = self._activities[event.message_id][1]
                content.update((change.path[1:], change.value) for change in event.patch)
            case ui.ActivitySnapshot():
                self._activities[event.message_id] = (event.activity_type, dict(event.content))
            case ui.TextMessageStart() | ui.ReasoningMessageStart() | ui.ToolCallStart():
                self._open(event)
            case ui.TextMessageEnd() | ui.ReasoningMessageEnd():
                self._said[event.message_id].open = False
            case ui.ToolCallEnd():
                self._calls[event.tool_call_id].open = False
            case _:
                self._note(event)

    def events(self) -> tuple[ui.AguiEvent, ...]:
        """A valid stream of its own, which shows the same and can be followed by what comes next."""
        if self._begin is None:
            return ()
        messages = (_message(id_, said) for id_, said in self._messages.items() if _finished(said))
        return (
            self._begin,
            *self._steps.values(),
            ui.MessagesSnapshot(messages=tuple(messages)),
            *(event for id_, said in self._said.items() if not _finished(said) for event in _reopened(id_, said)),
            *(
                ui.ActivitySnapshot(message_id=id_, activity_type=kind, content=dict(content))
                for id_, (kind, content) in self._activities.items()
            ),
            *self._customs.values(),
            *((self._end,) if self._end else ()),
        )

    def _open(self, event: ui.TextMessageStart | ui.ReasoningMessageStart | ui.ToolCallStart) -> None:
        id_ = event.parent_message_id if isinstance(event, ui.ToolCallStart) else event.message_id
        if id_ not in self._said:
            self._said[id_] = self._messages[id_] = _Said(event)
        said = self._said[id_]
        if isinstance(event, ui.ToolCallStart):
            said.calls[event.tool_call_id] = self._calls[event.tool_call_id] = _Call(event.tool_call_name)
        else:
            said.parts, said.open = [], True

    def _note(self, event: ui.AguiEvent) -> None:
        match event:
            case ui.RunStarted():
                self._begin = event
                self._messages.update((message.id, message) for message in event.input.messages)
            case ui.RunFinished() | ui.RunError():
                self._end = event
            case ui.StepStarted():
                self._steps[event.step_name] = event
            case ui.StepFinished():
                del self._steps[event.step_name]
            case ui.ToolCallResult():
                self._messages[event.message_id] = ui.ToolMessage(
                    id=event.message_id,
                    tool_call_id=event.tool_call_id,
                    content=event.content,
                    metadata=event.metadata,
                )
            case ui.Custom(name="agentrt.rewind"):
                self._forget(event.value["messageId"])
            case ui.Custom() if event.name != "agentrt.resumed":
                self._customs[event.name] = event
            case _:
                pass

    def _forget(self, message_id: str) -> None:
        for id_ in [id_ for id_ in self._said if id_ == message_id or id_.startswith(f"{message_id}:")]:
            del self._said[id_], self._messages[id_]


def _finished(said: _Said | ui.UserMessage | ui.ToolMessage) -> bool:
    return not isinstance(said, _Said) or not (said.open or any(call.open for call in said.calls.values()))


def _message(id_: str, said: _Said | ui.UserMessage | ui.ToolMessage) -> ui.Message:
    if not isinstance(said, _Said):
        return said
    if said.reasoning:
        return ui.ReasoningMessage(id_, said.text or "")
    if isinstance(said.begin, ui.TextMessageStart) and said.begin.role == "user":
        return ui.UserMessage(id_, said.text or "", said.begin.metadata)
    calls = (ui.ToolCall(call_id, ui.Function(call.name, "".join(call.parts))) for call_id, call in said.calls.items())
    return ui.AssistantMessage(id=id_, content=said.text, tool_calls=tuple(calls))


def _reopened(id_: str, said: _Said) -> Iterator[ui.AguiEvent]:
    """An unfinished message, begun anew with all that it has so far."""
    if said.reasoning:
        yield ui.ReasoningStart(message_id=id_)
        yield ui.ReasoningMessageStart(message_id=id_, role="reasoning")
        yield ui.ReasoningMessageContent(message_id=id_, delta=said.text or "")
        return
    if said.text is not None:
        yield ui.TextMessageStart(message_id=id_)
        yield ui.TextMessageContent(message_id=id_, delta=said.text)
        if not said.open:
            yield ui.TextMessageEnd(message_id=id_)
    for call_id, call in said.calls.items():
        yield ui.ToolCallStart(tool_call_id=call_id, tool_call_name=call.name, parent_message_id=id_)
        if call.parts:
            yield ui.ToolCallArgs(tool_call_id=call_id, delta="".join(call.parts))
        if not call.open:
            yield ui.ToolCallEnd(tool_call_id=call_id)
