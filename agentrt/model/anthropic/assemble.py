"""Bytes of a reply of Anthropic's Messages API in, pieces and one finished reply out.

Pure, and indifferent to where the bytes were cut, as its twin for Chat Completions is. A reply is finished by a stop
reason or by `message_stop`, behind which nothing follows, and by nothing else.

A reply is a list of blocks. Text and calls become what they are everywhere. Where there are other blocks among them,
thinking above all, the provider wants these back as they were, signed, and in their places: then the layout of the
blocks is kept beside the message, as `{"blocks": [...]}`, in which text stands with its length alone and a call with
its type alone, since the message has both.
"""

from __future__ import annotations

import json
from typing import Any

from agentrt.errors import ReplyIncomplete
from agentrt.messages import AssistantMessage, FinishReason, Usage
from agentrt.model.arriving import Arriving
from agentrt.model.assemble import Assembled
from agentrt.model.calls import CallAssembler
from agentrt.model.chunks import CallPart, FunctionPart
from agentrt.model.failures import in_band
from agentrt.model.loose import as_object, as_objects, as_string, as_whole, read_object
from agentrt.model.model import Piece, ReasoningPiece, TextPiece

_FINISH: dict[str, FinishReason] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
}
"""Stop reasons; all others mean the end of the turn, and whether there are calls is seen."""

_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
_PLAIN = ("text", "tool_use")
_GROWING = {"thinking_delta": "thinking", "signature_delta": "signature"}
_INPUT = "input"
"""Of a call that the provider makes itself, such as a search; it comes as JSON, and goes back as an object."""


class MessagesAssembler:
    """One reply; see `Assembling`."""

    def __init__(self) -> None:
        self.heard = 0
        self.done = False
        self._arriving = Arriving()
        self._answered = False
        self._stop: str | None = None
        self._blocks: dict[int, dict[str, Any]] = {}
        self._texts: dict[int, list[str]] = {}
        self._grown: dict[tuple[int, str], list[str]] = {}
        self._calls = CallAssembler()
        self._counts: dict[str, int] = {}
        self._model = ""

    @property
    def finished(self) -> bool:
        return self.done or self._stop is not None

    def feed(self, data: bytes) -> list[Piece]:
        pieces: list[Piece] = []
        for event in self._arriving.feed(data):
            self._take(event, pieces)
        self.heard += self._arriving.alive
        return pieces

    def finish(self) -> Assembled:
        pieces: list[Piece] = []
        for left in self._arriving.close():
            if self._arriving.whole:
                self._absorb_whole(read_object(left), pieces)
            else:
                self._take_last(left, pieces)
        finish = self._reason()
        calls = self._calls.calls() if finish in ("tool_calls", "length") else []
        text = "".join(part for _, parts in sorted(self._texts.items()) for part in parts)
        return Assembled(
            message=AssistantMessage(text, tuple(calls), self._layout()),
            finish=finish,
            usage=self._usage(),
            model=self._model,
            pieces=tuple(pieces),
        )

    # ---- events ------------------------------------------------------------------------------------------

    def _take(self, event: bytes, pieces: list[Piece]) -> None:
        if self.done or not event.strip():
            return
        value = read_object(event)
        kind = value.get("type")
        if kind == "error" or value.get("error"):
            raise in_band(value.get("error") or value)
        if kind != "ping":
            self.heard += 1
        if kind == "message_start":
            self._begin(as_object(value.get("message")))
        elif kind == "content_block_start":
            self._open(self._index(value), as_object(value.get("content_block")), pieces)
        elif kind == "content_block_delta":
            self._add(self._index(value), as_object(value.get("delta")), pieces)
        elif kind == "message_delta":
            self._count(as_object(value.get("usage")))
            self._stop = as_string(as_object(value.get("delta")).get("stop_reason")) or self._stop
        elif kind == "message_stop":
            self.done = True

    def _take_last(self, event: bytes, pieces: list[Piece]) -> None:
        """What stands behind the last blank line."""
        try:
            self._take(event, pieces)
        except ReplyIncomplete:
            if not self.finished:
                raise  # of a finished reply, nothing is missing

    def _absorb_whole(self, message: dict[str, Any], pieces: list[Piece]) -> None:
        """A reply that was not streamed."""
        if message.get("type") == "error" or message.get("error"):
            raise in_band(message.get("error") or message)
        if not isinstance(message.get("content"), list):
            return
        self._begin(message)
        for index, block in enumerate(as_objects(message["content"])):
            self._open(index, block, pieces)
        self._stop = as_string(message.get("stop_reason"))

    def _begin(self, message: dict[str, Any]) -> None:
        self._answered = True
        self._model = as_string(message.get("model")) or ""
        self._count(as_object(message.get("usage")))

    def _index(self, value: dict[str, Any]) -> int:
        """Which block; without a number, the latest one."""
        index = as_whole(value.get("index"))
        return max(0, len(self._blocks) - (value.get("type") != "content_block_start")) if index is None else index

    def _open(self, index: int, block: dict[str, Any], pieces: list[Piece]) -> None:
        self._answered = True
        kind = as_string(block.get("type")) or ""
        self._blocks[index] = block
        if kind == "tool_use":
            given = block.get("input")
            text = json.dumps(given, ensure_ascii=False, separators=(",", ":")) if given else ""
            name, call_id = as_string(block.get("name")), as_string(block.get("id"))
            self._add_call(CallPart(index, call_id, function=FunctionPart(name, text)), pieces)
        elif kind == "text":
            self._add(index, {"type": "text_delta", "text": block.get("text")}, pieces)
        elif kind == "thinking":
            self._tell_thought(as_string(block.get("thinking")), pieces)

    def _add(self, index: int, delta: dict[str, Any], pieces: list[Piece]) -> None:
        self._answered = True
        kind = as_string(delta.get("type")) or ""
        if kind == "text_delta":
            self._blocks.setdefault(index, {"type": "text"})
            text = as_string(delta.get("text"))
            if text:
                self._texts.setdefault(index, []).append(text)
                pieces.append(TextPiece(text))
        elif kind == "input_json_delta":
            part = as_string(delta.get("partial_json")) or ""
            if self._blocks.setdefault(index, {"type": "tool_use"}).get("type") == "tool_use":
                self._add_call(CallPart(index, function=FunctionPart(None, part)), pieces)
            else:
                self._grown.setdefault((index, _INPUT), []).append(part)
        elif kind in _GROWING:
            self._blocks.setdefault(index, {"type": "thinking", "thinking": ""})
            text = as_string(delta.get(_GROWING[kind])) or ""
            self._grown.setdefault((index, _GROWING[kind]), []).append(text)
            if kind == "thinking_delta":
                self._tell_thought(text, pieces)

    def _add_call(self, part: CallPart, pieces: list[Piece]) -> None:
        told = self._calls.add(part)
        if told is not None:
            pieces.append(told)

    def _tell_thought(self, text: str | None, pieces: list[Piece]) -> None:
        if text:
            pieces.append(ReasoningPiece(text))

    def _count(self, usage: dict[str, Any]) -> None:
        """The counts are running totals; one that is left out stays."""
        for name in _COUNTS:
            count = as_whole(usage.get(name))
            if count is not None:
                self._counts[name] = max(0, count)

    # ---- the end -----------------------------------------------------------------------------------------

    def _reason(self) -> FinishReason:
        if not self._answered:
            raise self._arriving.instead("a stream of events or a message in JSON")
        if not self.finished:
            raise ReplyIncomplete("the reply broke off: neither a stop reason nor message_stop came")
        reason = _FINISH.get(self._stop or "") or ("tool_calls" if self._calls.calls() else "stop")
        if reason == "length" and not self._calls.all_whole():
            raise ReplyIncomplete("the model ran out of output tokens in the middle of a tool call")
        return reason

    def _layout(self) -> str | None:
        """The blocks in their places, if there are any that the message itself does not hold."""
        if all(block.get("type") in _PLAIN for block in self._blocks.values()):
            return None
        for (index, field), parts in self._grown.items():
            block, text = self._blocks[index], "".join(parts)
            if field != _INPUT:
                block[field] = (as_string(block.get(field)) or "") + text
            elif text:
                block[field] = read_object(text.encode())
        blocks: list[dict[str, Any]] = []
        for index, block in sorted(self._blocks.items()):
            if block.get("type") == "text":
                blocks.append({"type": "text", "length": sum(map(len, self._texts.get(index, ())))})
            elif block.get("type") == "tool_use":
                blocks.append({"type": "tool_use"})
            else:
                blocks.append(block)
        return json.dumps({"blocks": blocks}, ensure_ascii=False, separators=(",", ":"))

    def _usage(self) -> Usage | None:
        if not self._counts:
            return None
        new, written, cached, said = (self._counts.get(name, 0) for name in _COUNTS)
        return Usage(input_tokens=new + written + cached, output_tokens=said, cached_tokens=cached, requests=1)
