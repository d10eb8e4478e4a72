"""What clients of `agentrt.v1` say, and how it is read. Pure.

Fields that nobody here knows are left alone, and a frame of an unknown type is answered by a `reply` with the code
`unknown_type`, so that an older server can be met by a newer client.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from agentrt.events import StopMode, When
from agentrt.server.protocol import VERSION, Refused, Reply

MAX_ID = 200
"""Characters of an id, all of them printable."""

MAX_RESUME = 64
"""Runs that a `hello` may resume."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]

# ---- frames ------------------------------------------------------------------------------------


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

    `if_busy` says what becomes of a turn for a thread that has a run: it waits for its end, is refused, or is said into
    that run, which is then the one that the reply names. In a thread that the server does not know, none is busy.
    """

    on_disconnect: Literal["detach", "cancel"] = "detach"
    history: Literal["server", "client"] = "server"
    if_busy: Literal["queue", "reject", "steer"] = "queue"


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
    """Stop a run: at once, when the tools have returned that run, or when the model's reply and its calls are through.

    One that rests ends at once.
    """

    id: str
    run_id: str
    reason: str = "user"
    mode: StopMode = "now"


class ToolCancel(msgspec.Struct, frozen=True, tag_field="type", tag="tool.cancel"):
    """Stop one call, and let the run go on. One that waits for somebody is denied, or fails."""

    id: str
    run_id: str
    tool_call_id: str
    reason: str = ""


class ApprovalRespond(msgspec.Struct, frozen=True, tag_field="type", tag="approval.respond"):
    """Decide about a call that waits for it. `note` is told to the model where the call is denied.

    `edited_args` is for later: whoever gives it is told so.
    """

    id: str
    run_id: str
    approval_id: str
    decision: Literal["approve", "deny", "cancel_run"]
    note: str = ""
    edited_args: Any = None


class ToolResult(msgspec.Struct, frozen=True, tag_field="type", tag="tool.result"):
    """The result of a call that the client ran; or `error`, what went wrong, in its place."""

    id: str
    run_id: str
    tool_call_id: str
    content: str = ""
    error: str | None = None


class Words(msgspec.Struct, frozen=True):
    """What the user says: a text, or AG-UI's parts of one. Under the same id it is said once."""

    id: str
    content: str | tuple[dict[str, Any], ...]


class RunSteer(msgspec.Struct, frozen=True, tag_field="type", tag="run.steer"):
    """Say something into a run: the model hears it with its next turn, or now, which stops what goes on."""

    id: str
    run_id: str
    message: Words
    when: When = "next_step"


class Ping(msgspec.Struct, frozen=True, tag_field="type", tag="ping"):
    """Answered by a `pong` with the same `t`."""

    t: float = 0


Reaching = RunCancel | ToolCancel | ApprovalRespond | ToolResult | RunSteer
"""What is said to a run."""

Command = RunStart | RunAttach | RunDetach | Reaching
"""What is answered by a `reply`."""

ClientFrame = Hello | Command | Ping

TYPES = (
    "hello",
    "run.start",
    "run.attach",
    "run.detach",
    "run.cancel",
    "tool.cancel",
    "approval.respond",
    "tool.result",
    "run.steer",
    "ping",
)
"""What a client's frame may be."""

# ---- from text ---------------------------------------------------------------------------------

_client_frame: msgspec.json.Decoder[ClientFrame] = msgspec.json.Decoder(ClientFrame)


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
    """Whether this can be an id: of a command, a run, a thread, a call or a message."""
    return 0 < len(text) <= MAX_ID and text.isprintable()


def _id_of(frame: ClientFrame) -> str | None:
    asked = None if isinstance(frame, Hello | Ping) else frame.id
    return asked if asked is not None and is_id(asked) else None


def _wrong_id(frame: ClientFrame) -> str | None:
    """What is wrong with the ids in a frame, if something is."""
    for name, given in _ids(frame).items():
        if not is_id(given):
            got = "others" if 0 < len(given) <= MAX_ID else str(len(given))
            return f"{name}: expected 1 to {MAX_ID} printable characters, got {got}"
    return None


def _ids(frame: ClientFrame) -> dict[str, str]:
    """The ids in a frame, by where they stand."""
    match frame:
        case Hello():
            return {f"resume[{n}].run_id": cursor.run_id for n, cursor in enumerate(frame.resume)}
        case RunStart():
            return {"id": frame.id, "input.runId": frame.input.run_id, "input.threadId": frame.input.thread_id}
        case RunAttach() | RunDetach() | RunCancel():
            return {"id": frame.id, "run_id": frame.run_id}
        case ToolCancel() | ToolResult():
            return {"id": frame.id, "run_id": frame.run_id, "tool_call_id": frame.tool_call_id}
        case ApprovalRespond():
            return {"id": frame.id, "run_id": frame.run_id, "approval_id": frame.approval_id}
        case RunSteer():
            return {"id": frame.id, "run_id": frame.run_id, "message.id": frame.message.id}
        case Ping():
            return {}
