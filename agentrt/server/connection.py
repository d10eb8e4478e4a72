"""One connection: reads what the client says, carries out what its session orders, keeps its viewers.

Theory: three kinds of tasks stand side by side: the reader, the clock, and a viewer for each run that is watched. All
of them end when somebody calls the connection over: the reader at the end of what comes, the session by a `Close`, a
send that waits too long, or the server. Sending is what holds a slow client's tasks up, and nobody else's. Of the
transport no more is known than `Socket`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol
from uuid import uuid4

from agentrt.server.auth import Authenticate, ConnectionInfo
from agentrt.server.commands import Command, Cursor, Hello, RunAttach, RunDetach, RunStart
from agentrt.server.desk import Desk
from agentrt.server.protocol import (
    RESTART,
    SLOW_CONSUMER,
    TOO_MANY,
    Limits,
    Notice,
    Refused,
    Reply,
    ServerFrame,
    Welcome,
    encode,
)
from agentrt.server.reach import reach
from agentrt.server.session import Close, Greet, Order, Resume, Send, Session
from agentrt.server.settings import ServeSettings
from agentrt.server.shows import Show
from agentrt.server.viewers import view

_BEYOND = 2**53
"""A number that no event has: a viewer who stands there is shown all anew."""


class Socket(Protocol):
    """What a connection stands on."""

    async def receive(self) -> str | bytes | None:
        """The next frame; None when nothing more will come."""
        ...

    async def send(self, text: str) -> None:
        """Send a frame; returns once there is room for another one.

        Raises:
            ConnectionError: it is closed.
        """
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close it, within moments, whatever the other side does."""
        ...


@dataclass(frozen=True, kw_only=True)
class Door:
    """What all connections of a server have in common. `now` is seconds since 1970, `guests` how many each has."""

    desk: Desk
    settings: ServeSettings
    authenticate: Authenticate | None
    now: Callable[[], float]
    server: str
    guests: Counter[str | None] = field(default_factory=Counter[str | None])


class Connection:
    """One client, from its first frame to its last. `principal` is who it is, if that is known already."""

    def __init__(self, socket: Socket, door: Door, info: ConnectionInfo, *, principal: str | None = None) -> None:
        self.id = f"s_{uuid4().hex[:12]}"
        self._socket = socket
        self._door = door
        self._info = info
        self._principal = principal
        self._counted = False
        self._attends = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._viewers: dict[str, asyncio.Task[None]] = {}
        self._now = door.now
        self._session = Session(door.settings, self._now())
        self._over: asyncio.Future[Close | None] = asyncio.get_running_loop().create_future()
        self._group: asyncio.TaskGroup | None = None

    async def live(self) -> None:
        """Talk until it is over, then close."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._tasks |= {group.create_task(self._read()), group.create_task(self._tick())}
                end = await self._over
                for task in (*self._tasks, *self._viewers.values()):
                    task.cancel()
            if end is not None:
                await self._socket.close(end.code, end.reason)
        finally:
            self._door.desk.gone(self)
            if self._counted:
                guests = self._door.guests
                guests[self._principal] -= 1
                if not guests[self._principal]:
                    del guests[self._principal]

    def end(self, code: int = RESTART, reason: str = "restart") -> None:
        """Have it closed."""
        self._call_over(Close(code, reason))

    def tell(self, notice: Notice) -> None:
        """Have news of the server sent."""
        if self._session.is_open and self._group is not None and not self._over.done():
            self._tasks.add(self._group.create_task(self._send(notice)))

    def _call_over(self, end: Close | None) -> None:
        if not self._over.done():
            self._over.set_result(end)

    # ---- in ----------------------------------------------------------------------------------------

    async def _read(self) -> None:
        while (data := await self._socket.receive()) is not None:
            await self._carry_out(self._session.receive(data, self._now()))
        self._call_over(None)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._session.due - self._now()))
            await self._carry_out(self._session.tick(self._now()))

    async def _carry_out(self, orders: list[Order]) -> None:
        for order in orders:
            match order:
                case Send():
                    await self._send(order.frame)
                case Close():
                    self._call_over(order)
                case Greet():
                    await self._carry_out(await self._greet(order.hello))
                case Resume():
                    await self._resume(order.cursor)
                case _:
                    await self._obey(order)

    async def _greet(self, hello: Hello) -> list[Order]:
        door = self._door
        if self._principal is None and door.authenticate is not None:
            self._principal = await door.authenticate(self._info, hello.auth.token if hello.auth else None)
            if self._principal is None:
                return self._session.refuse()
        if door.guests[self._principal] >= door.settings.connections:
            return self._session.refuse(TOO_MANY, f"expected up to {door.settings.connections} connections")
        door.guests[self._principal] += 1
        self._counted = True
        self._attends = "inline_approvals" in hello.features
        return self._session.welcome(self._welcome())

    def _welcome(self) -> Welcome:
        settings = self._door.settings
        return Welcome(
            session_id=self.id,
            heartbeat_s=settings.heartbeat,
            server=self._door.server,
            principal=self._principal,
            agents=tuple(self._door.desk.agents),
            limits=Limits(
                max_message_bytes=settings.max_message,
                max_active_runs=settings.runs,
                replay_ttl_s=settings.replay_ttl,
                replay_max_bytes=settings.replay_max_bytes,
            ),
            capabilities={
                "transport": {"websocket": True, "resumable": True, "streaming": True},
                "tools": {"parallelCalls": True},
                "humanInTheLoop": {"approvals": True, "interrupts": True, "interventions": True},
            },
        )

    async def _resume(self, cursor: Cursor) -> None:
        try:
            self._watch(cursor, await self._door.desk.find(self._principal, cursor.run_id))
        except Refused as refused:
            await self._send(refused.reply(None, cursor.run_id))

    async def _obey(self, command: Command) -> None:
        desk, who = self._door.desk, self._principal
        try:
            match command:
                case RunStart():
                    show, existing = await desk.start(who, command, self)
                    await self._begun(command, show, existing=existing)
                case RunAttach():
                    show = await desk.find(who, command.run_id)
                    await self._show(command.id, Cursor(command.run_id, command.epoch, command.after), show)
                case RunDetach():
                    await desk.find(who, command.run_id)
                    self._unwatch(command.run_id)
                    await self._send(Reply(id=command.id, ok=True, run_id=command.run_id))
                case _:
                    resumed = await reach(desk, who, command)
                    if resumed is not None:
                        await self._show(command.id, Cursor(command.run_id, after=_BEYOND), resumed)
                    else:
                        await self._send(Reply(id=command.id, ok=True, run_id=command.run_id))
        except Refused as refused:
            await self._send(refused.reply(command.id))

    # ---- out ---------------------------------------------------------------------------------------

    async def _begun(self, command: RunStart, show: Show, *, existing: bool) -> None:
        """Show the run of a `run.start`; if that was said into another run, which is watched, it goes on as it does."""
        run_id = show.log.run_id
        if run_id == command.input.run_id or run_id not in self._viewers:
            await self._show(command.id, Cursor(run_id), show, existing=existing)
        else:
            await self._send(_where(command.id, show, existing))

    async def _show(self, id: str, cursor: Cursor, show: Show, *, existing: bool | None = None) -> None:
        """Say where the run stands, then show it."""
        self._unwatch(cursor.run_id)
        with self._attending(show):
            await self._send(_where(id, show, existing))
            self._watch(cursor, show)

    def _attending(self, show: Show) -> AbstractContextManager[None]:
        return show.attended() if self._attends else nullcontext()

    def _watch(self, cursor: Cursor, show: Show) -> None:
        assert self._group is not None
        self._unwatch(cursor.run_id)
        self._session.shown[cursor.run_id] = min(cursor.after, show.log.head)
        name = f"viewer of {cursor.run_id} on {self.id}"
        attending = self._attending(show)
        attending.__enter__()
        viewer = self._group.create_task(self._viewer(cursor, show), name=name)
        viewer.add_done_callback(lambda _: attending.__exit__(None, None, None))
        self._viewers[cursor.run_id] = viewer

    def _unwatch(self, run_id: str) -> None:
        if viewer := self._viewers.pop(run_id, None):
            viewer.cancel()
        self._session.shown.pop(run_id, None)

    async def _viewer(self, cursor: Cursor, show: Show) -> None:
        run_id = cursor.run_id

        async def send(text: str, last: int) -> None:
            await self._send_text(text)
            self._session.shown[run_id] = last

        await view(show, cursor, send, max_bytes=self._door.settings.max_frame)
        del self._viewers[run_id]
        del self._session.shown[run_id]

    async def _send(self, frame: ServerFrame) -> None:
        await self._send_text(encode(frame))

    async def _send_text(self, text: str) -> None:
        try:
            async with asyncio.timeout(self._door.settings.slow_client_timeout):
                await self._socket.send(text)
        except TimeoutError:
            self._call_over(Close(SLOW_CONSUMER, "slow consumer"))
            await self._forever()
        except ConnectionError:
            self._call_over(None)
            await self._forever()
        self._session.sent(self._now())

    async def _forever(self) -> None:
        """Until this task is cancelled, which is a matter of a moment: the connection is over."""
        await asyncio.get_running_loop().create_future()


def _where(id: str, show: Show, existing: bool | None) -> Reply:
    """The reply that says where a run stands."""
    next_seq = show.log.head + 1
    return Reply(id=id, ok=True, run_id=show.log.run_id, existing=existing, epoch=show.epoch, next_seq=next_seq)
