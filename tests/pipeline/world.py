"""What the tests of the pipeline share: a web site on loopback, an embedder, and a look into the index."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from random import Random

from agentrt.egress.egress import Egress
from agentrt.egress.policy import EgressPolicy
from agentrt.pipeline.document import Listed, Reference

Page = bytes | tuple[int, str, bytes]


class Site:
    """Serves `pages`: a body, or (status, content type, body). `answer` may change what a request gets."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self.pages = dict(pages)
        self.asked: list[str] = []
        self.answer: Callable[[str, Page], Page] = lambda _path, page: page
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while True:
                path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
                self.asked.append(path)
                page = self.answer(path, self.pages.get(path, (404, "text/plain", b"no")))
                status, kind, body = page if isinstance(page, tuple) else (200, "text/plain", page)
                head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    def close(self) -> None:
        for writer in self._open:
            writer.close()


@asynccontextmanager
async def site(pages: Mapping[str, Page]) -> AsyncIterator[Site]:
    world = Site(pages)
    server = await asyncio.start_server(world.talk, "127.0.0.1", 0)
    world.port = server.sockets[0].getsockname()[1]
    try:
        yield world
    finally:
        server.close()
        world.close()


def way_out(world: Site) -> Egress:
    return Egress(
        EgressPolicy(
            allow=frozenset({f"127.0.0.1:{world.port}"}),
            content_types=frozenset({"text/*", "image/*", "application/*"}),
        )
    )


class Digests:
    """An embedder that says the same of the same text; `refuse` may raise for a batch."""

    name = "digests"
    dims = 8

    def __init__(self, refuse: Callable[[Sequence[str]], None] = lambda _texts: None) -> None:
        self.batches: list[tuple[str, ...]] = []
        self._refuse = refuse

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        self.batches.append(tuple(texts))
        await asyncio.sleep(0)
        self._refuse(texts)
        return [hashlib.sha256(text.encode()).digest() for text in texts]

    async def aclose(self) -> None:
        pass


class Impatient(Random):
    """Draws no pause at all."""

    def uniform(self, a: float, b: float) -> float:
        return 0.0


class Names:
    """A source that names these."""

    def __init__(self, *listed: Listed | str, name: str = "names:test") -> None:
        self.name = name
        self._listed = listed

    async def documents(self) -> AsyncGenerator[Listed]:
        for one in self._listed:
            yield Reference(one) if isinstance(one, str) else one


def contents(index: Path) -> dict[str, list[tuple[object, ...]]]:
    """What a person would find in the file, without the numbers that depend on the order of things."""
    with closing(sqlite3.connect(index)) as database:
        return {
            "documents": database.execute(
                "SELECT id, title, url, version, source FROM documents ORDER BY id"
            ).fetchall(),
            "chunks": database.execute(
                "SELECT documents.id, starts, ends, passages.title, passages.text, embedders.name, vectors.vector "
                "FROM chunks JOIN documents ON documents.place = chunks.document "
                "JOIN passages ON passages.rowid = chunks.passage LEFT JOIN vectors ON vectors.place = chunks.vector "
                "LEFT JOIN embedders ON embedders.place = chunks.embedder ORDER BY documents.id, starts"
            ).fetchall(),
            "passages": database.execute("SELECT title, text FROM passages ORDER BY title, text").fetchall(),
            "found": database.execute(
                "SELECT title, text FROM passages WHERE passages MATCH 'word OR text' ORDER BY title, text"
            ).fetchall(),
            "quarantine": database.execute("SELECT id, stage, kind FROM quarantine ORDER BY id").fetchall(),
        }


def children(of: int | None = None) -> set[int]:
    """The processes that this one has started and not seen end."""
    found = set[int]()
    for task in Path(f"/proc/{of or os.getpid()}/task").iterdir():
        with suppress(OSError):  # a thread that has just ended
            found |= set(map(int, (task / "children").read_text().split()))
    return found


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
