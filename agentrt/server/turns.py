"""The model's turns, as they are told: a step and an activity for each, and the reply as it arrives. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from agentrt.events import (
    ArgumentsDelta,
    FellBack,
    ModelReplied,
    ReasoningDelta,
    Rewound,
    RunStarted,
    TextDelta,
)
from agentrt.messages import AssistantMessage
from agentrt.server import agui_events as ui
from agentrt.server.activities import MODEL, changed, ms, shown
from agentrt.server.reply import Reply

Events = Iterator[ui.AguiEvent]


class Turns:
    """Those of one run.

    Attributes:
        preferred: The agent's "provider:model"; a turn may fall back on another.
        asking: Whether one is going on.
        attempts: How often the model was asked in the last one.
    """

    def __init__(self, run_id: str) -> None:
        self.preferred = ""
        self.asking = False
        self.attempts = 0
        self._run_id = run_id
        self._prefix = ""  # of the runtime's message ids, which no client sees
        self._asked = ""
        self._number = 0
        self._reply: Reply | None = None

    def begin(self, event: RunStarted) -> Events:
        """The run begins, with a turn."""
        self._prefix = f"{event.run_id}:"
        self.preferred = event.model
        yield from self.ask(event.at)

    @property
    def asked(self) -> str:
        """The "provider:model" that was asked last."""
        return self._asked

    @property
    def id(self) -> str:
        """What the activity of the turn is about."""
        return f"{self._run_id}:{self._number}"

    def ask(self, at: float) -> Events:
        """Begin a turn, if none is going on."""
        if self.asking:
            return
        self._asked = self.preferred
        self._number += 1
        self.asking = True
        self.attempts = 0
        provider, _, model = self._asked.partition(":")
        yield ui.StepStarted(step_name=f"llm#{self._number}", timestamp=ms(at))
        told = {"turn": self._number, "provider": provider, "model": model, "state": "running", "startedAt": ms(at)}
        yield shown(MODEL, self.id, **told)

    def piece(self, event: TextDelta | ReasoningDelta | ArgumentsDelta) -> Events:
        """A piece of the reply."""
        reply = self._reply
        if reply is None or reply.message_id != event.message_id:
            return self._first_piece(event)
        match event:
            case TextDelta():
                return reply.text(event.text)
            case ReasoningDelta():
                return reply.reasoning(event.text)
            case ArgumentsDelta():
                return reply.arguments(event.call_id, event.name, event.text)

    def _first_piece(self, event: TextDelta | ReasoningDelta | ArgumentsDelta) -> Events:
        yield from self.ask(event.at)
        yield self._changed(state="running", firstAt=ms(event.at))
        self._reply = Reply(event.message_id, self._wire_id(event.message_id))
        yield from self.piece(event)

    def fell_back(self, event: FellBack) -> Events:
        """Another model is asked."""
        yield from self.ask(event.at)
        self._asked = event.model
        provider, _, model = event.model.partition(":")
        told = {"provider": provider, "model": model, "insteadOf": event.instead_of, "error": event.error}
        yield self._changed(state="running", **told)

    def rewound(self, event: Rewound) -> Events:
        """The reply broke off, and begins anew."""
        yield from self._forget(event.message_id, event.replaced_by)

    def replied(self, event: ModelReplied) -> Events:
        """The model has finished; what nobody has seen of its reply is shown."""
        yield from self.ask(event.at)
        reply = self._reply or Reply(event.message_id, self._wire_id(event.message_id))
        yield from reply.complete(event.message)
        self._asked = event.asked or self.preferred
        state = "cancelled" if event.finish == "cancelled" else "ok"
        tokens = {"inputTokens": event.usage.input_tokens, "outputTokens": event.usage.output_tokens}
        yield from self._answered(event.at, state=state, **tokens)

    def anew(self, at: float) -> Events:
        """What has arrived of a reply will not be kept, and the turn that is open begins once more."""
        if self._reply is not None:
            yield from self._forget(self._reply.message_id, self._reply.message_id)
        if self.asking:
            self._asked = self.preferred
            provider, _, model = self._asked.partition(":")
            yield self._changed(provider=provider, model=model, state="running", startedAt=ms(at))

    def over(self, at: float, state: str) -> Events:
        """The run ends, and with it what is open."""
        if self._reply is not None:
            yield from self._reply.complete(AssistantMessage())
        if self.asking:
            yield from self._answered(at, state=state)

    def _answered(self, at: float, **content: Any) -> Events:
        self.asking = False
        self._reply = None
        yield self._changed(**content, endedAt=ms(at))
        yield ui.StepFinished(step_name=f"llm#{self._number}", timestamp=ms(at))

    def _forget(self, message_id: str, replaced_by: str) -> Events:
        if self._reply is not None:
            yield from self._reply.close()
            self._reply = None
        value = {"messageId": self._wire_id(message_id), "replacedBy": self._wire_id(replaced_by)}
        yield ui.Custom(name="agentrt.rewind", value=value)

    def _changed(self, **content: Any) -> ui.ActivityDelta:
        return changed(MODEL, self.id, **content)

    def _wire_id(self, message_id: str) -> str:
        return f"{self._run_id}:{message_id.removeprefix(self._prefix)}"
