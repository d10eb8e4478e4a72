"""When two calls are one: same tool, same arguments, in the same name, with the same deps.

Arguments are the same if their *canonical* text is: the checked values, defaults filled in, as JSON with sorted keys.
JSON cannot tell all values apart (it has neither infinity nor NaN, and a type may leave out what it likes), so a
canonical text is one that reads back to equal values; arguments that have none are like no other's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from pydantic_core import to_jsonable_python

from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool

D = TypeVar("D")

_encoder = msgspec.json.Encoder(enc_hook=to_jsonable_python, order="sorted")


def canonical(tool: Tool[Any], arguments: str) -> str | None:
    """The one text for all arguments that mean the same to this tool; None if they do not fit, or have none."""
    try:
        values = tool.signature.read(arguments)
    except Exception:  # noqa: BLE001 - parameters' types bring validators of the user's
        return None
    return canonical_of(tool, values)


def canonical_of(tool: Tool[Any], values: Mapping[str, Any]) -> str | None:
    """`canonical`, of arguments that have been read."""
    try:
        text = _encoder.encode(values).decode()
        return text if tool.signature.read(text) == values else None
    except Exception:  # noqa: BLE001 - as above; and their classes bring ways to lower and to compare of the user's
        return None


@dataclass(frozen=True)
class Question:
    """What a call asks; two that are equal get one answer. `tool` and `deps` are equal only to themselves.

    It holds both, so that no id of an object that is gone is taken for that of another.
    """

    tool: Tool[Any]
    arguments: str
    principal: str | None
    deps: _Itself


class _Itself:
    """Equal to what holds the same object, whatever the object's own class says."""

    __slots__ = ("it",)

    def __init__(self, it: object) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.it is other.it

    def __hash__(self) -> int:
        return id(self.it)


def question(tool: Tool[D], values: Mapping[str, Any], context: Context[D]) -> Question | None:
    """What a call with these arguments, as they were read, asks; None if it is like no other's.

    Deps count only where the tool gets them.
    """
    text = canonical_of(tool, values)
    deps = context.deps if tool.signature.takes_context else None
    return None if text is None else Question(tool, text, context.principal, _Itself(deps))
