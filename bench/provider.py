"""A provider for benchmarks: a process of its own that speaks streamed Chat Completions, and little else.

It must never be the bottleneck, so it is an `asyncio.Protocol` over bytes made beforehand. The reply
follows from the request: a model named "turns-5-tokens-20" asks for one call of `tool` until the
conversation holds five results, then answers with twenty tokens; "calls-10" asks for ten calls at once, and
"wait-10" lets every reply begin after 10 ms. "trickle-1000" answers with tokens 10 ms apart and
"trickle-pause-50" with tokens 50 ms apart, for as long as the client listens; when a client closes such a connection,
the clock of `time.monotonic` is put into the log.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
TAIL = b"0\r\n\r\n"


def sse(choice: dict[str, object] | None, usage: dict[str, int] | None = None) -> bytes:
    """One Server-Sent Event, as one HTTP chunk."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "bench",
        "choices": [] if choice is None else [{"index": 0, "finish_reason": None, **choice}],
        "usage": usage,
    }
    data = b"data: " + json.dumps(body).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(data), data)


DONE = b"e\r\ndata: [DONE]\n\n\r\n"
TOKEN = sse({"delta": {"content": "token "}})
USAGE = sse(None, {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120})


def call(index: int, turn: int) -> bytes:
    """One tool call, its arguments in two pieces."""
    start = {"index": index, "id": f"call_{turn}_{index}", "type": "function"}
    first = {**start, "function": {"name": "tool", "arguments": ""}}
    rest = {"index": index, "function": {"arguments": json.dumps({"n": index})}}
    return sse({"delta": {"tool_calls": [first]}}) + sse({"delta": {"tool_calls": [rest]}})


def wishes(body: bytes) -> dict[str, int]:
    """What the model's name asks for."""
    model = re.search(rb'"model":\s*"([^"]+)"', body)
    return {name: int(number) for name, number in re.findall(r"(\w+)-(\d+)", model[1].decode() if model else "")}


def reply(body: bytes, wanted: dict[str, int]) -> bytes:
    """The whole streamed reply to a request."""
    done = len(re.findall(rb'"role":\s*"tool"', body))
    calls, turns = wanted.get("calls", 1), wanted.get("turns", 0)
    if done < turns * calls:
        pieces = b"".join(call(n, done) for n in range(calls))
        return pieces + sse({"delta": {}, "finish_reason": "tool_calls"}) + USAGE + DONE
    return TOKEN * wanted.get("tokens", 1) + sse({"delta": {}, "finish_reason": "stop"}) + USAGE + DONE


class Wire(asyncio.Protocol):
    """One connection: requests in, replies out, keep-alive."""

    def __init__(self, log: Connection) -> None:
        self._log = log
        self._buffer = b""
        self._trickle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = re.search(rb"content-length: (\d+)", self._buffer[:end], re.IGNORECASE)
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < total:
                return
            body, self._buffer = self._buffer[end + 4 : total], self._buffer[total:]
            if b'"trickle' in body:
                self._transport.write(HEAD)
                pause = re.search(rb'"trickle-pause-(\d+)', body)
                self._drip(int(pause[1]) / 1e3 if pause else 0.01)
            else:
                wanted = wishes(body)
                whole = HEAD + reply(body, wanted) + TAIL
                if wait := wanted.get("wait"):
                    asyncio.get_running_loop().call_later(wait / 1000, self._transport.write, whole)
                else:
                    self._transport.write(whole)

    def _drip(self, pause: float) -> None:
        self._transport.write(TOKEN)
        self._trickle = asyncio.get_running_loop().call_later(pause, self._drip, pause)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._trickle is not None:
            self._trickle.cancel()
            self._log.send(time.monotonic())


async def _serve(ready: Connection) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Wire(ready), "127.0.0.1", 0, backlog=4096)
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _main(ready: Connection) -> None:
    asyncio.run(_serve(ready))


@contextmanager
def provider() -> Iterator[tuple[str, Connection]]:
    """The base URL of a provider that lives as long as the block, and its log: the times at which
    clients closed connections in mid-reply.
    """
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_main, args=(theirs,), daemon=True)
    process.start()
    theirs.close()  # so that a process that cannot start ends our waiting
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1", ours
    finally:
        process.terminate()
        process.join()
