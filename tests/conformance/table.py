"""How the table of what providers send is written, and how to read it.

Each of the files beside this one holds one family of rows:

    fragments   1 to 6, 24, 25   which fragment of a tool call belongs to which call
    fields      7, 8, 20, 26     fields that are missing, null, empty or of another type
    arguments   9 to 13          calls that cannot be run
    broken      14 to 17, 27     replies that are none, and errors inside a reply
    framing     18, 28           events, lines and bytes
    kept        19, 22, 29       what is kept, and what is passed on as it came
    ends        21, 30 to 32     how a reply says that it is over
    excess      23               too much of anything
    wire        33 to 35         answers of HTTP, byte for byte; and refusals

A row says what comes, what becomes of it, and who was seen doing it: an issue or pull request of that project,
found by its number. Its cases are replies as they came, streamed (`text/event-stream`) and whole (one JSON object),
for a provider may answer in either way whatever was asked for. Where a case makes sense in one form alone, `only`
says why.

What becomes of it is one of four: it is **normalised** without a word; it is **passed on** and, where its provider
wants it back, kept in the history; the attempt **ends**, as a typed error that says whether asking again may help,
and none of its calls is run; or it becomes a **tool error**: the call stands as it came, and the toolbox, which
checks arguments before anything runs, tells the model what was wrong with it.

A new way to fail becomes a row here first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agentrt.errors import ProviderError, ReplyIncomplete
from agentrt.messages import FinishReason, Usage

NO_FRAGMENTS = "a whole reply has no fragments"
NO_EVENTS = "a whole reply has no events"
NO_STREAM = "it is about replies that are not streamed"


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
    """A reply in its two forms, and what must become of both."""

    name: str
    result: Becomes | Fails
    streamed: bytes | None = None
    whole: bytes | None = None
    only: str = ""


@dataclass(frozen=True)
class Row:
    """A kind of reply: `comes`, what it `becomes`, where it was `seen`."""

    number: int
    comes: str
    becomes: str
    seen: str
    cases: tuple[Case, ...]


def made(*calls: tuple[str, str, str]) -> Becomes:
    """These calls and nothing else."""
    return Becomes(calls=calls, finish="tool_calls")
