"""Which fragment belongs to which tool call: providers disagree, and this is where it ends.

A fragment may carry an index, an id, both or neither. Every fragment leaves the call it was given to
under four keys - (index, id), (index, -), (-, id), (-, -) - so that a key with a gap means "the
latest call of that index", "of that id" or simply "the latest call". A fragment is looked up by what it
carries; the rules in `_call_for` decide when it begins a new call instead.

Each call gets an id of its own when it is first heard of: the provider's, if no other call of this
reply has it, else a made-up one. The provider's ids serve only to sort fragments.
"""

from __future__ import annotations

from typing import Any

from agentrt.messages import ToolCall
from agentrt.model.arguments import is_object
from agentrt.model.chunks import CallPart, StrangeCallPart
from agentrt.model.model import ArgumentsPiece

MOST_CALLS = 128
"""Calls of one reply that are kept. The model sees its own turn with these, and may ask again for the rest."""

MOST_ARGUMENTS = 5_000_000
"""Characters of arguments, over all calls of a reply, that are kept."""

_CUT = f"… [cut: more than {MOST_ARGUMENTS:,} characters of arguments]"
"""Ends arguments that were cut. Not JSON, so that a cut text is never run because it happens to parse."""


class _Call:
    """One call in the making."""

    __slots__ = ("cut", "given", "id", "name", "parts", "unknown")

    def __init__(self, id: str, given: str | None) -> None:
        self.id = id
        self.given = given
        self.name = ""
        self.parts: list[str] = []
        self.cut = False
        self.unknown: dict[str, Any] = {}

    def arguments(self) -> str:
        text = "".join(self.parts)
        if self.cut:
            return text + _CUT
        return "{}" if text.strip() in ("", "null") else text

    def may_be_named_further(self, given: str | None) -> bool:
        """Whether another name is the rest of its own: a new call of a provider with ids would have one."""
        return self.given is not None and given is None and not self.parts

    def is_whole(self) -> bool:
        """Whether its arguments so far are an object; cheap to ask before its last brace has come."""
        return bool(self.parts) and self.parts[-1].rstrip().endswith("}") and is_object("".join(self.parts))


class CallAssembler:
    """The calls of one reply, from fragments in the order in which they came."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._latest: dict[tuple[int | None, str | None], _Call] = {}
        self._ids: set[str] = set()
        self._room = MOST_ARGUMENTS

    def add(self, part: CallPart, *, whole: bool = False) -> ArgumentsPiece | None:
        """Takes a fragment, or a `whole` call; gives what is to be told of it, if anything."""
        name, text = "", ""
        if part.function is not None:
            name, text = part.function.name or "", part.function.arguments or ""
        given = part.id or None
        call = self._begun(given) if whole else self._call_for(part.index, given, name, text)
        if call is None:
            return None
        for key in ((part.index, given), (part.index, None), (None, given), (None, None)):
            self._latest[key] = call
        renamed = bool(name) and name != call.name
        if renamed:
            call.name += name
        if isinstance(part, StrangeCallPart):
            call.unknown.update(part.unknown)
        text = self._fitted(call, text)
        if text:
            call.parts.append(text)
        if call.id not in self._ids or not (text or renamed):
            return None
        return ArgumentsPiece(call.id, call.name, text)

    def calls(self) -> list[ToolCall]:
        """The calls so far, in the order in which they began."""
        return [ToolCall(call.id, call.name, call.arguments()) for call in self._real()]

    def all_whole(self) -> bool:
        """Whether the arguments of every call came to their end."""
        return all(call.is_whole() and not call.cut for call in self._real())

    def unknown(self) -> list[dict[str, Any]]:
        """For each of `calls`, the fields that we do not know."""
        return [call.unknown for call in self._real()]

    def _real(self) -> list[_Call]:
        """Without what had an id and then neither a name nor arguments."""
        return [call for call in self._calls if call.name or call.parts]

    def _call_for(self, index: int | None, given: str | None, name: str, text: str) -> _Call | None:
        """The call of a fragment, a new one, or None for a fragment that says nothing."""
        call = self._latest.get((index, given))
        if call is None:
            call = self._nearest(index, given, name)
        if call is None:
            return self._begun(given) if given or name or text else None
        if not (name and call.name):
            return call
        # It is named again. Some providers do that with every fragment; others, whose ids or indices
        # are all the same, begin the next call like this; a few give names in fragments, too.
        if name != call.name:
            return call if call.may_be_named_further(given) else self._begun(given)
        if (index is None or given is None) and text and call.is_whole():
            return self._begun(given)
        return call

    def _nearest(self, index: int | None, given: str | None, name: str) -> _Call | None:
        """The call of a fragment whose keys are new, where it cannot be the start of another one."""
        if given is None:
            return None if name else self._latest.get((None, None))
        call = self._latest.get((index, None))
        came_late = call is not None and call.given is None and not name  # ours was made up, and stays
        return call if came_late else None

    def _begun(self, given: str | None) -> _Call:
        wanted = given or f"call_{len(self._calls)}"
        unique, copies = wanted, 1
        while unique in self._ids:
            copies += 1
            unique = f"{wanted}_{copies}"
        call = _Call(unique, given)
        if len(self._calls) < MOST_CALLS:
            self._calls.append(call)
            self._ids.add(unique)
        return call

    def _fitted(self, call: _Call, text: str) -> str:
        """As much of the text as there is room for; of a call that was cut, nothing more."""
        if call.cut:
            return ""
        if len(text) > self._room:
            call.cut = True
            text = text[: self._room]
        self._room -= len(text)
        return text
