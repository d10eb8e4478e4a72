"""What showing one run to many viewers costs: `python -m bench.fanout`.

A provider in a process of its own says tokens, each the time at which it was said; viewers in another one read them.
In between stands the server, whose CPU is measured: ours, and a plain loop that encodes each event once and sends it
to everybody. Both run in turn over the same model, client, gate and run; what the run costs with nobody watching is
measured too, so that the rest is the showing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from multiprocessing.connection import Connection
from typing import Any

import msgspec
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen

from agentrt import Agent, Provider, Runtime
from agentrt.local.handler import Request, Response
from agentrt.local.wire import serve as serve_http
from agentrt.server.agui import Mapper
from agentrt.server.listen import serving

INPUT = {"threadId": "t1", "messages": [{"id": "u1", "role": "user", "content": "Go."}]}

# ---- the provider's process --------------------------------------------------------------------


def chunk(**choice: object) -> bytes:
    choices = [{"index": 0, **choice}]
    body = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


async def say(tokens: int, pause: float) -> AsyncIterator[bytes]:
    """Tokens that tell when they were said, evenly."""
    began = time.monotonic()
    for n in range(tokens):
        await asyncio.sleep(began + n * pause - time.monotonic())
        yield chunk(delta={"content": f"{time.monotonic():.4f} "})
    yield chunk(delta={}, finish_reason="stop") + b"data: [DONE]\n\n"


async def provide(ready: Connection, tokens: int, pause: float) -> None:
    async def handle(_request: Request) -> Response:
        return Response(200, {"content-type": "text/event-stream"}, say(tokens, pause))

    async with serve_http(handle) as server:
        ready.send(server.url)
        await asyncio.get_running_loop().create_future()


# ---- the viewers' process ----------------------------------------------------------------------


async def look(url: str, run: str) -> tuple[int, int, list[float]]:
    """One viewer: its frames, the characters it saw, and how long each token was on its way."""
    frames, seen, late = 0, 0, list[float]()
    async with connect(url, max_size=None) as socket:
        await socket.send(json.dumps({"type": "hello"}))
        start = {"type": "run.start", "id": "1", "input": {**INPUT, "runId": run}}
        await socket.send(json.dumps(start))
        async for text in socket:
            now, frame = time.monotonic(), json.loads(text)
            frames += frame["type"] == "event"
            for event in frame.get("events", ()):
                if event["type"] == "TEXT_MESSAGE_CONTENT":
                    seen += len(event["delta"])
                    late += [now - float(token) for token in event["delta"].split()]
                if event["type"] in ("RUN_FINISHED", "RUN_ERROR"):
                    return frames, seen, late
    raise AssertionError("the run has no end")


async def watch(orders: Connection) -> None:
    """Look as often as we are told to."""
    while order := await asyncio.to_thread(orders.recv):
        url, run, viewers = order
        async with asyncio.TaskGroup() as group:
            looks = [group.create_task(look(url, run)) for _ in range(viewers)]
        orders.send([one.result() for one in looks])


@contextmanager
def process(main: Callable[..., Awaitable[None]], *arguments: object) -> Generator[Connection, None, None]:
    """A process that runs this coroutine, and a line to it."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    child = spawn.Process(target=_run, args=(main, theirs, *arguments), daemon=True)
    child.start()
    try:
        yield ours
    finally:
        child.terminate()
        child.join()


def _run(main: Callable[..., Any], *arguments: object) -> None:
    asyncio.run(main(*arguments))


# ---- the servers -------------------------------------------------------------------------------


@asynccontextmanager
async def ours(runtime: Runtime, agent: Agent[None]) -> AsyncGenerator[str, None]:
    async with serving(agent, port=0, runtime=runtime) as server:
        yield server.ws_url


@asynccontextmanager
async def plain(runtime: Runtime, agent: Agent[None]) -> AsyncGenerator[str, None]:
    """Each event encoded once, each sent to each viewer as a frame of its own."""
    mappers: dict[str, Mapper] = {}
    texts: dict[str, dict[int, str]] = {}

    async def show(socket: ServerConnection) -> None:
        await socket.recv()
        run_id = json.loads(await socket.recv())["input"]["runId"]
        run = runtime.find(run_id) or runtime.start(agent, "Go.", run_id=run_id)
        mapper, encoded = mappers.setdefault(run_id, Mapper(run_id, "t1")), texts.setdefault(run_id, {})
        async for event in run.events():
            if event.seq not in encoded:
                events = [msgspec.Raw(msgspec.json.encode(one)) for one in mapper.map(event)]
                frame = {"type": "event", "run_id": run_id, "first": event.seq, "seq": event.seq, "events": events}
                encoded[event.seq] = msgspec.json.encode(frame).decode()
            await socket.send(encoded[event.seq])

    async with listen(show, "127.0.0.1", 0, compression=None) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


Serving = Callable[[Runtime, "Agent[None]"], AbstractAsyncContextManager[str]]


async def measure(how: Serving, provider: str, orders: Connection, viewers: int) -> tuple[float, list[Any]]:
    """Seconds of CPU of this process for one run, and what the viewers saw; without viewers, for the run alone."""
    agent = Agent(name="bench", model="bench:m")
    seen: list[Any] = []
    async with Runtime(providers=[Provider(name="bench", base_url=f"{provider}/v1")]) as runtime:
        async with how(runtime, agent) as url:
            for run in ("warm", "measured"):
                before = time.process_time()
                if viewers:
                    orders.send((url, run, viewers))
                    seen = await asyncio.to_thread(orders.recv)
                else:
                    await runtime.start(agent, "Go.").wait()
    return time.process_time() - before, seen


def shown(seen: list[Any]) -> str:
    """Frames and lateness in a line; all have to have seen the same."""
    assert len({characters for _, characters, _ in seen}) == 1
    late = sorted(one for _, _, times in seen for one in times)
    p50, p99 = late[len(late) // 2] * 1e3, late[len(late) * 99 // 100] * 1e3
    return f", {seen[0][0]} frames a viewer, a token is there after {p50:.1f} ms, p99 {p99:.1f} ms"


async def main(viewers: int, tokens: int, pause: float, rounds: int) -> None:
    print(f"{viewers} viewers, {tokens} tokens {pause * 1e3:g} ms apart, {rounds} rounds")
    ways: list[tuple[str, Serving, int]] = [("plain", plain, viewers), ("ours", ours, viewers), ("alone", plain, 0)]
    with process(provide, tokens, pause) as provider, process(watch) as orders:
        url = provider.recv()
        costs: dict[str, list[float]] = {name: [] for name, _, _ in ways}
        for _ in range(rounds):
            for name, how, count in ways:
                cpu, seen = await measure(how, url, orders, count)
                costs[name].append(cpu)
                print(f"{name:>7}: {cpu:.2f} s CPU{shown(seen) if seen else ''}")
        plainly, mine, alone = (statistics.median(costs[name]) for name in ("plain", "ours", "alone"))
        print(f"in all, ours / plain: {mine / plainly:.2f}; the showing: {(mine - alone) / (plainly - alone):.2f}")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--viewers", type=int, default=8)
    arguments.add_argument("--tokens", type=int, default=4000)
    arguments.add_argument("--pause", type=float, default=0.002, help="seconds between two tokens")
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    asyncio.run(main(given.viewers, given.tokens, given.pause, given.rounds))
