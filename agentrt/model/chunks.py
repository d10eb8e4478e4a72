"""One chunk of a Chat Completions reply, from JSON to the few fields we read.

Two readers give the same structs. The strict one is msgspec with exactly the shape that OpenAI
documents (under a microsecond); whatever it refuses - another type in a field, a field of the message
that we do not know, half a surrogate pair - goes to the loose one, which takes `json.loads` and picks
what makes sense. A reply that was not streamed is one such chunk, with `message` for `delta`.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from agentrt.model.loose import (
    as_object,
    as_objects,
    as_string,
    as_text,
    as_whole,
    check_depth,
    is_object,
    read_strange_object,
)

_SHORT = 1024
"""Bytes of JSON that cannot be nested deep enough to trouble the strict reader, which skips what it does not know."""


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
    type: str | None = None
    error: Any = None


_STRICT = msgspec.json.Decoder(Chunk)


def read_chunk(data: bytes) -> Chunk:
    """The chunk in these bytes.

    Raises:
        ReplyIncomplete: no JSON object, or one nested too deep.
    """
    if len(data) > _SHORT:
        check_depth(data)
    try:
        chunk = _STRICT.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _loose_chunk(read_strange_object(data))
    if chunk.error or "error" in (chunk.object, chunk.type):
        return _loose_chunk(read_strange_object(data))
    return chunk


def _loose_chunk(value: dict[str, Any]) -> Chunk:
    return Chunk(
        choices=[_loose_choice(choice) for choice in as_objects(value.get("choices"))],
        usage=_loose_usage(value.get("usage")),
        model=as_string(value.get("model")),
        error=value.get("error") or (value if "error" in (value.get("object"), value.get("type")) else None),
    )


def _loose_choice(value: dict[str, Any]) -> Choice:
    return Choice(
        index=as_whole(value.get("index")),
        delta=_loose_delta(value.get("delta")),
        message=_loose_delta(value.get("message")),
        finish_reason=as_string(value.get("finish_reason")),
    )


def _loose_delta(value: Any) -> Delta | None:
    if not is_object(value):
        return None
    return StrangeDelta(
        content=as_text(value.get("content")),
        refusal=as_text(value.get("refusal")),
        reasoning_content=as_text(value.get("reasoning_content")),
        reasoning=as_text(value.get("reasoning")),
        tool_calls=[_loose_call(call) for call in _calls(value)],
        unknown=_unknown(value, Delta),
    )


def _calls(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of a message: a list, one without its list, or else the one `function_call` of the first years."""
    calls, old = value.get("tool_calls"), value.get("function_call")
    return as_objects(calls) or as_objects([calls]) or ([{"function": old}] if is_object(old) else [])


def _loose_call(value: dict[str, Any]) -> CallPart:
    function = as_object(value.get("function"))
    arguments = function.get("arguments")
    if isinstance(arguments, dict | list):
        arguments = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
    return StrangeCallPart(
        index=as_whole(value.get("index")),
        id=as_string(value.get("id")),
        function=FunctionPart(as_string(function.get("name")), as_string(arguments)),
        unknown=_unknown(value, CallPart),
    )


def _loose_usage(value: Any) -> UsageCount | None:
    if not is_object(value):
        return None
    return UsageCount(
        prompt_tokens=as_whole(value.get("prompt_tokens")),
        completion_tokens=as_whole(value.get("completion_tokens")),
        prompt_tokens_details=CacheCount(as_whole(as_object(value.get("prompt_tokens_details")).get("cached_tokens"))),
        prompt_cache_hit_tokens=as_whole(value.get("prompt_cache_hit_tokens")),
    )


def _unknown(value: dict[str, Any], known: type[msgspec.Struct]) -> dict[str, Any]:
    """The fields that are not `known` and say something."""
    fields = known.__struct_fields__
    return {key: item for key, item in value.items() if key not in fields and item not in (None, "", [], {})}
