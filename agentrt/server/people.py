"""People in a run, as they are told of: approvals, calls that the client runs, what is said into it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from agentrt.events import ApprovalAsked, ApprovalGiven, ClientAsked, MessageAdded
from agentrt.server import agui_events as ui
from agentrt.server.activities import APPROVAL, changed, shown

Events = Iterator[ui.AguiEvent]


class People:
    """Those of one run.

    Attributes:
        waiting: The calls that wait for somebody, and the state of their activities: "waiting" for an approval,
            "client" for a result.
    """

    def __init__(self, run_id: str) -> None:
        self.waiting: dict[str, Literal["waiting", "client"]] = {}
        self._run_id = run_id
        self._said = 0

    def asked(self, event: ApprovalAsked) -> Events:
        """Somebody is to approve of a call."""
        self.waiting[event.call_id] = "waiting"
        yield shown(
            APPROVAL,
            event.call_id,
            approvalId=event.call_id,
            toolCallId=event.call_id,
            tool=event.name,
            args=_read(event.arguments),
            state="pending",
        )

    def handed_out(self, event: ClientAsked) -> None:
        """The client is to run a call."""
        self.waiting[event.call_id] = "client"

    def decided(self, event: ApprovalGiven) -> Events:
        """Somebody approved of a call that waited for it, or did not."""
        del self.waiting[event.call_id]
        state = "approved" if event.approved else "denied"
        yield changed(APPROVAL, event.call_id, state=state, by=event.by, note=event.reason)

    def settled(self, call_id: str) -> Events:
        """A call waits no more, whatever became of it: an approval that nobody gave is closed."""
        if self.waiting.pop(call_id, None) == "waiting":
            yield changed(APPROVAL, call_id, state="closed")

    def said(self, event: MessageAdded) -> Events:
        """What was said into the run, where the model hears it."""
        self._said += 1
        id_, text = f"{self._run_id}:s{self._said}", event.message.text
        yield ui.TextMessageStart(message_id=id_, role="user", metadata={"agentrt": {"steer": True}})
        if text:
            yield ui.TextMessageContent(message_id=id_, delta=text)
        yield ui.TextMessageEnd(message_id=id_)

    def interrupts(self, calls: Mapping[str, str]) -> tuple[ui.Interrupt, ...]:
        """For what a run rests: these calls, which are given with the names of their tools."""
        return tuple(self._interrupt(call_id, name) for call_id, name in calls.items())

    def _interrupt(self, call_id: str, name: str) -> ui.Interrupt:
        if self.waiting.get(call_id) == "client":
            return ui.Interrupt(
                id=call_id,
                reason="agentrt:client_tool",
                tool_call_id=call_id,
                message=f"{name} is to be run by the client.",
            )
        return ui.Interrupt(
            id=call_id, reason="tool_call", tool_call_id=call_id, message=f"{name} runs once somebody approves of it."
        )


def _read(arguments: str) -> Any:
    """The arguments as the JSON that they are, to the letter, or as a text, if they are none."""
    try:
        msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments
    return msgspec.Raw(arguments.encode())
