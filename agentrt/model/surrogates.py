"""Lone surrogates: half characters that JSON can spell and UTF-8 cannot.

One of them in a text makes every later encoding of that text fail, so they are replaced by U+FFFD at
the border, in both directions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

_LONE = re.compile("[\ud800-\udfff]")


def mended(value: Any) -> Any:
    """The same text, or the same JSON value, with U+FFFD in place of every lone surrogate."""
    if isinstance(value, str):
        return _LONE.sub("\ufffd", value)
    if _is_sequence(value):
        return [mended(item) for item in value]
    if _is_mapping(value):
        return {mended(key): mended(item) for key, item in value.items()}
    return value


def _is_sequence(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple)


def _is_mapping(value: Any) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, dict)
