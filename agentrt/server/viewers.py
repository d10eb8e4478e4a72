"""A viewer: a cursor into a run's log, and whoever reads there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agentrt.server.commands import Cursor
from agentrt.server.shows import Show

Sender = Callable[[str, int], Awaitable[None]]
"""Sends a frame and the number of its last event; returns once there is room for another one."""


async def view(show: Show, cursor: Cursor, send: Sender, *, max_bytes: int) -> None:
    """Show a run from the cursor on, to its end. What cannot be replayed is replaced by a snapshot."""
    log, after = show.log, cursor.after
    if not show.replays(cursor):
        while log.epoch < show.epoch and not show.over:  # a snapshot tells the epoch that is to go on
            await show.changed()
        after = log.head
        await send(log.snapshot(), after)
    while True:
        while frame := log.frame(after, max_bytes):
            text, after = frame
            await send(text, after)
        if show.over:
            return
        await show.changed()
