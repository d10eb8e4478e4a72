"""One client's conversation: what it says in, what is to be done out. No I/O; told the time.

Theory: a session is fresh until hello, greeting until it is known who speaks, then open, and closed once it has said
`Close`. The frames that are to be sent and the commands that are to be carried out come as orders, in order; whoever
carries them out reports what was sent, so that the session knows when it has been silent for too long.
Times are seconds since 1970.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from agentrt.gate.bucket import Bucket
from agentrt.server.commands import Command, Cursor, Hello, Ping, decode
from agentrt.server.protocol import (
    BAD_FRAME,
    BINARY,
    HELLO_TIMEOUT,
    TOO_MANY,
    UNAUTHORIZED,
    VERSION,
    WRONG_VERSION,
    Heartbeat,
    Pong,
    Refused,
    Reply,
    ServerFrame,
    Welcome,
)
from agentrt.server.settings import ServeSettings

BAD_FRAMES = 3
"""In a row; then the client is not one of ours."""

STRIKES = 3
"""Frames beyond the rate; forgotten when the client has been quiet for a second."""


class Send(msgspec.Struct, frozen=True):
    """Send this frame."""

    frame: ServerFrame


class Greet(msgspec.Struct, frozen=True):
    """Find out who this is, and call `welcome` or `refuse`."""

    hello: Hello


class Resume(msgspec.Struct, frozen=True):
    """Show this run from there on, as hello asked."""

    cursor: Cursor


class Close(msgspec.Struct, frozen=True):
    """Close the connection."""

    code: int
    reason: str


Order = Send | Greet | Resume | Command | Close


class Session:
    """The state of one conversation.

    Attributes:
        shown: The runs that are watched, and the number of the last event of each that was sent.
    """

    def __init__(self, settings: ServeSettings, now: float) -> None:
        self.shown: dict[str, int] = {}
        self._settings = settings
        self._state: Literal["fresh", "greeting", "open", "closed"] = "fresh"
        self._until = now + settings.hello_timeout
        self._sent_at = now
        self._rate = Bucket(settings.commands, settings.commands)
        self._strikes = 0
        self._bad = 0
        self._resume: tuple[Cursor, ...] = ()

    def receive(self, data: str | bytes, now: float) -> list[Order]:
        """A frame came."""
        if self._state == "closed":
            return []
        if isinstance(data, bytes):
            return self._close(BINARY, "expected text frames")
        frame = decode(data)
        if self._rate.level(now) >= self._settings.commands:
            self._strikes = 0
        if (wait := self._rate.wait(1, now)) > 0:
            return self._too_fast(frame, wait)
        self._rate.take(1, now)
        if isinstance(frame, Reply):
            return self._complain(frame)
        if isinstance(frame, Hello):
            return self._greet(frame)
        if self._state != "open":
            return self._close(BAD_FRAME, "expected hello as the first frame")
        self._bad = 0
        return [Send(Pong(t=frame.t))] if isinstance(frame, Ping) else [frame]

    def _too_fast(self, frame: object, wait: float) -> list[Order]:
        self._strikes += 1
        if self._strikes >= STRIKES:
            return self._close(TOO_MANY, f"more than {self._settings.commands} commands a second")
        text = f"expected up to {self._settings.commands} commands a second"
        return [Send(Refused("rate_limited", text, wait=wait).reply(getattr(frame, "id", None)))]

    def _complain(self, reply: Reply) -> list[Order]:
        if reply.error is not None and reply.error.code == "unknown_type":
            return [Send(reply)]  # it is newer than we are
        self._bad += 1
        if self._bad < BAD_FRAMES:
            return [Send(reply)]
        return [Send(reply), *self._close(BAD_FRAME, f"{BAD_FRAMES} bad frames in a row")]

    def _greet(self, hello: Hello) -> list[Order]:
        if self._state != "fresh":
            again = Refused("invalid_frame", "hello: it was said before on this connection")
            return self._complain(again.reply(None))
        if hello.protocol.partition(".")[0] != VERSION.partition(".")[0]:
            return self._close(WRONG_VERSION, f'expected protocol {VERSION}, got "{hello.protocol[:20]}"')
        self._state, self._bad = "greeting", 0
        self._resume = hello.resume
        return [Greet(hello)]

    def welcome(self, welcome: Welcome) -> list[Order]:
        """It is known who speaks, and may."""
        if self._state != "greeting":
            return []
        self._state = "open"
        newest = {cursor.run_id: cursor for cursor in self._resume}
        return [Send(welcome), *(Resume(cursor) for cursor in newest.values())]

    def refuse(self, code: int = UNAUTHORIZED, reason: str = "not authorized") -> list[Order]:
        """It may not."""
        return self._close(code, reason)

    @property
    def is_open(self) -> bool:
        """Whether the client was welcomed."""
        return self._state == "open"

    def sent(self, now: float) -> None:
        """A frame has left."""
        self._sent_at = now

    @property
    def due(self) -> float:
        """When to call `tick`."""
        return self._sent_at + self._settings.heartbeat if self._state == "open" else self._until

    def tick(self, now: float) -> list[Order]:
        """Time has passed."""
        if now < self.due or self._state == "closed":
            return []
        if self._state != "open":
            return self._close(HELLO_TIMEOUT, f"expected hello within {self._settings.hello_timeout:g} s")
        self._sent_at = now  # whether or not it leaves at once, the next one is not due before
        return [Send(Heartbeat(t=round(now * 1000), runs=dict(self.shown)))]

    def _close(self, code: int, reason: str) -> list[Order]:
        self._state = "closed"
        return [Close(code, reason)]
