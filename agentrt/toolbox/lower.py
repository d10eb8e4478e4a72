"""Users' values become JSON here: a tool's result for the model, its progress for viewers.

A value is lowered once, where it enters, so that no later room meets a user's class.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from pydantic_core import to_jsonable_python

from agentrt.surrogates import mended

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"

# msgspec does what it knows, dataclasses among it; pydantic's models and types fall through to pydantic.
_encoder = msgspec.json.Encoder(enc_hook=to_jsonable_python)


def to_json(value: Any) -> str:
    """JSON text of the value. NaN and infinities become null, lone surrogates U+FFFD.

    Raises:
        TypeError: the value, or something in it, has no JSON form; the text says what.
    """
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(
            f"{type(value).__name__} has no JSON form ({error}); text, numbers, lists, dicts, dataclasses, "
            f"msgspec structs and pydantic models have one"
        ) from error


def _encode(value: Any) -> str:
    try:
        return _encoder.encode(value).decode()
    except UnicodeEncodeError:
        lowered = msgspec.to_builtins(value, str_keys=True, enc_hook=to_jsonable_python)
        return _encoder.encode(mended(lowered)).decode()


def to_builtins(value: Any) -> JSON:
    """The value as its reader will see it: made of dict, list, str, int, float, bool and None.

    Raises:
        TypeError: as `to_json`.
    """
    lowered: JSON = msgspec.json.decode(to_json(value))
    return lowered


def fit(text: str, limit: int) -> str:
    """The text's first `limit` bytes of UTF-8, in whole characters; if that is not all, a last line says so."""
    if len(text) * 4 <= limit:
        return text
    data = text.encode()
    if len(data) <= limit:
        return text
    kept = data[:limit].decode(errors="ignore")
    return f"{kept}\n[cut here: {len(data) - len(kept.encode()):,} of {len(data):,} bytes are left out]"
