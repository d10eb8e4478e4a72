"""Replies as bytes, built from the fields that a case is about."""

from __future__ import annotations

import json
from typing import Any

from agentrt.messages import Usage
from tests.conformance.table import Becomes, made


def event(**fields: Any) -> bytes:
    """A chunk with these fields, as one event."""
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def delta(finish: Any = None, **fields: Any) -> bytes:
    """A chunk whose first choice adds these fields."""
    return event(object="chat.completion.chunk", choices=[{"index": 0, "delta": fields, "finish_reason": finish}])


def part(arguments: Any = None, name: str | None = None, **fields: Any) -> bytes:
    """A chunk with a part of one call."""
    function = {"arguments": arguments} | ({"name": name} if name is not None else {})
    return delta(tool_calls=[{**fields, "function": function}])


def end(finish: str = "stop") -> bytes:
    """The finish reason, and `[DONE]`."""
    return delta(finish) + DONE


def call(arguments: Any, name: str = "look", **fields: Any) -> dict[str, Any]:
    """A whole call, for a message."""
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **fields}


def body(finish: Any = "stop", *, usage: Any = None, **message: Any) -> bytes:
    """A reply that was not streamed."""
    whole = {
        "id": "c1",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
        "usage": usage,
    }
    return json.dumps(whole).encode()


def calling(*calls: dict[str, Any], finish: Any = "tool_calls", **message: Any) -> bytes:
    """A reply with these calls that was not streamed."""
    return body(finish, content=None, tool_calls=list(calls), **message)


DONE = b"data: [DONE]\n\n"
HELLO = delta(role="assistant", content="Hel") + delta(content="lo")
HELLO_WHOLE = body(content="Hello")
LOOKS = part('{"q":1}', "look", index=0, id="a")
FINDS = part('{"q":2}', "find", index=1, id="b")
BEGUN = part('{"q":', "look", index=0, id="a")
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}
USED = Usage(input_tokens=7, output_tokens=3, cached_tokens=2, requests=1)
LOOK = ("a", "look", '{"q":1}')
FIND = ("b", "find", '{"q":2}')
CALL_LOOK = call('{"q":1}', id="a")
CALL_FIND = call('{"q":2}', "find", id="b")
ONE = made(LOOK)
TWO = made(LOOK, FIND)
SAID = Becomes("Hello")
