"""Bytes of a Chat Completions reply in, pieces and one finished reply out.

Pure: no I/O, no clock, and indifferent to where the bytes were cut. A reply is finished by a finish
reason or by `[DONE]` and by nothing else; whatever ends otherwise is `ReplyIncomplete` and none of its
calls may run. What providers really send, and what becomes of it, stands in `tests/conformance`.

The state: the first byte that is no white space decides whether this is a stream or one JSON body
(`_streamed`); `_finish` and `done` are how the reply said that it is over; the rest is the reply so far.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from agentrt.errors import ReplyIncomplete
from agentrt.messages import AssistantMessage, FinishReason, Usage
from agentrt.model.calls import CallAssembler
from agentrt.model.chunks import Chunk, Delta, StrangeDelta, UsageCount, read_chunk
from agentrt.model.failures import EXCERPT, excerpt, in_band
from agentrt.model.model import Piece, ReasoningPiece, TextPiece
from agentrt.model.sse import EventSplitter

LARGEST_REPLY = 64_000_000
"""Bytes of one reply that are read at most."""

_FINISH: dict[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",
    "refusal": "refusal",
}
"""Finish reasons of several providers. All others mean the end of the turn; whether there are calls is seen."""

_BROKEN_OFF = frozenset({"error", "abort", "network_error", "insufficient_system_resource"})
"""Finish reasons by which a provider says that it did not finish."""

_NEVER_GIVEN_BACK = frozenset({"annotations", "audio", "function_call"})
"""Fields of a reply that its own provider refuses in a history."""


class Assembled(msgspec.Struct, frozen=True):
    """A finished reply. `pieces` are those that only the end brought: all of a body that was not streamed."""

    message: AssistantMessage
    finish: FinishReason
    usage: Usage | None
    model: str
    pieces: tuple[Piece, ...] = ()


class Assembler:
    """One reply: `feed` bytes until there are no more, then `finish`.

    Both raise a `ProviderError` for a reply that failed; the assembler is of no use after that.

    Attributes:
        heard: Grows with everything that counts as a sign of life; comments do not.
        done: `[DONE]` was read; nothing after it is.
    """

    def __init__(self) -> None:
        self.heard = 0
        self.done = False
        self._streamed: bool | None = None
        self._events = EventSplitter()
        self._body: list[bytes] = []
        self._start = b""
        self._size = 0
        self._text: list[str] = []
        self._reasoning: dict[str, list[str]] = {}
        self._calls = CallAssembler()
        self._unknown: dict[str, Any] = {}
        self._refused = False
        self._answered = False
        self._finish: str | None = None
        self._usage: UsageCount | None = None
        self._model = ""

    @property
    def finished(self) -> bool:
        """Whether the reply has said that it is over; usage may still come."""
        return self.done or self._finish is not None

    def feed(self, data: bytes) -> list[Piece]:
        """What these bytes add to the reply, in order."""
        self._size += len(data)
        if self._size > LARGEST_REPLY:
            raise ReplyIncomplete(f"the reply is too large: at most {LARGEST_REPLY:,} bytes are read")
        if not self._answered and len(self._start) < EXCERPT:
            self._start = (self._start + data)[:EXCERPT]
        if self._streamed is None:
            data = self._begin(data)
        if self._streamed is False:
            self.heard += 1
            self._body.append(data)
            return []
        pieces: list[Piece] = []
        for event in self._events.feed(data):
            self._take(event, pieces)
        if self._events.amid_data:
            self.heard += 1
        return pieces

    def finish(self) -> Assembled:
        """No more bytes will come: the reply, if it is one."""
        pieces: list[Piece] = []
        if self._streamed is False:
            self._absorb(read_chunk(b"".join(self._body)), pieces)
        else:
            self._take_the_rest(pieces)
        finish = self._reason()
        calls = self._calls.calls() if finish in ("tool_calls", "length") else []
        return Assembled(
            message=AssistantMessage("".join(self._text), tuple(calls), self._extra(bool(calls))),
            finish=finish,
            usage=_usage(self._usage),
            model=self._model,
            pieces=tuple(pieces),
        )

    def _begin(self, data: bytes) -> bytes:
        data = data.lstrip()
        if data:
            self._streamed = data[:1] not in (b"{", b"[")
        return data

    def _take(self, event: bytes, pieces: list[Piece]) -> None:
        if self.done or not event.strip():
            return
        self.heard += 1
        if event.startswith(b"[DONE]"):
            self.done = True
        else:
            self._absorb(read_chunk(event), pieces)

    def _take_the_rest(self, pieces: list[Piece]) -> None:
        for event in self._events.close():
            try:
                self._take(event, pieces)
            except ReplyIncomplete:
                if not self.finished:
                    raise  # of a finished reply, nothing is missing

    def _absorb(self, chunk: Chunk, pieces: list[Piece]) -> None:
        if chunk.error:
            raise in_band(chunk.error)
        if chunk.usage is not None:
            self._usage = chunk.usage
        if chunk.model and not self._model:
            self._model = chunk.model
        for choice in chunk.choices or ():
            if choice.index:
                continue  # only one answer was asked for
            self._answered = True
            if choice.delta is not None:
                self._add(choice.delta, pieces, whole=False)
            elif choice.message is not None:
                self._add(choice.message, pieces, whole=True)
            if choice.finish_reason:
                self._finish = choice.finish_reason

    def _add(self, delta: Delta, pieces: list[Piece], *, whole: bool) -> None:
        if delta.content:
            self._text.append(delta.content)
            pieces.append(TextPiece(delta.content))
        if delta.reasoning_content or delta.reasoning:
            self._add_reasoning(delta, pieces)
        if delta.refusal:
            self._refused = True
            self._text.append(delta.refusal)
            pieces.append(TextPiece(delta.refusal))
        if delta.tool_calls:
            for part in delta.tool_calls:
                told = self._calls.add(part, whole=whole)
                if told is not None:
                    pieces.append(told)
        if isinstance(delta, StrangeDelta):
            self._keep(delta.unknown)

    def _add_reasoning(self, delta: Delta, pieces: list[Piece]) -> None:
        """Some providers send the same text under both names: both are kept, one is told."""
        for field, text in (("reasoning_content", delta.reasoning_content), ("reasoning", delta.reasoning)):
            if text:
                self._reasoning.setdefault(field, []).append(text)
        pieces.append(ReasoningPiece(delta.reasoning_content or delta.reasoning or ""))

    def _keep(self, unknown: dict[str, Any]) -> None:
        """Fragments of an unknown field: texts and lists grow, objects are merged, the rest is replaced."""
        for key, value in unknown.items():
            if key in _NEVER_GIVEN_BACK:
                continue
            match self._unknown.get(key), value:
                case (str(), str()) | (list(), list()):
                    self._unknown[key] += value
                case dict(), dict():
                    self._unknown[key] |= value
                case _:
                    self._unknown[key] = value

    def _reason(self) -> FinishReason:
        if not self.finished or not self._answered:
            raise ReplyIncomplete(self._what_is_missing())
        said = (self._finish or "").lower()
        if said in _BROKEN_OFF:
            raise ReplyIncomplete(f'the provider broke its reply off with the finish reason "{said}"')
        if self._refused:
            return "refusal"
        calls = self._calls.calls()
        reason = _FINISH.get(said) or ("tool_calls" if calls else "stop")
        if reason == "length" and not self._calls.all_whole():
            raise ReplyIncomplete("the model ran out of output tokens in the middle of a tool call")
        return reason

    def _what_is_missing(self) -> str:
        if self._answered:
            return "the reply broke off: neither a finish reason nor [DONE] came"
        if not self._size:
            return "the reply is empty"
        came = excerpt(self._start.decode("utf-8", "replace"))
        return f"expected a stream of chunks or a JSON body with choices, came {came!r}"

    def _extra(self, with_calls: bool) -> str | None:
        """Reasoning and unknown fields, to be given back; those of the calls by the calls' positions."""
        extra = dict(self._unknown)
        extra.update((field, "".join(texts)) for field, texts in self._reasoning.items())
        if with_calls:
            of_calls = self._calls.unknown()
            if any(of_calls):
                extra["tool_calls"] = of_calls
        return json.dumps(extra, ensure_ascii=False, separators=(",", ":")) if extra else None


def _usage(count: UsageCount | None) -> Usage | None:
    if count is None:
        return None
    cached = count.prompt_cache_hit_tokens
    if count.prompt_tokens_details is not None and count.prompt_tokens_details.cached_tokens:
        cached = count.prompt_tokens_details.cached_tokens
    return Usage(
        input_tokens=max(0, count.prompt_tokens or 0),
        output_tokens=max(0, count.completion_tokens or 0),
        cached_tokens=max(0, cached or 0),
        requests=1,
    )
