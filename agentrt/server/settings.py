"""What a server allows and how long it waits: figures that an operator may change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentrt.errors import SettingInvalid
from agentrt.server.protocol import MAX_FRAME

_MAY_BE_ZERO = ("tick", "grace", "replay_ttl", "approval_linger")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Times are seconds, sizes bytes.

    Args:
        tick: What happens in a run within this time leaves as one frame; 0 is at once.
        heartbeat: A sign of life after this long without any other frame.
        hello_timeout: How long a new connection may take to say hello and be let in.
        slow_client_timeout: How long a client may leave a frame unread before it is put off; it may resume.
        grace: How long running runs may take to end when the server stops.
        approval_linger: How long a run waits where it is for people, after the last who could decide has left.
        approval_timeout: How long a call is waited for by a run that somebody watches; then the run rests. The call is
            not denied: an answer that comes later counts as well.
        max_message: Size of a client's frame.
        max_frame: Size at which a frame of events is full; one event alone may be larger.
        commands: Commands a second, of one connection.
        connections: Of one principal. Without `authenticate`, everybody is one principal.
        runs: Active runs of one principal.
        all_runs: Active runs of the whole server.
        all_connections: Of the whole server, from their first byte on. Keep it well below the number of descriptors
            that the process may have open, which runs need too.
        replay_ttl: How long a run that has ended is kept in memory, to be shown as it was seen.
        replay_max_bytes: How much of a run is kept in memory; who is further behind gets a snapshot.
        replay_all_bytes: How much of all runs that have ended is kept; the oldest go first. The journal has them.
        allowed_hosts: Names by which a server on loopback may be called besides its own, as behind a proxy.
        compression: "deflate" saves bytes on slow links, at a cost in CPU and memory of each connection.

    Raises:
        SettingInvalid: a figure that is not above zero.
    """

    tick: float = 0.02
    heartbeat: float = 15.0
    hello_timeout: float = 5.0
    slow_client_timeout: float = 30.0
    grace: float = 5.0
    approval_linger: float = 30.0
    approval_timeout: float = 600.0
    max_message: int = MAX_FRAME
    max_frame: int = 32_768
    commands: int = 20
    connections: int = 20
    runs: int = 8
    all_runs: int = 256
    all_connections: int = 500
    replay_ttl: float = 300.0
    replay_max_bytes: int = 4_194_304
    replay_all_bytes: int = 67_108_864
    allowed_hosts: tuple[str, ...] = ()
    compression: Literal["deflate"] | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not isinstance(value, int | float):
                continue
            if value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
                least = "0 or more" if name in _MAY_BE_ZERO else "more than 0"
                raise SettingInvalid(f"ServeSettings({name}={value}): expected {least}")
