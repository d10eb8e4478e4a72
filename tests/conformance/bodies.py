"""What providers really send, and what must become of it: how a case of the table is written.

The rows:
 1 to 6   which fragment of a tool call belongs to which call
 7, 8     fields that are missing, null or of another type
 9 to 13  calls that cannot be run; they are passed on as they are, and the toolbox answers them
14 to 17  replies that are none, and errors inside a reply
18        the event stream
19, 20    what is kept to be given back; null content
21        typed ends
22        lone surrogates
23        too much of anything

A new way to fail becomes a case first. (Row 12, bad arguments in a history, is about what we send.)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from agentrt.errors import ProviderError, ReplyIncomplete
from agentrt.messages import FinishReason, Usage


@dataclass(frozen=True)
class Becomes:
    """The reply that must result. A call is (id, name, arguments)."""

    text: str = ""
    calls: tuple[tuple[str, str, str], ...] = ()
    finish: FinishReason = "stop"
    reasoning: str = ""
    extra: dict[str, Any] | None = None
    usage: Usage | None = None


@dataclass(frozen=True)
class Fails:
    """The error that must result, and what its message must name."""

    error: type[ProviderError] = ReplyIncomplete
    naming: str = ""


@dataclass(frozen=True)
class Case:
    """One reply as it came; `row` is its kind (see above)."""

    row: int
    name: str
    body: bytes
    result: Becomes | Fails


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


def end(finish: str = "stop") -> bytes:
    return delta(finish) + DONE


DONE = b"data: [DONE]\n\n"
HELLO = delta(role="assistant", content="Hel") + delta(content="lo")
LOOKS = part('{"q":1}', "look", index=0, id="a")
FINDS = part('{"q":2}', "find", index=1, id="b")
BEGUN = part('{"q":', "look", index=0, id="a")
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 2}}
USED = Usage(input_tokens=7, output_tokens=3, cached_tokens=2, requests=1)
LOOK = ("a", "look", '{"q":1}')
FIND = ("b", "find", '{"q":2}')
ONE = Becomes(calls=(LOOK,), finish="tool_calls")
TWO = Becomes(calls=(LOOK, FIND), finish="tool_calls")
CUT = "… [cut: more than 5,000,000 characters of arguments]"


def made(*calls: tuple[str, str, str]) -> Becomes:
    """These calls and nothing else."""
    return Becomes(calls=calls, finish="tool_calls")
