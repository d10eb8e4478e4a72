"""Bytes of a reply of the Responses API in, pieces and one finished reply out.

Pure, and indifferent to where the bytes were cut, as its twin for Chat Completions is. A reply is finished by
`response.completed` or `response.incomplete` (or by that status, if it came whole) and by nothing else; whatever ends
otherwise is `ReplyIncomplete` and none of its calls may run. Events that we do not know say nothing.

A reply is a list of items - messages, calls, reasoning - each of which is begun, grows and is done. What was told of an
item while it grew is what counts; where it is done, or the response is, only what was missing is added. The state is
the items in the order in which they began (`_items`) and how the response ended (`_status`).
"""

from __future__ import annotations

import re
from typing import Any

from agentrt.errors import ProviderError, ProviderRefused, ReplyIncomplete
from agentrt.messages import AssistantMessage, FinishReason, ToolCall, Usage
from agentrt.model.arriving import Arriving
from agentrt.model.assemble import Assembled
from agentrt.model.calls import CallAssembler
from agentrt.model.chunks import CallPart, FunctionPart
from agentrt.model.failures import in_band
from agentrt.model.loose import as_object, as_objects, as_string, as_whole, read_object
from agentrt.model.model import Piece, ReasoningPiece, TextPiece
from agentrt.model.responses.layout import Called, Place, Reasoned, Spoken, as_extra

_GROWS = {
    "response.output_text.delta": "message",
    "response.refusal.delta": "message",
    "response.function_call_arguments.delta": "function_call",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.reasoning_text.delta": "reasoning",
}
"""Events that bring a part of an item, and of which kind it is."""

_ENDS = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}

_KEPT = ("id", "type", "summary", "content", "encrypted_content")
"""Of reasoning, what is given back; its status is no business of ours."""

_MOST_ITEMS = 1_000
"""Items of a reply, at most."""

_REFUSED = re.compile(r"invalid_|image_|unsupported_|empty_image|failed_to_download|data_residency|\w+_policy")
"""Codes, by their beginning, of what would fail again."""


class _Item:
    """One item in the making. `text` is what was told of it, `call_id` and `name` are a call's."""

    __slots__ = ("call_id", "kind", "name", "phase", "place", "reasoning", "text")

    def __init__(self, place: int, kind: str) -> None:
        self.place = place
        self.kind = kind
        self.call_id = ""
        self.name = ""
        self.phase: str | None = None
        self.text: list[str] = []
        self.reasoning: dict[str, Any] | None = None


class ResponsesAssembler:
    """One reply; see `Assembling`."""

    def __init__(self) -> None:
        self.heard = 0
        self.done = False
        self._arriving = Arriving()
        self._items: list[_Item] = []
        self._latest: dict[tuple[str | None, int | None], _Item] = {}
        self._calls = CallAssembler()
        self._refused = False
        self._answered = False
        self._part: tuple[int, Any, Any] | None = None
        self._status: str | None = None
        self._response: dict[str, Any] = {}

    @property
    def finished(self) -> bool:
        return self._status in ("completed", "incomplete")

    def feed(self, data: bytes) -> list[Piece]:
        pieces: list[Piece] = []
        for text in self._arriving.feed(data):
            self._take(text, pieces)
        if self._arriving.alive:
            self.heard += 1
        return pieces

    def finish(self) -> Assembled:
        pieces: list[Piece] = []
        for text in self._arriving.close():
            try:
                self._take(text, pieces)
            except ReplyIncomplete:
                if not self.finished:
                    raise  # of a finished reply, nothing is missing
        finish = self._reason()
        calls = tuple(self._calls.calls()) if finish in ("tool_calls", "length") else ()
        return Assembled(
            message=AssistantMessage(
                "".join(part for item in self._items if item.kind == "message" for part in item.text),
                calls,
                as_extra(self._layout(calls)),
            ),
            finish=finish,
            usage=_usage(self._response.get("usage")),
            model=as_string(self._response.get("model")) or "",
            pieces=tuple(pieces),
        )

    # ---- events ------------------------------------------------------------------------------------------

    def _take(self, text: bytes, pieces: list[Piece]) -> None:
        if self.done or not text.strip() or text.startswith(b"[DONE]"):
            return
        self.heard += 1
        value = read_object(text)
        kind = as_string(value.get("type")) or ""
        self._answered = self._answered or kind.startswith("response.")
        if kind in _GROWS:
            self._grow(_GROWS[kind], value, pieces)
        elif kind.startswith("response.output_item."):
            self._hear_of(value, as_object(value.get("item")), kind.removeprefix("response.output_item."), pieces)
        elif kind == "response.function_call_arguments.done":
            self._tell_rest(self._grown("function_call", value), as_string(value.get("arguments")), pieces)
        elif kind in _ENDS:
            self._end(_ENDS[kind], as_object(value.get("response")), pieces)
        elif kind == "error" or value.get("error"):
            raise _failure(value.get("error") or {key: value.get(key) for key in ("code", "message")})
        elif self._arriving.whole and "output" in value:
            self._end(as_string(value.get("status")), value, pieces)

    def _end(self, status: str | None, response: dict[str, Any], pieces: list[Piece]) -> None:
        self._status, self._response = status, response
        if status not in ("completed", "incomplete"):
            if response.get("error"):  # of a body that came whole, it was read before
                raise _failure(response["error"])
            raise ReplyIncomplete(f'the provider ended its reply with the status "{status}"')
        if not self._items:  # a whole reply, or a stream that tells nothing before its end
            for index, item in enumerate(as_objects(response.get("output"))):
                self._hear_of({"output_index": index}, item, "done", pieces)
        self.done = True

    # ---- items -------------------------------------------------------------------------------------------

    def _hear_of(self, event: dict[str, Any], said: dict[str, Any], what: str, pieces: list[Piece]) -> None:
        """An item was "added" or is "done"; of kinds that we do not know, nothing is heard."""
        kind, name, index = as_string(said.get("type")), as_string(said.get("id")), as_whole(event.get("output_index"))
        item = self._known(name, index) if what != "added" else self._latest.get((name, index)) if name else None
        if item is None or item.kind != kind:
            if kind not in ("message", "function_call", "reasoning"):
                return
            item = self._begin(kind, name, index)
            if kind == "function_call":
                item.call_id = as_string(said.get("call_id")) or name or f"call_{item.place}"
                item.name = as_string(said.get("name")) or ""
                self._add_to_call(item, "", pieces)
        if what == "done":
            self._complete(item, said, pieces)

    def _grown(self, kind: str, event: dict[str, Any]) -> _Item | None:
        """The item that a part belongs to; a call must have been heard of before."""
        name, index = as_string(event.get("item_id")), as_whole(event.get("output_index"))
        item = self._known(name, index)
        if name is None and index is None and self._items:
            item = self._items[-1]
        if item is not None and item.kind == kind:
            return item
        return None if kind == "function_call" else self._begin(kind, name, index)

    def _known(self, name: str | None, index: int | None) -> _Item | None:
        """The item by its id and index, or by either: some providers change ids between events, some repeat them."""
        places = ((name, index), (name, None), (None, index))
        return next((self._latest[place] for place in places if place in self._latest), None)

    def _begin(self, kind: str, name: str | None, index: int | None) -> _Item:
        if len(self._items) == _MOST_ITEMS:
            raise ReplyIncomplete(f"the reply has too many parts: at most {_MOST_ITEMS:,} items are read")
        item = _Item(len(self._items), kind)
        self._items.append(item)
        for place in {(name, index), (name, None), (None, index)} - {(None, None)}:
            self._latest[place] = item
        return item

    def _grow(self, kind: str, event: dict[str, Any], pieces: list[Piece]) -> None:
        text = as_string(event.get("delta"))
        item = self._grown(kind, event)
        if not text or item is None:
            return
        if kind == "reasoning":
            part = (item.place, event.get("summary_index"), event.get("content_index"))
            if self._part is not None and part != self._part:
                text = f"\n\n{text}"
            self._part = part
        elif event.get("type") == "response.refusal.delta":
            self._refused = True
        self._tell(item, text, pieces)

    def _complete(self, item: _Item, said: dict[str, Any], pieces: list[Piece]) -> None:
        """The item is done: adds what was not told of it."""
        if item.kind == "function_call":
            if not item.name:
                item.name = as_string(said.get("name")) or ""
                self._add_to_call(item, "", pieces)
            self._tell_rest(item, as_string(said.get("arguments")), pieces)
        elif item.kind == "message":
            item.phase = as_string(said.get("phase"))
            content = as_objects(said.get("content"))
            self._refused = self._refused or any(part.get("refusal") for part in content)
            texts = (as_string(part.get("text")) or as_string(part.get("refusal")) or "" for part in content)
            self._tell_rest(item, "".join(texts), pieces)
        else:
            parts = as_objects(said.get("summary")) or as_objects(said.get("content"))
            if not item.text:
                self._tell_rest(item, "\n\n".join(as_string(part.get("text")) or "" for part in parts), pieces)
            if said.get("encrypted_content") or said.get("content"):  # else there is nothing in it for the provider
                item.reasoning = {key: said.get(key, []) for key in _KEPT if said.get(key) or key == "summary"}

    def _tell_rest(self, item: _Item | None, whole: str | None, pieces: list[Piece]) -> None:
        if item is None or not whole:
            return
        told = "".join(item.text)
        if whole.startswith(told) and len(whole) > len(told):
            self._tell(item, whole[len(told) :], pieces)

    def _tell(self, item: _Item, text: str, pieces: list[Piece]) -> None:
        item.text.append(text)
        if item.kind == "function_call":
            self._add_to_call(item, text, pieces)
        else:
            pieces.append(TextPiece(text) if item.kind == "message" else ReasoningPiece(text))

    def _add_to_call(self, item: _Item, text: str, pieces: list[Piece]) -> None:
        piece = self._calls.add(CallPart(item.place, item.call_id, None, FunctionPart(item.name or None, text)))
        if piece is not None:
            pieces.append(piece)

    # ---- the end -----------------------------------------------------------------------------------------

    def _reason(self) -> FinishReason:
        if not self.finished:
            if self._answered:
                raise ReplyIncomplete("the reply broke off: neither response.completed nor response.incomplete came")
            raise self._arriving.instead("a stream of events or a JSON body of a response")
        if self._status == "incomplete":
            why = as_string(as_object(self._response.get("incomplete_details")).get("reason"))
            if why == "content_filter":
                return "content_filter"
            if not self._calls.all_whole():
                raise ReplyIncomplete("the model ran out of output tokens in the middle of a tool call")
            return "length"
        if self._refused:
            return "refusal"
        return "tool_calls" if self._calls.calls() else "stop"

    def _layout(self, calls: tuple[ToolCall, ...]) -> list[Place]:
        """The items in their order, if these calls are all that there were; reasoning at the end led to nothing."""
        layout: list[Place] = []
        for item in self._items:
            if item.kind == "function_call":
                layout.append(Called())
            elif item.kind == "message":
                length = sum(map(len, item.text))
                layout += [Spoken(length, item.phase)] if length else []
            elif item.reasoning is not None:
                layout.append(Reasoned(item.reasoning))
        while layout and isinstance(layout[-1], Reasoned):
            layout.pop()
        return layout if sum(isinstance(place, Called) for place in layout) == len(calls) else []


def _failure(error: Any) -> ProviderError:
    said = in_band(error)
    code = as_string(as_object(error).get("code")) or ""
    return ProviderRefused(str(said)) if type(said) is ReplyIncomplete and _REFUSED.match(code) else said


def _usage(value: Any) -> Usage | None:
    count = as_object(value)
    if not count:
        return None
    return Usage(
        input_tokens=max(0, as_whole(count.get("input_tokens")) or 0),
        output_tokens=max(0, as_whole(count.get("output_tokens")) or 0),
        cached_tokens=max(0, as_whole(as_object(count.get("input_tokens_details")).get("cached_tokens")) or 0),
        requests=1,
    )
