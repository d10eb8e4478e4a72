"""Users' values become JSON here: a tool's result for the model, its progress for viewers.

A value is lowered once, where it enters, so that no later room meets a user's class.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from pydantic_core import to_jsonable_python

from agentrt.errors import ToolError
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


def as_text(result: Any) -> str:
    """What the model reads of a tool's result: text as it is, anything else as JSON.

    Raises:
        ToolError: `result_invalid`: it has no JSON form.
    """
    if isinstance(result, str):
        return str.__str__(result)  # of an enum or another subclass the text alone
    try:
        return to_json(result)
    except TypeError as error:
        raise ToolError(f"the tool's result cannot be shown: {error}", code="result_invalid") from error


def to_builtins(value: Any) -> JSON:
    """The value as its reader will see it: made of dict, list, str, int, float, bool and None.

    Raises:
        TypeError: as `to_json`.
    """
    lowered: JSON = msgspec.json.decode(to_json(value))
    return lowered
