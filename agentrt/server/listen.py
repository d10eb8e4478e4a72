"""The door itself: sockets by `websockets`, the only file that knows that package (15 and later).

The way of a frame: `_Socket.receive` here, `Session` says what it means, `Connection` carries it out at the `Desk`,
and a viewer sends what the run's log has new.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, TypedDict, Unpack
from weakref import WeakKeyDictionary

from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from agentrt import __version__
from agentrt.agent import Agent
from agentrt.errors import SettingInvalid
from agentrt.journal.journal import Journal
from agentrt.journal.memory import MemoryJournal
from agentrt.runtime import Runtime
from agentrt.server.auth import Authenticate, ConnectionInfo, bearer, check_binding, host_allowed, origin_allowed
from agentrt.server.connection import Connection, Door
from agentrt.server.desk import Deps, Desk, by_name
from agentrt.server.files import File, Page, page_files, page_headers
from agentrt.server.protocol import INTERNAL, SUBPROTOCOL, Notice
from agentrt.server.settings import ServeSettings

logger = logging.getLogger(__name__)

PATH = "/ws"
_CLOSING = 2.0
"""Seconds for the closing handshake; then the connection is cut."""

_MAX_PONGS = 65_536
"""Bytes of pongs that a client may leave unread."""


class _Socket:
    """A connection of `websockets` as a `Socket`."""

    def __init__(self, ws: ServerConnection) -> None:
        self._ws = ws

    async def receive(self) -> str | bytes | None:
        try:
            return await self._ws.recv()
        except ConnectionClosed:
            return None

    async def send(self, text: str) -> None:
        try:
            await self._ws.send(text)
        except ConnectionClosed as closed:
            raise ConnectionError(str(closed)) from None

    async def close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(_CLOSING):
                await self._ws.close(code, reason)
        except TimeoutError:
            self._ws.transport.abort()


class Server:
    """A server that is up.

    Attributes:
        url: Address of the page.
    """

    def __init__(self, door: Door, files: Mapping[str, File], host: str, origins: Sequence[str]) -> None:
        self.url = ""
        self._door = door
        self._files = files
        self._host = host
        self._origins = origins
        self._connections: set[Connection] = set()
        self._wires: set[ServerConnection] = set()
        self._ended = False
        self._principals = WeakKeyDictionary[ServerConnection, str]()

    @property
    def ws_url(self) -> str:
        """Address of the socket."""
        return f"ws{self.url.removeprefix('http')}{PATH}"

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    @property
    def active_runs(self) -> int:
        """How many runs have not ended."""
        return self._door.desk.active

    async def drain(self, grace: float) -> None:
        """Take no new runs, and give those that run `grace` seconds to end."""
        self._door.desk.drain()
        if not self.active_runs:
            return
        for connection in self._connections:
            connection.tell(Notice(code="draining", message=f"the server stops within {grace:g} s", grace_s=grace))
        try:
            async with asyncio.timeout(grace):
                await self._door.desk.idle()
        except TimeoutError:
            pass

    def disconnect(self) -> None:
        """Have every connection closed, with the code that tells clients to come again."""
        for connection in self._connections:
            connection.end()

    def end(self) -> None:
        """Have every connection closed, and those that are about to open."""
        self._ended = True
        self.disconnect()

    # ---- what websockets calls ---------------------------------------------------------------------

    async def answer(self, ws: ServerConnection, request: Request) -> Response | None:
        """Answer a request by HTTP, or by None, which opens a socket."""
        headers = request.headers
        if any(len(headers.get_all(name)) > 1 for name in ("Host", "Origin", "Authorization")):
            return _said(HTTPStatus.BAD_REQUEST, "Host, Origin and Authorization may be given once.")
        host = headers.get("Host")
        if not host_allowed(host, self._host, self._door.settings.allowed_hosts):
            return _said(HTTPStatus.FORBIDDEN, f"This server is not called {host!r:.100}.")
        path = request.path.partition("?")[0]
        if path != PATH:
            return self._file(path, host) if getattr(request, "method", "GET") == "GET" else _no_method()
        origin = headers.get("Origin")
        if not origin_allowed(origin, host, self._origins):
            return _said(HTTPStatus.FORBIDDEN, f"Pages of {origin!r:.100} may not connect.")
        return await self._known(ws, request)

    async def _known(self, ws: ServerConnection, request: Request) -> Response | None:
        """Who says who it is in a header is heard before the socket opens."""
        authorization, authenticate = request.headers.get("Authorization"), self._door.authenticate
        if authorization is None or authenticate is None:
            return None
        token = bearer(authorization)
        principal = await authenticate(_info(ws, request), token) if token is not None else None
        if principal is None:
            response = _said(HTTPStatus.UNAUTHORIZED, "Not authorized.")
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        self._principals[ws] = principal
        return None

    def _file(self, path: str, host: str | None) -> Response:
        draining = self._door.desk.draining
        if path in ("/healthz", "/livez"):
            return _said(HTTPStatus.OK, "ok")
        if path == "/readyz":
            return _said(*((HTTPStatus.SERVICE_UNAVAILABLE, "draining") if draining else (HTTPStatus.OK, "ok")))
        file = self._files.get(path)
        if file is None:
            return _said(HTTPStatus.NOT_FOUND, "There is no such page.")
        return _response(HTTPStatus.OK, file, {**page_headers(host)})

    async def converse(self, ws: ServerConnection) -> None:
        """A client's connection: what goes wrong in it stays in it."""
        assert ws.request is not None
        principal = self._principals.pop(ws, None)
        connection = Connection(_Socket(ws), self._door, _info(ws, ws.request), principal=principal)
        self._connections.add(connection)
        if self._ended:
            connection.end()
        try:
            await connection.live()
        except Exception:
            logger.exception("connection %s failed", connection.id)
            await _Socket(ws).close(INTERNAL, f"internal error {connection.id}")
        finally:
            self._connections.discard(connection)

    def wire(self) -> type[ServerConnection]:
        """What `websockets` is to make of every connection from its first byte on: one that is cut in time."""
        wires, most = self._wires, self._door.settings.all_connections

        class Wire(ServerConnection):
            _pongs = 0

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                super().connection_made(transport)
                wires.add(self)
                if len(wires) > most:
                    self.transport.abort()

            def connection_lost(self, exc: Exception | None) -> None:
                wires.discard(self)
                super().connection_lost(exc)

            def data_received(self, data: bytes) -> None:
                """Every ping is answered here, room or no room: who reads no pongs could fill this process."""
                before = self.transport.get_write_buffer_size()
                super().data_received(data)
                after = self.transport.get_write_buffer_size()
                self._pongs = (self._pongs if before else 0) + after - before
                if self._pongs > _MAX_PONGS:
                    self.transport.abort()

        return Wire


def _info(ws: ServerConnection, request: Request) -> ConnectionInfo:
    headers = {name.lower(): value for name, value in request.headers.raw_items()}
    address = ws.remote_address
    return ConnectionInfo(path=request.path, headers=headers, remote=str(address[0]) if address else "")


def _said(status: HTTPStatus, text: str) -> Response:
    return _response(status, File(f"{text}\n".encode(), "text/plain; charset=utf-8"), {"Cache-Control": "no-store"})


def _no_method() -> Response:
    return _said(HTTPStatus.METHOD_NOT_ALLOWED, "Only GET is answered.")


def _response(status: HTTPStatus, file: File, more: dict[str, str]) -> Response:
    headers = Headers({"Content-Type": file.type, "Content-Length": str(len(file.body)), "Connection": "close", **more})
    return Response(status.value, status.phrase, headers, file.body)


def _subprotocol(_ws: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Ours if it is offered; who offers none is taken to mean it, and who offers only others is told so by none."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None


class ServeOptions(TypedDict, total=False):
    """What `serve` takes besides the agents.

    Args:
        host: Address to bind, "127.0.0.1" by default. One that others can reach needs `authenticate`.
        port: 8080 by default; 0 is any free one.
        deps: An async function of the principal and the run's metadata; makes what tools get as `Context.deps`.
        runtime: The Runtime whose runs these are; else the one around the call, else one of the server's own.
        journal: Of the server's own Runtime: "memory", or a file as in "sqlite:chat.db".
        authenticate: An async function of a connection and its token; names the principal, or is None to refuse.
        allowed_origins: Pages that may connect besides the server's own, such as "https://app.example.org"; "*" is
            all of them.
        page: Whether the page is served, or what is to stand on it.
        settings: Times and limits.
    """

    host: str
    port: int
    deps: Deps | None
    runtime: Runtime | None
    journal: Journal | str
    authenticate: Authenticate | None
    allowed_origins: Sequence[str]
    page: Page | bool
    settings: ServeSettings | None


@asynccontextmanager
async def serving(
    agent: Agent[Any] | Sequence[Agent[Any]], **options: Unpack[ServeOptions]
) -> AsyncGenerator[Server, None]:
    """Agents behind a socket, for as long as the block runs; takes what `serve` takes. Port 0 is any free one."""
    agents = by_name(agent)
    host, settings = options.get("host", "127.0.0.1"), options.get("settings") or ServeSettings()
    authenticate, page = options.get("authenticate"), options.get("page", True)
    check_binding(host, authenticate)
    if not 0 <= (port := options.get("port", 8080)) <= 65_535:
        raise SettingInvalid(f"port={port}: expected 0 to 65535")
    async with _runtime(options.get("runtime"), options.get("journal", "memory")) as held:
        for one in agents:
            held.check(one)
        desk = Desk(held, agents, options.get("deps"), settings)
        door = Door(
            desk=desk, settings=settings, authenticate=authenticate, now=held.now, server=f"agentrt/{__version__}"
        )
        files = page_files(page if isinstance(page, Page) else Page(), tuple(desk.agents)) if page else {}
        server = Server(door, files, host, options.get("allowed_origins", ()))
        async with desk, _bound(server, host, port, settings) as listener:
            await desk.take_over()
            await listener.start_serving()
            yield server


@asynccontextmanager
async def _runtime(given: Runtime | None, journal: Journal | str) -> AsyncGenerator[Runtime, None]:
    """The Runtime to use: the one given, the one around, or one of our own."""
    held = given or Runtime.current()
    if held is not None:
        yield held
        return
    kept = journal != "memory" and not isinstance(journal, MemoryJournal)
    async with Runtime(journal=journal, on_exit="suspend" if kept else "cancel") as own:
        yield own


@asynccontextmanager
async def _bound(
    server: Server, host: str, port: int, settings: ServeSettings
) -> AsyncGenerator[WebSocketServer, None]:
    """Have the port, without taking connections yet; on leaving, close them and it."""
    listener = listen(
        server.converse,
        host,
        port,
        process_request=server.answer,
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        select_subprotocol=_subprotocol,
        create_connection=server.wire(),
        server_header=None,
        compression=settings.compression,
        open_timeout=settings.hello_timeout,
        close_timeout=_CLOSING,
        ping_interval=20,
        ping_timeout=20,
        max_size=settings.max_message,
        max_queue=8,
        write_limit=32_768,
        start_serving=False,
    )
    try:
        up = await listener
    except OSError as error:
        raise _not_bound(error, host, port) from error
    try:
        server.url = _url(host, up)
        yield up
    finally:
        try:
            await server.drain(settings.grace)
        finally:
            server.end()
            up.close(close_connections=False)
            with suppress(TimeoutError):  # somebody opened a connection and says nothing
                async with asyncio.timeout(2 * _CLOSING):
                    await up.wait_closed()


def _url(host: str, up: WebSocketServer) -> str:
    port = next(iter(up.sockets)).getsockname()[1]
    name = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - where to reach it
    return f"http://{f'[{name}]' if ':' in name and not name.startswith('[') else name}:{port}"


def _not_bound(error: OSError, host: str, port: int) -> SettingInvalid:
    """What to do about a port that cannot be had."""
    if error.errno == errno.EADDRINUSE:
        return SettingInvalid(
            f"port {port} of {host} is in use by another program (or this one, twice): stop that, or take another port"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return SettingInvalid(f"port {port} of {host} may not be opened by this user: take one above 1023")
    return SettingInvalid(f"cannot listen on {host}, port {port}: {error.strerror or error}")


async def serve(
    agent: Agent[Any] | Sequence[Agent[Any]],
    *,
    ready: Callable[[str], None] | None = None,
    **options: Unpack[ServeOptions],
) -> None:
    """Serve agents by WebSocket, and the page, until cancelled.

    Runs belong to the Runtime: a client that goes away does not stop them. On the way out no new runs are taken,
    those that run have the settings' grace to end, and every client is told to come again; what was cut off is taken
    up at the next start, if the journal is on disk.

    Args:
        agent: An Agent, or several; a client names the one it means, the first being the default.
        ready: Called with the page's address once connections are taken.
        options: See `ServeOptions`.

    Raises:
        SettingInvalid: a port that cannot be had, an address that others can reach without `authenticate`, agents
            of one name.
        ProviderUnknown, KeyMissing: an agent's model cannot be asked.
        JournalFailed: the journal cannot be read.
    """
    async with serving(agent, **options) as server:
        if ready is not None:
            ready(server.url)
        await asyncio.get_running_loop().create_future()
