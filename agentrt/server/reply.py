"""One reply of the model as far as it is on the wire. Pure.

Text, reasoning and the calls' arguments arrive in pieces and interleaved, or, where only the journal's facts are
left, not at all before the whole message. Either way the wire gets the same: everything is opened before it has
content, holds what the message holds, and is closed.
"""

from __future__ import annotations

from collections.abc import Iterator

from agentrt.messages import AssistantMessage
from agentrt.server import agui_events as ui


class Reply:
    """`id` is the message's id on the wire. Its spans of reasoning are messages `<id>:r1`, `<id>:r2` and so on."""

    def __init__(self, message_id: str, wire_id: str) -> None:
        self.message_id = message_id
        self.id = wire_id
        self._text: int | None = None  # characters shown; None before the first
        self._calls: dict[str, int] = {}  # characters of arguments shown, of the calls that are open
        self._reasoning = ""  # the open span
        self._spans = 0

    def text(self, delta: str) -> Iterator[ui.AguiEvent]:
        """A piece of the text."""
        if not delta:
            return
        if self._reasoning:
            yield from self._end_reasoning()
        if self._text is None:
            self._text = 0
            yield ui.TextMessageStart(message_id=self.id)
        self._text += len(delta)
        yield ui.TextMessageContent(message_id=self.id, delta=delta)

    def reasoning(self, delta: str) -> Iterator[ui.AguiEvent]:
        """A piece of the reasoning; behind text or a call it opens another span."""
        if not delta:
            return
        if not self._reasoning:
            self._spans += 1
            self._reasoning = f"{self.id}:r{self._spans}"
            yield ui.ReasoningStart(message_id=self._reasoning)
            yield ui.ReasoningMessageStart(message_id=self._reasoning, role="reasoning")
        yield ui.ReasoningMessageContent(message_id=self._reasoning, delta=delta)

    def arguments(self, call_id: str, name: str, delta: str) -> Iterator[ui.AguiEvent]:
        """A piece of a call's arguments. The first, which may be empty, opens the call."""
        if self._reasoning:
            yield from self._end_reasoning()
        if call_id not in self._calls:
            self._calls[call_id] = 0
            yield ui.ToolCallStart(tool_call_id=call_id, tool_call_name=name, parent_message_id=self.id)
        if delta:
            self._calls[call_id] += len(delta)
            yield ui.ToolCallArgs(tool_call_id=call_id, delta=delta)

    def complete(self, message: AssistantMessage) -> Iterator[ui.AguiEvent]:
        """What of the message has not been shown, and the end of all that is open.

        A call that was shown and is not in the message was cut off and will never run: it gets a result that says
        so, for a call without one makes a conversation that nobody can carry on.
        """
        yield from self.text(message.content[self._text or 0 :])
        for call in message.tool_calls:
            yield from self.arguments(call.id, call.name, call.arguments[self._calls.get(call.id, 0) :])
        void = self._calls.keys() - {call.id for call in message.tool_calls}
        cut_off = [call_id for call_id in self._calls if call_id in void]
        yield from self.close()
        for call_id in cut_off:
            metadata = {"agentrt": {"status": "cancelled", "code": "cancelled"}}
            content = "The call was never run: it was stopped while it was being written."
            yield ui.ToolCallResult(
                message_id=result_id(call_id), tool_call_id=call_id, content=content, metadata=metadata
            )

    def close(self) -> Iterator[ui.AguiEvent]:
        """The end of all that is open, and of this reply."""
        if self._reasoning:
            yield from self._end_reasoning()
        if self._text is not None:
            yield ui.TextMessageEnd(message_id=self.id)
        for call_id in self._calls:
            yield ui.ToolCallEnd(tool_call_id=call_id)

    def _end_reasoning(self) -> Iterator[ui.AguiEvent]:
        span, self._reasoning = self._reasoning, ""
        yield ui.ReasoningMessageEnd(message_id=span)
        yield ui.ReasoningEnd(message_id=span)


def result_id(call_id: str) -> str:
    """The id of the message that holds a call's result."""
    return f"{call_id}:result"
