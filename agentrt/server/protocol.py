"""The frames of `agentrt.v1`: what client and server say to each other. Pure.

One JSON object is one WebSocket text frame. Frames have a dotted lower-case `type` and snake_case names; what
travels inside of `event` and `snapshot` are AG-UI events with names of their own, which never meet ours. Additions
only: who reads ignores types and fields that it does not know. Only a client's frame of an unknown type is answered,
by a `reply` with the code `unknown_type`, so that an older server can be met by a newer client.

A run's cursor is `(epoch, after)`: the epoch of the run's owner and the number of the last event that was processed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

VERSION = "1.0"
SUBPROTOCOL = "agentrt.v1"
AGUI_VERSION = "1.0"

MAX_FRAME = 262_144
"""Bytes of a client's frame."""

MAX_ID = 200
"""Characters of an id, all of them printable."""

MAX_RESUME = 64
"""Runs that a `hello` may resume."""

MAX_COMPLAINT = 500
"""Characters of what a client is told is wrong: what it sent may be quoted there, and may be long."""

Code = Literal[
    "invalid_frame",
    "invalid_input",
    "unknown_type",
    "unauthorized",
    "no_such_run",
    "no_such_agent",
    "run_finished",
    "run_conflict",
    "too_many_runs",
    "rate_limited",
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


Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]

# ---- client to server --------------------------------------------------------------------------


class Cursor(msgspec.Struct, frozen=True):
    """Where a client stands in a run; `after` 0 is before its first event."""

    run_id: str
    epoch: Count = 0
    after: Count = 0


class Auth(msgspec.Struct, frozen=True):
    """How a client says who it is."""

    scheme: Literal["bearer"] = "bearer"
    token: str = msgspec.field(default="")


class ClientInfo(msgspec.Struct, frozen=True):
    """Which program a client is, for logs."""

    name: str = ""
    version: str = ""


class Hello(msgspec.Struct, frozen=True, tag_field="type", tag="hello"):
    """The first frame of a connection.

    `resume` attaches to runs as `run.attach` does; only those that cannot be attached to are answered, by a `reply`
    with no `id` and the run's.
    """

    protocol: str = VERSION
    auth: Auth | None = None
    client: ClientInfo = ClientInfo()
    features: tuple[str, ...] = ()
    resume: Annotated[tuple[Cursor, ...], msgspec.Meta(max_length=MAX_RESUME)] = ()


class RunAgentInput(msgspec.Struct, frozen=True, rename="camel"):
    """AG-UI's own request. `state`, `context` and `forwardedProps` are read by nobody yet."""

    thread_id: str
    run_id: str
    messages: tuple[dict[str, Any], ...]
    tools: tuple[dict[str, Any], ...] = ()


class StartOptions(msgspec.Struct, frozen=True):
    """How a run is to be held.

    `history` "server": the thread's history is the server's, `messages` are the new turn. "client": `messages` are
    the whole conversation, and the server remembers none of it.
    """

    on_disconnect: Literal["detach", "cancel"] = "detach"
    history: Literal["server", "client"] = "server"
    if_busy: Literal["queue", "reject"] = "queue"


class RunStart(msgspec.Struct, frozen=True, tag_field="type", tag="run.start"):
    """Start a run, or attach to the one of that id: sending it twice is sending it once."""

    id: str
    input: RunAgentInput
    agent: str | None = None
    options: StartOptions = StartOptions()


class RunAttach(msgspec.Struct, frozen=True, tag_field="type", tag="run.attach"):
    """Watch a run from a cursor on."""

    id: str
    run_id: str
    epoch: Count = 0
    after: Count = 0


class RunDetach(msgspec.Struct, frozen=True, tag_field="type", tag="run.detach"):
    """Watch it no more."""

    id: str
    run_id: str


class RunCancel(msgspec.Struct, frozen=True, tag_field="type", tag="run.cancel"):
    """Stop a run."""

    id: str
    run_id: str
    reason: str = "user"


class Ping(msgspec.Struct, frozen=True, tag_field="type", tag="ping"):
    """Answered by a `pong` with the same `t`."""

    t: float = 0


Command = RunStart | RunAttach | RunDetach | RunCancel
"""What is answered by a `reply`."""

ClientFrame = Hello | Command | Ping

TYPES = ("hello", "run.start", "run.attach", "run.detach", "run.cancel", "ping")
"""What a client's frame may be."""

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

# ---- text to frames and back -------------------------------------------------------------------

_encoder = msgspec.json.Encoder()
_client_frame: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)


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


def decode(text: str) -> ClientFrame | Reply:
    """What a client said, or the reply that tells it what is wrong with that."""
    try:
        frame = _client_frame.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        return _complaint(text, error)
    if wrong := _wrong_id(frame):
        return Refused("invalid_frame", wrong).reply(_id_of(frame))
    return frame


def _complaint(text: str, error: Exception) -> Reply:
    try:
        raw = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.ValidationError as other:
        return Refused("invalid_frame", f"expected a JSON object: {other}").reply(None)
    except msgspec.DecodeError as broken:
        return Refused("invalid_frame", f"expected a JSON object, and this is not JSON: {broken}").reply(None)
    except RecursionError:
        return Refused("invalid_frame", "expected a JSON object, and this is nested too deeply to be read").reply(None)
    kind, asked = raw.get("type"), raw.get("id")
    asked = asked if isinstance(asked, str) and is_id(asked) else None
    if not isinstance(kind, str):
        text = f'type: expected a text such as "run.start", got {type(kind).__name__}'
        return Refused("invalid_frame", text).reply(asked)
    if kind not in TYPES:
        text = f'no frame has the type "{kind[:MAX_ID]}"; known are {", ".join(TYPES)}'
        return Refused("unknown_type", text).reply(asked)
    return Refused("invalid_frame", f"{kind}: {error}").reply(asked)


def is_id(text: str) -> bool:
    """Whether this can be the id of a command, a run or a thread."""
    return 0 < len(text) <= MAX_ID and text.isprintable()


def _id_of(frame: ClientFrame) -> str | None:
    asked = None if isinstance(frame, Hello | Ping) else frame.id
    return asked if asked is not None and is_id(asked) else None


def _wrong_id(frame: ClientFrame) -> str | None:
    """What is wrong with the ids in a frame, if something is."""
    ids: dict[str, str] = {}
    match frame:
        case Hello():
            ids = {f"resume[{n}].run_id": cursor.run_id for n, cursor in enumerate(frame.resume)}
        case RunStart():
            ids = {"id": frame.id, "input.runId": frame.input.run_id, "input.threadId": frame.input.thread_id}
        case RunAttach() | RunDetach() | RunCancel():
            ids = {"id": frame.id, "run_id": frame.run_id}
        case Ping():
            pass
    for name, given in ids.items():
        if not is_id(given):
            got = "others" if 0 < len(given) <= MAX_ID else str(len(given))
            return f"{name}: expected 1 to {MAX_ID} printable characters, got {got}"
    return None
