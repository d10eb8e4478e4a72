"""Bytes of a Chat Completions reply in, pieces and one finished reply out.

Pure: no I/O, no clock, and indifferent to where the bytes were cut. A reply is finished by a finish
reason or by `[DONE]` and by nothing else; whatever ends otherwise is `ReplyIncomplete` and none of its
calls may run. What providers really send, and what becomes of it, stands in `tests/conformance`.

The state: `_finish` and `done` are how the reply said that it is over; the rest is the reply so far.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from agentrt.errors import ReplyIncomplete
from agentrt.messages import AssistantMessage, FinishReason, Usage
from agentrt.model.arriving import Arriving
from agentrt.model.calls import CallAssembler
from agentrt.model.chunks import Chunk, Delta, StrangeDelta, UsageCount, read_chunk
from agentrt.model.failures import in_band
from agentrt.model.loose import is_list, is_object
from agentrt.model.model import Piece, ReasoningPiece, TextPiece

_FINISH: dict[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
    "refusal": "refusal",
}
"""Finish reasons of several providers. All others mean the end of the turn; whether there are calls is seen."""

_BROKEN_OFF = frozenset(
    {
        "error",
        "abort",
        "network_error",
        "insufficient_system_resource",
        "malformed_function_call",
        "unexpected_tool_call",
        "function_call_filter",
    }
)
"""Finish reasons by which a provider says that it did not finish, or threw away what the model wrote."""

_CALLS = frozenset({"tool_calls", "function_call"})
"""Finish reasons that promise a call."""

_NEVER_GIVEN_BACK = frozenset({"annotations", "audio", "function_call"})
"""Fields of a reply that its own provider refuses in a history."""

_MOST_TOKENS = 2**53
"""No reply costs as many."""

_GROWING = frozenset({"text", "summary"})
"""Fields of an object in an unknown list that come in pieces."""

_DONE = b"data: [DONE]"


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
        self._arriving = Arriving(errors=True)
        self._text: list[str] = []
        self._reasoning: dict[str, list[str]] = {}
        self._calls = CallAssembler()
        self._unknown: dict[str, Any] = {}
        self._refused = False
        self._answered = False
        self._deltas = False
        self._finish = ""
        self._usage: UsageCount | None = None
        self._model = ""

    @property
    def finished(self) -> bool:
        """Whether the reply has said that it is over; usage may still come."""
        return self.done or self._finish != ""

    def feed(self, data: bytes) -> list[Piece]:
        """What these bytes add to the reply, in order."""
        pieces: list[Piece] = []
        for event in self._arriving.feed(data):
            self._take(event, pieces)
        if self._arriving.alive:
            self.heard += 1
        return pieces

    def finish(self) -> Assembled:
        """No more bytes will come: the reply, if it is one."""
        pieces: list[Piece] = []
        for left in self._arriving.close():
            if self._arriving.whole:
                self._take_body(left.rstrip(), pieces)
            else:
                self._take_last(left, pieces)
        finish = self._reason()
        calls = self._calls.calls() if finish in ("tool_calls", "length") else []
        return Assembled(
            message=AssistantMessage("".join(self._text), tuple(calls), self._extra(bool(calls))),
            finish=finish,
            usage=_usage(self._usage),
            model=self._model,
            pieces=tuple(pieces),
        )

    def _take(self, event: bytes, pieces: list[Piece]) -> None:
        if self.done or not event.strip():
            return
        self.heard += 1
        if event.startswith(b"[DONE]"):
            self.done = True
        else:
            self._absorb(read_chunk(event), pieces)

    def _take_body(self, body: bytes, pieces: list[Piece]) -> None:
        """A whole reply; some proxies end it as if it were a stream."""
        self.done = body.endswith(_DONE)
        self._absorb(read_chunk(body.removesuffix(_DONE)), pieces)

    def _take_last(self, event: bytes, pieces: list[Piece]) -> None:
        """What stands behind the last blank line."""
        try:
            self._take(event, pieces)
        except ReplyIncomplete:
            if not self.finished:
                raise  # of a finished reply, nothing is missing

    def _absorb(self, chunk: Chunk, pieces: list[Piece]) -> None:
        if chunk.error:
            raise in_band(chunk.error)
        if chunk.usage is not None and (chunk.usage.prompt_tokens or chunk.usage.completion_tokens):
            self._usage = chunk.usage  # without tokens it stands in for one that comes, or came
        if chunk.model and not self._model:
            self._model = chunk.model
        for choice in chunk.choices or ():
            if choice.index:
                continue  # only one answer was asked for
            self._answered = True
            told = len(pieces)
            if choice.delta is not None:
                self._deltas = True
                self._add(choice.delta, pieces, whole=False)
            elif choice.message is not None:
                message = self._news_of(choice.message) if self._deltas else choice.message
                self._add(message, pieces, whole=True)
            if len(pieces) > told:
                self._go_on()
            if choice.finish_reason:
                self._end(choice.finish_reason)

    def _go_on(self) -> None:
        """There is more of the answer: a finish reason that came before it was none, unless it told of a failure."""
        if self._finish not in _BROKEN_OFF:
            self._finish = ""

    def _end(self, reason: str) -> None:
        """Of several reasons the one that tells most counts, of equals the last; a colon begins an explanation."""
        said = reason.partition(":")[0].strip().lower()
        if _telling(said) >= _telling(self._finish):
            self._finish = said

    def _news_of(self, message: Delta) -> Delta:
        """The message without what deltas have told already: some providers end a stream with all of it once more."""
        text, reasoning = not self._text, not self._reasoning
        unknown = message.unknown if isinstance(message, StrangeDelta) else {}
        return StrangeDelta(
            content=message.content if text else None,
            refusal=message.refusal if text else None,
            reasoning_content=message.reasoning_content if reasoning else None,
            reasoning=message.reasoning if reasoning else None,
            tool_calls=None if self._calls.calls() else message.tool_calls,
            unknown={key: value for key, value in unknown.items() if key not in self._unknown},
        )

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
            before = self._unknown.get(key)
            if is_list(before) and is_list(value):
                _join(before, value)
                continue
            match before, value:
                case str(), str():
                    self._unknown[key] += value
                case dict(), dict():
                    self._unknown[key] |= value
                case _:
                    self._unknown[key] = value

    def _reason(self) -> FinishReason:
        if not self._answered:
            raise self._arriving.instead("a stream of chunks or a JSON body with choices")
        if not self.finished:
            raise ReplyIncomplete("the reply broke off: neither a finish reason nor [DONE] came")
        said = self._finish
        if said in _BROKEN_OFF:
            raise ReplyIncomplete(f'the provider broke its reply off with the finish reason "{said}"')
        if self._refused:
            return "refusal"
        calls = self._calls.calls()
        reason = _FINISH.get(said) or ("tool_calls" if calls else "stop")
        if reason == "length" and not self._calls.all_whole():
            raise ReplyIncomplete("the model ran out of output tokens in the middle of a tool call")
        if said in _CALLS and not (calls or self._text):
            raise ReplyIncomplete(f'the finish reason is "{said}", and neither a call nor text came')
        return reason

    def _extra(self, with_calls: bool) -> str | None:
        """Reasoning and unknown fields, to be given back; those of the calls by the calls' positions."""
        extra = dict(self._unknown)
        extra.update((field, "".join(texts)) for field, texts in self._reasoning.items())
        if with_calls:
            of_calls = self._calls.unknown()
            if any(of_calls):
                extra["tool_calls"] = of_calls
        return json.dumps(extra, ensure_ascii=False, separators=(",", ":")) if extra else None


def _join(parts: list[Any], more: list[Any]) -> None:
    """A list grows; an object of the same index and type as its last one goes on with that (OpenRouter's reasoning)."""
    for part in more:
        last = parts[-1] if parts else None
        if not (is_object(part) and is_object(last) and _place(part) == _place(last) is not None):
            parts.append(part)
            continue
        for key, value in part.items():
            grows = key in _GROWING and isinstance(value, str) and isinstance(last.get(key), str)
            last[key] = last[key] + value if grows else (last.get(key) if value is None else value)


def _place(part: dict[str, Any]) -> tuple[Any, Any] | None:
    return None if part.get("index") is None else (part["index"], part.get("type"))


def _telling(finish: str) -> int:
    return 2 if finish in _BROKEN_OFF else finish in _FINISH


def _usage(count: UsageCount | None) -> Usage | None:
    if count is None:
        return None
    cached = count.prompt_cache_hit_tokens
    if count.prompt_tokens_details is not None and count.prompt_tokens_details.cached_tokens:
        cached = count.prompt_tokens_details.cached_tokens
    return Usage(
        input_tokens=_tokens(count.prompt_tokens),
        output_tokens=_tokens(count.completion_tokens),
        cached_tokens=_tokens(cached),
        requests=1,
    )


def _tokens(count: int | None) -> int:
    """Nonsense is zero: the sum of a run's tokens must fit into the 64 bits that a journal has for it."""
    return count if count and 0 < count < _MOST_TOKENS else 0
