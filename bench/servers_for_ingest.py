"""What an ingest asks, each a process of its own: a file server (10 ms an answer) and an embedding service (20 ms).

Neither must ever be the bottleneck, so both are an `asyncio.Protocol` over bytes. The file server knows the documents
by number: `/7/name.html`; `/manifest-5.jsonl` names every fifth of them. The embedding service speaks OpenAI's wire
format; a vector is 64 numbers made of its text's digest, so it means nothing and costs next to nothing, and is the
same at every run. `/asked` says how many requests and texts it has seen.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import multiprocessing.context
import re
from array import array
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from math import hypot
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from urllib.request import urlopen

FILE_SECONDS = 0.01
EMBED_SECONDS = 0.02
DIMS = 64
MODEL = "bench-64"

Answer = tuple[str, str, bytes]
"""Status, content type and body."""


class Wire(asyncio.Protocol):
    """One connection: requests in, answers out after so many seconds, keep-alive."""

    def __init__(self, answer: Callable[[str, bytes], Answer], seconds: float) -> None:
        self._answer = answer
        self._seconds = seconds
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].decode("latin-1")
            length = re.search(r"content-length: *(\d+)", head, re.IGNORECASE)
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < total:
                return
            body, self._buffer = self._buffer[end + 4 : total], self._buffer[total:]
            status, kind, said = self._answer(head.split(" ", 2)[1], body)
            lines = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(said)}\r\n\r\n"
            asyncio.get_running_loop().call_later(self._seconds, self._transport.write, lines.encode() + said)


class Files:
    """Answers of the file server."""

    def __init__(self, documents: Sequence[Path]) -> None:
        self._documents = documents

    def __call__(self, path: str, _body: bytes) -> Answer:
        if manifest := re.fullmatch(r"/manifest-(\d+)\.jsonl", path):
            numbers = range(0, len(self._documents), int(manifest[1]))
            lines = [json.dumps({"path": f"{n}/{self._documents[n].name}"}) for n in numbers]
            return "200 OK", "application/jsonl", "\n".join(lines).encode()
        number = re.match(r"/(\d+)/", path)
        if number is None or int(number[1]) >= len(self._documents):
            return "404 Not Found", "text/plain", b"no such document"
        return "200 OK", "text/html", self._documents[int(number[1])].read_bytes()


class Vectors:
    """Answers of the embedding service."""

    def __init__(self) -> None:
        self._requests = self._texts = 0

    def __call__(self, path: str, body: bytes) -> Answer:
        if path == "/asked":
            return "200 OK", "application/json", json.dumps([self._requests, self._texts]).encode()
        asked = json.loads(body)
        self._requests += 1
        self._texts += len(asked["input"])
        packed = asked.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": number, "embedding": _vector(text, packed=packed)}
            for number, text in enumerate(asked["input"])
        ]
        tokens = sum(len(text) for text in asked["input"]) // 4
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        said = {"object": "list", "model": MODEL, "data": data, "usage": usage}
        return "200 OK", "application/json", json.dumps(said).encode()


def _vector(text: str, *, packed: bool) -> Any:
    numbers = [byte - 127.5 for byte in blake2b(text.encode("utf-8", "replace"), digest_size=DIMS).digest()]
    length = hypot(*numbers)
    vector = array("f", [number / length for number in numbers])
    return b64encode(vector.tobytes()).decode() if packed else vector.tolist()


def asked(embeddings: str) -> tuple[int, int]:
    """Requests and texts that the embedding service has seen so far."""
    with urlopen(embeddings.removesuffix("/v1") + "/asked") as answer:
        requests, texts = json.load(answer)
    return requests, texts


async def _serve(answer: Callable[[str, bytes], Answer], seconds: float, ready: Connection) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Wire(answer, seconds), "127.0.0.1", 0, backlog=1024)
    ready.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def _main(answer: Callable[[str, bytes], Answer], seconds: float, ready: Connection) -> None:
    asyncio.run(_serve(answer, seconds, ready))


@contextmanager
def servers(documents: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Base URLs of a file server and an embedding service that live as long as the block."""
    spawn = multiprocessing.get_context("spawn")
    ports: list[int] = []
    processes: list[multiprocessing.context.SpawnProcess] = []
    try:
        for answer, seconds in ((Files(documents), FILE_SECONDS), (Vectors(), EMBED_SECONDS)):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_main, args=(answer, seconds, theirs), daemon=True)
            process.start()
            processes.append(process)
            ports.append(ours.recv())
        files, embeddings = (f"http://127.0.0.1:{port}" for port in ports)
        yield files, f"{embeddings}/v1"
    finally:
        for process in processes:
            process.terminate()
            process.join()
