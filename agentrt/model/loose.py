"""Provider's JSON read with no expectations: what is no JSON object is refused, what makes no sense is left out.

The readers of each dialect stand on it wherever a strict one gives up, and for what is too varied for a strict one.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, TypeGuard

import msgspec

from agentrt.errors import ReplyIncomplete
from agentrt.model.failures import excerpt
from agentrt.surrogates import mended

DEPTH = 64
"""Levels of nesting that are always read; above about twice as many, none is."""

_LARGEST = 2**53
"""No count and no index is as large, and not everything that reads our records can write larger ones down."""

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")

_OBJECT = msgspec.json.Decoder(dict[str, Any])


def read_object(data: bytes) -> dict[str, Any]:
    """The JSON object in these bytes.

    Raises:
        ReplyIncomplete: there is none, or one nested too deep.
    """
    check_depth(data)  # for all of it is kept
    try:
        return _OBJECT.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return read_strange_object(data)


def read_strange_object(data: bytes) -> dict[str, Any]:
    """The same of bytes that are strange: lone surrogates, NaN, numbers without end. It is slower.

    Raises:
        ReplyIncomplete: there is none, or one nested too deep.
    """
    check_depth(data)
    text = data.decode("utf-8", "replace")
    try:
        value = json.loads(text, parse_float=_finite, parse_constant=_nothing)
    except (ValueError, RecursionError):
        raise ReplyIncomplete(f"expected a chunk of JSON, came {excerpt(text)!r}") from None
    if not is_object(value):
        raise ReplyIncomplete(f"expected a JSON object, came {excerpt(text)!r}")
    return as_object(mended(value)) if _SURROGATE_ESCAPE.search(text) else value


def check_depth(data: bytes) -> None:
    """Peels the innermost brackets off, a level at a time, and looks whether much is left.

    Raises:
        ReplyIncomplete: it is.
    """
    if data.count(b"{") + data.count(b"[") <= DEPTH:
        return
    brackets = _STRING.sub(b"", data).translate(None, _NOT_BRACKETS)
    for _ in range(DEPTH):
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if len(brackets) <= DEPTH:
            return
    raise ReplyIncomplete(f"the reply is nested too deep: at most {DEPTH} levels of JSON are read")


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def as_object(value: Any) -> dict[str, Any]:
    """The object, or an empty one."""
    return value if is_object(value) else {}


def as_objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list."""
    return [item for item in value if is_object(item)] if is_list(value) else []


def as_text(value: Any) -> str | None:
    """A text, or the texts of a list of content parts."""
    if is_list(value):
        return "".join(as_string(part.get("text")) or "" for part in as_objects(value))
    return as_string(value)


def as_string(value: Any) -> str | None:
    """A text, or a number as one."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def as_whole(value: Any) -> int | None:
    """A whole number, or the text of one."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if abs(value) < _LARGEST else None


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _nothing(_: str) -> None:
    """NaN and Infinity are no JSON: read as null."""
