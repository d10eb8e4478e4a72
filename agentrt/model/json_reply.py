"""Replies of models that call tools by writing JSON (`json_tools.py`): texts of that form become calls and answers.

It stands around the assembler of the dialect and reads the text that this one tells. The object's members decide what
it is (`_kind`): {"tool": NAME, "arguments": {...}} is a call, {"tool": "answer", "content": ...} an answer. Until that
is known its text is held: a model that takes no notice of the form writes plain text, or some other JSON, and that is
its answer. What follows a call's object is taken for the end of the call's arguments: they are no JSON then, so that
nothing runs and the model reads why.
"""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from agentrt.errors import ReplyIncomplete
from agentrt.messages import FinishReason
from agentrt.model.assemble import Assembled
from agentrt.model.calls import CallAssembler
from agentrt.model.chunks import CallPart, FunctionPart
from agentrt.model.dialect import Assembling
from agentrt.model.json_text import ObjectReader, Part
from agentrt.model.model import Piece, TextPiece

ANSWER = "answer"
"""The tool that is none: what it is given is the answer."""

_ENDED: frozenset[FinishReason] = frozenset({"stop", "tool_calls", "length"})
"""Ways to end by the model itself, not by who watches over it."""


class JsonToolsAssembler:
    """One reply; see `Assembling`."""

    def __init__(self, inner: Assembling) -> None:
        self.heard = 0
        self.done = False
        self._inner = inner
        self._reader = ObjectReader()
        self._kind: Literal["unknown", "text", "call", "answer"] = "unknown"
        self._held: list[str] = []
        self._text: list[str] = []
        self._name = ""
        self._named = False
        self._early: list[str] = []
        self._calls = CallAssembler()

    @property
    def finished(self) -> bool:
        return self._inner.finished

    def feed(self, data: bytes) -> list[Piece]:
        pieces = self._read(self._inner.feed(data))
        self.heard, self.done = self._inner.heard, self._inner.done
        return pieces

    def finish(self) -> Assembled:
        whole = self._inner.finish()
        pieces = self._read(whole.pieces)
        self._check(whole)
        if self._kind == "unknown":
            self._settle_as_text(pieces)
        calls = tuple(self._calls.calls()) if whole.finish in _ENDED else ()
        return replace(
            whole,
            message=replace(whole.message, content="".join(self._text), tool_calls=calls or whole.message.tool_calls),
            finish="tool_calls" if calls and whole.finish == "stop" else whole.finish,
            pieces=tuple(pieces),
        )

    def _check(self, whole: Assembled) -> None:
        """Nothing that ends in the middle is a reply, except a text that reached the bound of its length."""
        if whole.finish not in _ENDED or whole.message.tool_calls:
            return
        begun = self._kind != "unknown" or "".join(self._held).strip()
        if not begun or self._kind == "text" or self._reader.ended or self._reader.broken:
            return
        if whole.finish != "length":
            raise ReplyIncomplete("the model's JSON ends in the middle")
        if self._kind != "answer":
            raise ReplyIncomplete("the model ran out of output tokens before its call or its answer had come")

    def _read(self, came: list[Piece] | tuple[Piece, ...]) -> list[Piece]:
        pieces: list[Piece] = []
        for piece in came:
            if isinstance(piece, TextPiece):
                self._take(piece.text, pieces)
            else:
                pieces.append(piece)
        return pieces

    def _take(self, text: str, pieces: list[Piece]) -> None:
        if self._kind == "text":
            self._tell(text, pieces)
            return
        if self._kind == "unknown":
            self._held.append(text)
        for part in self._reader.feed(text):
            self._add(part, pieces)
        rest, self._reader.rest = self._reader.rest, ""
        if self._kind == "unknown" and self._reader.ended and self._named:
            self._call(pieces)
        if self._kind == "unknown" and (self._reader.ended or self._reader.broken):
            self._settle_as_text(pieces)
        elif rest.strip() and self._kind == "call":
            self._argue(rest, pieces)
        elif rest.strip() and self._kind == "answer":
            self._tell(rest, pieces)

    def _add(self, part: Part, pieces: list[Piece]) -> None:
        match part.key:
            case "content" if self._kind == "answer" or (self._kind == "unknown" and self._named):
                self._kind = "answer"
                self._tell(part.text, pieces)
            case "tool" if self._kind == "unknown" and not self._named:
                self._name += part.text
                self._named = part.ended
                if part.ended and self._name != ANSWER:
                    self._call(pieces)
            case "arguments" if self._kind != "answer":
                if self._named and self._kind == "unknown":  # of a tool that is called "answer", too
                    self._call(pieces)
                self._argue(part.text, pieces)
            case _:
                pass  # a member that the form does not have

    def _call(self, pieces: list[Piece]) -> None:
        self._kind = "call"
        early, self._early = "".join(self._early), []
        self._add_to_call(self._name, early, pieces)

    def _argue(self, text: str, pieces: list[Piece]) -> None:
        if self._kind == "call":
            self._add_to_call("", text, pieces)
        else:
            self._early.append(text)

    def _add_to_call(self, name: str, arguments: str, pieces: list[Piece]) -> None:
        told = self._calls.add(CallPart(index=0, function=FunctionPart(name, arguments)))
        if told is not None:
            pieces.append(told)

    def _tell(self, text: str, pieces: list[Piece]) -> None:
        if text:
            self._text.append(text)
            pieces.append(TextPiece(text))

    def _settle_as_text(self, pieces: list[Piece]) -> None:
        self._kind = "text"
        held, self._held = "".join(self._held), []
        self._tell(held, pieces)
