"""Lone surrogates: half characters that JSON and the names of files can hold and UTF-8 cannot spell.

One of them in a text makes every later encoding of that text fail, so they are replaced by U+FFFD where texts come in
and where they go out. Two that make one character together become it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard


def mended(value: Any) -> Any:
    """The same text, or the same JSON value, with U+FFFD in place of every lone surrogate."""
    if isinstance(value, str):
        return mended_text(value)
    if _is_sequence(value):
        return [mended(item) for item in value]
    if _is_mapping(value):
        return {mended(key): mended(item) for key, item in value.items()}
    return value


def mended_text(text: str) -> str:
    """The same text, with U+FFFD in place of every lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _is_sequence(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)


def _is_mapping(value: Any) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, dict)
