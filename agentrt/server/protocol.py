"""The words of `agentrt.v1`, and what the server says; what clients say stands in commands.py. Pure.

One JSON object is one WebSocket text frame. Frames have a dotted lower-case `type` and snake_case names; what
travels inside of `event` and `snapshot` are AG-UI events with names of their own, which never meet ours. Additions
only: who reads ignores types and fields that it does not know.

A run's cursor is `(epoch, after)`: the epoch of the run's owner and the number of the last event that was processed.
"""

from __future__ import annotations

from typing import Literal

import msgspec

VERSION = "1.0"
SUBPROTOCOL = "agentrt.v1"
AGUI_VERSION = "1.0"

MAX_FRAME = 262_144
"""Bytes of a client's frame."""

MAX_COMPLAINT = 500
"""Characters of what a client is told is wrong: what it sent may be quoted there, and may be long."""

Code = Literal[
    "invalid_frame",
    "invalid_input",
    "unknown_type",
    "unauthorized",
    "no_such_run",
    "no_such_agent",
    "no_such_tool_call",
    "approval_closed",
    "run_finished",
    "run_conflict",
    "too_many_runs",
    "rate_limited",
    "payload_too_large",
    "not_supported",
    "draining",
    "internal",
]
"""What went wrong, in a word that stays."""

RETRYABLE: frozenset[Code] = frozenset({"rate_limited", "too_many_runs", "draining", "internal"})

# Close codes. 40xx: connect again and resume. 44xx: this client cannot go on as it is.
BINARY = 1003
INTERNAL = 1011
RESTART = 1012
SLOW_CONSUMER = 4001
BAD_FRAME = 4400
UNAUTHORIZED = 4401
WRONG_VERSION = 4406
HELLO_TIMEOUT = 4408
TOO_MANY = 4429

# ---- server to client --------------------------------------------------------------------------


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one client may ask of the server; sent in `welcome`."""

    max_message_bytes: int = MAX_FRAME
    max_active_runs: int = 8
    replay_ttl_s: float = 300.0
    replay_max_bytes: int = 4_194_304


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="welcome"):
    """The answer to `hello`."""

    protocol: str = VERSION
    agui: str = AGUI_VERSION
    session_id: str
    heartbeat_s: float
    server: str
    principal: str | None
    agents: tuple[str, ...]
    limits: Limits
    capabilities: dict[str, dict[str, bool]]


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a command was not carried out."""

    code: Code
    message: str
    retryable: bool = False
    retry_after_ms: int | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="reply"):
    """The answer to one command. `next_seq` is the number the run's next event will have; `ok` is always sent."""

    id: str | None
    ok: bool
    run_id: str | None = None
    existing: bool | None = None
    epoch: int | None = None
    next_seq: int | None = None
    error: Problem | None = None


class EventFrame(msgspec.Struct, frozen=True, tag_field="type", tag="event"):
    """What happened from number `first` to number `seq`, without a gap; `events` are AG-UI's, each whole JSON.

    A client accepts it if and only if `first` is the number behind its cursor, drops it if `seq` is not beyond the
    cursor, and attaches anew otherwise.
    """

    run_id: str
    first: int
    seq: int
    events: tuple[msgspec.Raw, ...]


class SnapshotFrame(msgspec.Struct, frozen=True, tag_field="type", tag="snapshot"):
    """All there is to see of a run up to `seq`, in place of what was shown; the cursor is now `(epoch, seq)`."""

    run_id: str
    epoch: int
    seq: int
    events: tuple[msgspec.Raw, ...]


class Heartbeat(msgspec.Struct, frozen=True, tag_field="type", tag="heartbeat"):
    """A sign of life. `runs` tells, for every run that is watched here, the number of its last event that was sent."""

    t: float
    runs: dict[str, int]


class Notice(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="notice"):
    """News of the server itself, such as "draining"."""

    code: str
    message: str
    grace_s: float | None = None


class Pong(msgspec.Struct, frozen=True, tag_field="type", tag="pong"):
    """The answer to `ping`."""

    t: float


ServerFrame = Welcome | Reply | EventFrame | SnapshotFrame | Heartbeat | Notice | Pong

_encoder = msgspec.json.Encoder()


def encode(frame: ServerFrame) -> str:
    """A frame as the text that is sent."""
    return _encoder.encode(frame).decode()


class Refused(Exception):
    """A command that is not carried out. `wait` is the seconds after which asking again makes sense."""

    def __init__(self, code: Code, message: str, *, wait: float | None = None) -> None:
        super().__init__(message)
        later = None if wait is None else round(wait * 1000)
        self.problem = Problem(
            code=code, message=message[:MAX_COMPLAINT], retryable=code in RETRYABLE, retry_after_ms=later
        )

    def reply(self, id: str | None, run_id: str | None = None) -> Reply:
        """What the client is told."""
        return Reply(id=id, ok=False, run_id=run_id, error=self.problem)
