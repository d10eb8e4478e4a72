"""A client of a served agent: asks, prints the answer as it comes, and goes on where it was if the socket drops.

    agentrt demo --serve
    python examples/websocket_client.py ws://127.0.0.1:8080/ws "how does `with` work?"

What comes are AG-UI events; `docs/protocol.md` tells of the envelope around them.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from random import random
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

SUBPROTOCOL: Any = "agentrt.v1"


class Asking:
    """One question. `epoch` and `after` are the cursor: the last event that was taken in."""

    def __init__(self, question: str) -> None:
        message = {"id": "u1", "role": "user", "content": question}
        self.input = {"threadId": uuid4().hex, "runId": uuid4().hex, "messages": [message]}
        self.epoch = self.after = 0
        self.done = False

    async def talk(self, url: str) -> None:
        """One connection's worth of it. Until the first event has come, the run is started (again)."""
        async with connect(url, subprotocols=[SUBPROTOCOL], max_size=None) as socket:
            cursor = {"run_id": self.input["runId"], "epoch": self.epoch, "after": self.after}
            await socket.send(json.dumps({"type": "hello", "resume": [cursor] if self.after else []}))
            if not self.after:
                await socket.send(json.dumps({"type": "run.start", "id": "1", "input": self.input}))
            while not self.done:
                self.take(json.loads(await socket.recv()))

    def take(self, frame: dict[str, Any]) -> None:
        """Take in a frame of the server."""
        match frame:
            case {"type": "reply", "ok": True}:
                self.epoch = frame["epoch"]
            case {"type": "reply", "error": problem}:
                raise SystemExit(f"refused: {problem['message']}")
            case {"type": "snapshot"}:
                self.epoch, self.after = frame["epoch"], frame["seq"]
                print("\n[the server was restarted; from the beginning:]")
                self.show(frame["events"])
            case {"type": "event", "first": first, "seq": seq} if first == self.after + 1:
                self.after = seq
                self.show(frame["events"])
            case _:
                pass  # a sign of life, or what a newer server says

    def show(self, events: list[dict[str, Any]]) -> None:
        """Print what happened."""
        for event in events:
            match event["type"]:
                case "TEXT_MESSAGE_CONTENT":
                    print(event["delta"], end="", flush=True)
                case "TEXT_MESSAGE_END":
                    print()
                case "TOOL_CALL_START":
                    print(f"[{event['toolCallName']} ...]")
                case "TOOL_CALL_RESULT":
                    print(f"[{event['metadata']['agentrt']['status']}: {event['content']:.200}]")
                case "RUN_ERROR":
                    print(f"\n[failed: {event['code']}]")
                case _:
                    pass
            self.done = self.done or event["type"] in ("RUN_FINISHED", "RUN_ERROR")


async def main(url: str, question: str) -> None:
    """Ask, and connect again for as long as it takes."""
    asking = Asking(question)
    while not asking.done:
        try:
            await asking.talk(url)
        except (ConnectionClosed, ConnectionRefusedError) as error:
            print(f"\n[{error}; again]")
            await asyncio.sleep(random())


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit("usage: websocket_client.py ws://127.0.0.1:8080/ws QUESTION")
    with suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], " ".join(sys.argv[2:])))
