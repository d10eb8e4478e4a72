"""One chunk of a Chat Completions reply, from JSON to the few fields we read.

Two readers give the same structs. The strict one is msgspec with exactly the shape that OpenAI
documents (under a microsecond); whatever it refuses - another type in a field, a field of the message
that we do not know, half a surrogate pair - goes to the loose one, which takes `json.loads` and picks
what makes sense. A reply that was not streamed is one such chunk, with `message` for `delta`.
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

_SHORT = 1024
"""Bytes of JSON that cannot be nested deep enough to trouble the strict reader, which skips what it does not know."""

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class FunctionPart(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The name and a part of the arguments' text."""

    name: str | None = None
    arguments: str | None = None


class CallPart(msgspec.Struct, forbid_unknown_fields=True):
    """A part of one tool call; which one is for `calls.py` to find out."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: FunctionPart | None = None


class Delta(msgspec.Struct, forbid_unknown_fields=True):
    """What this chunk adds to the message, or the whole message."""

    role: str | None = None
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[CallPart] | None = None


class StrangeCallPart(CallPart):
    """A part of a call with fields that we do not know, to be given back (e.g. signatures)."""

    unknown: dict[str, Any] = {}


class StrangeDelta(Delta):
    """A delta with fields that we do not know, to be given back."""

    unknown: dict[str, Any] = {}


class Choice(msgspec.Struct):
    """One of the answers; only the first is asked for."""

    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None


class CacheCount(msgspec.Struct, gc=False):
    """The share of the input that came from the provider's cache."""

    cached_tokens: int | None = None


class UsageCount(msgspec.Struct):
    """Tokens spent so far; a later count replaces an earlier one."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: CacheCount | None = None
    prompt_cache_hit_tokens: int | None = None


class Chunk(msgspec.Struct):
    """A chunk as far as we read it. `error` is whatever the provider put there."""

    choices: list[Choice] | None = None
    usage: UsageCount | None = None
    model: str | None = None
    object: str | None = None
    error: Any = None


_STRICT = msgspec.json.Decoder(Chunk)


def read_chunk(data: bytes) -> Chunk:
    """The chunk in these bytes.

    Raises:
        ReplyIncomplete: no JSON object, or one nested too deep.
    """
    if len(data) > _SHORT:
        _check_depth(data)
    try:
        chunk = _STRICT.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _loose_chunk(_loads(data))
    if chunk.object == "error":
        return _loose_chunk(_loads(data))
    return chunk


def _check_depth(data: bytes) -> None:
    """Peels the innermost brackets off, a level at a time, and looks whether much is left."""
    if data.count(b"{") + data.count(b"[") <= DEPTH:
        return
    brackets = _STRING.sub(b"", data).translate(None, _NOT_BRACKETS)
    for _ in range(DEPTH):
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
        if len(brackets) <= DEPTH:
            return
    raise ReplyIncomplete(f"the reply is nested too deep: at most {DEPTH} levels of JSON are read")


def _loads(data: bytes) -> dict[str, Any]:
    _check_depth(data)
    text = data.decode("utf-8", "replace")
    try:
        value = json.loads(text, parse_float=_finite, parse_constant=_nothing)
    except (ValueError, RecursionError):
        raise ReplyIncomplete(f"expected a chunk of JSON, came {excerpt(text)!r}") from None
    if not _is_object(value):
        raise ReplyIncomplete(f"expected a JSON object, came {excerpt(text)!r}")
    return _object(mended(value)) if _SURROGATE_ESCAPE.search(text) else value


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _nothing(_: str) -> None:
    """NaN and Infinity are no JSON: read as null."""


def _loose_chunk(value: dict[str, Any]) -> Chunk:
    return Chunk(
        choices=[_loose_choice(choice) for choice in _objects(value.get("choices"))],
        usage=_loose_usage(value.get("usage")),
        model=_string(value.get("model")),
        error=value.get("error") or (value if value.get("object") == "error" else None),
    )


def _loose_choice(value: dict[str, Any]) -> Choice:
    return Choice(
        index=_whole(value.get("index")),
        delta=_loose_delta(value.get("delta")),
        message=_loose_delta(value.get("message")),
        finish_reason=_string(value.get("finish_reason")),
    )


def _loose_delta(value: Any) -> Delta | None:
    if not _is_object(value):
        return None
    return StrangeDelta(
        content=_text(value.get("content")),
        refusal=_text(value.get("refusal")),
        reasoning_content=_text(value.get("reasoning_content")),
        reasoning=_text(value.get("reasoning")),
        tool_calls=[_loose_call(call) for call in _objects(value.get("tool_calls"))],
        unknown=_unknown(value, Delta),
    )


def _loose_call(value: dict[str, Any]) -> CallPart:
    function = _object(value.get("function"))
    arguments = function.get("arguments")
    if isinstance(arguments, dict | list):
        arguments = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    return StrangeCallPart(
        index=_whole(value.get("index")),
        id=_string(value.get("id")),
        function=FunctionPart(_string(function.get("name")), _string(arguments)),
        unknown=_unknown(value, CallPart),
    )


def _loose_usage(value: Any) -> UsageCount | None:
    if not _is_object(value):
        return None
    return UsageCount(
        prompt_tokens=_whole(value.get("prompt_tokens")),
        completion_tokens=_whole(value.get("completion_tokens")),
        prompt_tokens_details=CacheCount(_whole(_object(value.get("prompt_tokens_details")).get("cached_tokens"))),
        prompt_cache_hit_tokens=_whole(value.get("prompt_cache_hit_tokens")),
    )


def _unknown(value: dict[str, Any], known: type[msgspec.Struct]) -> dict[str, Any]:
    """The fields that are not `known` and say something."""
    fields = known.__struct_fields__
    return {key: item for key, item in value.items() if key not in fields and item not in (None, "", [], {})}


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _object(value: Any) -> dict[str, Any]:
    return value if _is_object(value) else {}


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if _is_object(item)] if _is_list(value) else []


def _text(value: Any) -> str | None:
    """A text, or the texts of a list of content parts."""
    if _is_list(value):
        return "".join(_string(part.get("text")) or "" for part in _objects(value))
    return _string(value)


def _string(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        return int(value)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
