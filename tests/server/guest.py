"""What the tests of the server share: a guest who talks to it, over a real socket or one in memory, and a house."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from agentrt import Agent, Runtime, tool
from agentrt.server.auth import Authenticate, ConnectionInfo
from agentrt.server.connection import Connection, Door
from agentrt.server.desk import Deps, Desk
from agentrt.server.listen import Server
from agentrt.server.settings import ServeSettings
from agentrt.testing import ScriptedModel
from tests.server.client import Client, Json

ENDS = ("RUN_FINISHED", "RUN_ERROR")


@tool(effect="read")
async def wait(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return f"waited {seconds}"


CLERK = Agent(name="clerk", model="scripted:m", tools=[wait])


def question(text: str = "hi", *, run: str = "r1", thread: str = "t1") -> Json:
    """The input of a `run.start`."""
    return {"threadId": thread, "runId": run, "messages": [{"id": "u1", "role": "user", "content": text}]}


class Guest:
    """A client that is told what to say. `runs` holds what it was shown, by run."""

    def __init__(self, send: Callable[[str], Awaitable[Any]], receive: Callable[[], Awaitable[Any]]) -> None:
        self.runs: dict[str, Client] = {}
        self.welcome: Json = {}
        self._send = send
        self._receive = receive
        self._said = 0
        self._anew = ""  # a run that is being asked for: what still comes of it was sent before

    async def say(self, kind: str, **fields: Any) -> None:
        await self._send(json.dumps({"type": kind, **fields}))

    async def read(self) -> Json:
        """The next frame."""
        text = await self._receive()
        frame: Json = json.loads(text)
        if frame["type"] in ("event", "snapshot") and frame["run_id"] != self._anew:
            self.runs.setdefault(frame["run_id"], Client()).take(text)
        return frame

    async def until(self, kind: str, **fields: Any) -> Json:
        """The next frame of that type with these fields."""
        while (frame := await self.read())["type"] != kind or any(frame.get(k) != v for k, v in fields.items()):
            pass
        return frame

    async def hello(self, **fields: Any) -> Json:
        await self.say("hello", **fields)
        self.welcome = await self.until("welcome")
        return self.welcome

    async def ask(self, kind: str, **fields: Any) -> Json:
        """The reply to a command."""
        self._said += 1
        await self.say(kind, id=str(self._said), **fields)
        return await self.until("reply", id=str(self._said))

    async def start(self, text: str = "hi", *, run: str = "r1", thread: str = "t1", **fields: Any) -> Json:
        self.runs[run] = Client()
        return await self._ask_for(run, "run.start", input=question(text, run=run, thread=thread), **fields)

    async def attach(self, run: str = "r1", cursor: Client | None = None) -> Json:
        """Watch a run from where `cursor` has got to, which goes on from there."""
        at = self.runs[run] = cursor or Client(epoch=0)
        return await self._ask_for(run, "run.attach", run_id=run, epoch=at.epoch, after=at.after)

    async def _ask_for(self, run: str, kind: str, **fields: Any) -> Json:
        self._anew = run
        reply = await self.ask(kind, **fields)
        self._anew = ""
        return reply

    async def shown(self, enough: Callable[[Client], bool], run: str = "r1") -> Client:
        """What is seen of a run once it is enough."""
        while run not in self.runs or not enough(self.runs[run]):
            await self.read()
        return self.runs[run]

    async def ended(self, run: str = "r1") -> Client:
        """What is seen of a run at its end."""
        return await self.shown(has_ended, run)


def has_ended(client: Client) -> bool:
    return any(event["type"] in ENDS for event in client.events)


def text_of(client: Client) -> str:
    return "".join(client.view.texts.values())


def code(reply: Json) -> str:
    """What a reply says no with."""
    assert reply["ok"] is False, reply
    return str(reply["error"]["code"])


# ---- in memory ---------------------------------------------------------------------------------


class Wire:
    """A socket in memory. The client's end of it: `put` and `get`; `stalled` makes it read nothing, `slow` late."""

    def __init__(self) -> None:
        self.closed: tuple[int, str] | None = None
        self.stalled = False
        self.slow = 0.0
        self.waiting = 0
        self._in: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._out: asyncio.Queue[str] = asyncio.Queue()
        self._gone = False

    async def receive(self) -> str | bytes | None:
        return await self._in.get()

    async def send(self, text: str) -> None:
        if self._gone:
            raise ConnectionError("gone")
        if self.slow:
            await asyncio.sleep(self.slow)
        if self.stalled:
            self.waiting += 1
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.waiting -= 1
        self._out.put_nowait(text)

    async def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    async def put(self, data: str | bytes) -> None:
        self._in.put_nowait(data)

    async def get(self) -> str:
        return await self._out.get()

    def go(self) -> None:
        """The client is gone."""
        self._gone = True
        self._in.put_nowait(None)


INFO = ConnectionInfo(path="/ws", headers={}, remote="127.0.0.1")


class House:
    """A server without a port: whoever comes in gets a connection over a wire."""

    def __init__(self, door: Door, runtime: Runtime, group: asyncio.TaskGroup) -> None:
        self.door = door
        self.desk = door.desk
        self.runtime = runtime
        self._group = group
        self.wires: list[Wire] = []
        self.connections: list[asyncio.Task[None]] = []

    def come(self, principal: str | None = None) -> tuple[Guest, Wire]:
        """A new connection, on which nothing was said."""
        wire = Wire()
        self.wires.append(wire)
        connection = Connection(wire, self.door, INFO, principal=principal)
        self.connections.append(self._group.create_task(connection.live()))
        return Guest(wire.put, wire.get), wire

    async def guest(self, principal: str | None = None, **hello: Any) -> Guest:
        """One that is welcome."""
        guest, _ = self.come(principal)
        await guest.hello(**hello)
        return guest


@asynccontextmanager
async def house(
    model: ScriptedModel,
    *,
    agents: Sequence[Agent[Any]] = (CLERK,),
    settings: ServeSettings | None = None,
    deps: Deps | None = None,
    authenticate: Authenticate | None = None,
    **runtime: Any,
) -> AsyncIterator[House]:
    settings = settings or ServeSettings()
    async with Runtime(providers=[model.provider("scripted")], **runtime) as held:
        desk = Desk(held, agents, deps, settings)
        door = Door(desk=desk, settings=settings, authenticate=authenticate, now=held.now, server="test")
        async with desk, asyncio.TaskGroup() as group:
            await desk.take_over()
            here = House(door, held, group)
            yield here
            for wire in here.wires:
                wire.go()


# ---- over a real socket ------------------------------------------------------------------------


@asynccontextmanager
async def visiting(
    server: Server, *, hello: bool = True, **options: Any
) -> AsyncIterator[tuple[Guest, ClientConnection]]:
    """A guest of a server that listens."""
    async with connect(server.ws_url, subprotocols=[Subprotocol("agentrt.v1")], **options) as ws:
        guest = Guest(ws.send, ws.recv)
        if hello:
            await guest.hello()
        yield guest, ws
