"""A handler on loopback HTTP/1.1.

Theory. A `Server` owns the listening socket and one task a connection; leaving it ends them all at once.
A connection reads a request, answers it, and begins anew while both sides keep it alive; h11 holds that
state. During an answer two tasks live: one sends the response, the other reads the socket, since a client
that leaves while the handler is silent can be noticed in no other way. Bytes that come meanwhile are the
next request's and are kept by h11. The end of the client's stream counts as its leaving, so a client that
closes only its sending half is taken as gone. Whatever goes wrong in a connection ends that connection.
asyncio switches TCP_NODELAY on by itself, so each piece of a body leaves as it is written.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

import h11

from agentrt.local.handler import Cut, Handler, Request, reading

logger = logging.getLogger(__name__)

READ = 65_536
"""Bytes taken from a socket at a time, and the most read ahead of a request that is being answered."""
LINGER = 1.0
"""Seconds for which a refused client may go on sending, so that it comes to read why."""
KEPT = 10_000
"""Exchanges the log remembers."""


@dataclass(slots=True)
class Exchange:
    """One request and what became of it, written while it lasts.

    Times are the loop's clock (`time.monotonic`), in seconds. `first_byte` is the body's first byte,
    `cut` says that the client left before the response was complete.
    """

    method: str
    path: str
    started: float
    status: int | None = None
    first_byte: float | None = None
    ended: float | None = None
    cut: bool = False


class Server:
    """A handler being served; made by `serve`, alive inside its `async with`.

    Attributes:
        log: The last exchanges, in the order in which their requests were complete.
    """

    def __init__(self, handler: Handler, host: str, port: int, max_body: int) -> None:
        self.handler = handler
        self.max_body = max_body
        self.log: deque[Exchange] = deque(maxlen=KEPT)
        self._address = (host, port)
        self._group = asyncio.TaskGroup()
        self._connections: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it is to be found, without a slash at the end."""
        host, port = self._address
        return f"http://{host}:{port}"

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def __aenter__(self) -> Server:
        host, port = self._address
        await self._group.__aenter__()
        # A client whose place in the backlog is lost tries again only after a second.
        self._listening = await asyncio.start_server(self._welcome, host, port, backlog=1024)
        self._address = (host, self._listening.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()
        for connection in self._connections:
            connection.cancel()
        # The group is not told of the caller's error: it would wrap it, and no connection raises.
        await self._group.__aexit__(None, None, None)
        if listening is not None:
            await listening.wait_closed()

    def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._listening is None:  # Accepted in the very moment of leaving.
            writer.transport.abort()
            return
        connection = self._group.create_task(_Connection(self, reader, writer).live())
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)


def serve(handler: Handler, *, host: str = "127.0.0.1", port: int = 0, max_body: int = 16 * 2**20) -> Server:
    """Serve `handler` inside `async with serve(handler) as server`; port 0 takes any free one.

    A request body above `max_body` bytes is refused with 413. A handler that raises is a 500 if nothing
    was sent yet, and a cut connection otherwise.
    """
    return Server(handler, host, port, max_body)


class _Refused(Exception):
    """This request is answered by the wire itself, and the connection ends."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Gone(Exception):
    """The client left."""


class _Connection:
    """One client's connection; `live` is its life."""

    def __init__(self, server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.SERVER)
        self._now = asyncio.get_running_loop().time

    async def live(self) -> None:
        try:
            try:
                while (request := await self._request()) is not None:
                    await self._exchange(request)
                    if self._http.our_state is not h11.DONE:
                        break
                    self._http.start_next_cycle()
            except h11.RemoteProtocolError as error:
                await self._refuse(error.error_status_hint, str(error))
            except _Refused as refused:
                await self._refuse(refused.status, str(refused))
            self._writer.close()
            await self._writer.wait_closed()
        except (_Gone, OSError):
            pass
        finally:
            self._writer.transport.abort()

    async def _request(self) -> Request | None:
        """The next request in full, or None once the client has no more."""
        head = await self._event()
        if not isinstance(head, h11.Request):
            return None
        headers: dict[str, str] = {}
        for raw_name, raw_value in head.headers:
            name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        limit = self._server.max_body
        if int(headers.get("content-length", 0)) > limit:
            raise _Refused(413, f"the body may have {limit} bytes; {headers['content-length']} were announced")
        body = bytearray()
        while isinstance(piece := await self._event(), h11.Data):
            body += piece.data
            if len(body) > limit:
                raise _Refused(413, f"the body may have {limit} bytes; more came")
        path = head.target.decode("latin-1").partition("?")[0]
        return Request(head.method.decode("ascii"), path, headers, bytes(body))

    async def _event(self) -> object:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._http.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self._http.receive_data(await self._reader.read(READ))

    async def _exchange(self, request: Request) -> None:
        exchange = Exchange(request.method, request.path, self._now())
        self._server.log.append(exchange)
        try:
            async with asyncio.TaskGroup() as group:
                answering = group.create_task(self._answer(request, exchange))
                watching = group.create_task(self._watch(answering, exchange))
                answering.add_done_callback(lambda _: watching.cancel())
        finally:
            exchange.ended = self._now()

    async def _answer(self, request: Request, exchange: Exchange) -> None:
        try:
            await self._respond(request, exchange)
        except _Gone:
            exchange.cut = True
        except Cut:
            pass  # The response stays unfinished, which ends the connection.

    async def _respond(self, request: Request, exchange: Exchange) -> None:
        try:
            response = await self._server.handler(request)
            async with reading(response.body) as body:
                await self._head(response.status, response.headers)
                exchange.status = response.status
                async for piece in body:
                    if request.method != "HEAD":
                        exchange.first_byte = exchange.first_byte or self._now()
                        await self._send(h11.Data(data=piece))
                await self._send(h11.EndOfMessage())
        except (_Gone, Cut):
            raise
        except Exception:  # A client's connection is one of the four edges: its failure stays in it.
            logger.exception("the handler failed at %s %s", request.method, request.path)
            if self._http.our_state is h11.SEND_RESPONSE:
                exchange.status = 500
                await self._say(500, "the handler failed")

    async def _watch(self, answering: asyncio.Task[None], exchange: Exchange) -> None:
        """Read on until the client leaves, then stop the answer."""
        ahead = 0
        try:
            while data := await self._reader.read(READ):
                self._http.receive_data(data)
                ahead += len(data)
                if ahead > READ:  # It has to wait; unread bytes hold it back.
                    return
        except OSError:
            pass
        exchange.cut = self._http.our_state in {h11.SEND_RESPONSE, h11.SEND_BODY}
        answering.cancel()

    async def _refuse(self, status: int, reason: str) -> None:
        """Say why, then let the client finish sending: closing on unread bytes would destroy the answer."""
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            await self._say(status, reason)
        if self._writer.can_write_eof():
            self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while await self._reader.read(READ):
                    pass

    async def _say(self, status: int, text: str) -> None:
        content = text.encode()
        length = str(len(content))
        await self._head(status, {"content-type": "text/plain", "content-length": length, "connection": "close"})
        await self._send(h11.Data(data=content))
        await self._send(h11.EndOfMessage())

    async def _head(self, status: int, headers: Mapping[str, str]) -> None:
        await self._send(h11.Response(status_code=status, headers=list(headers.items())))

    async def _send(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if not data:
            return
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise _Gone from error
