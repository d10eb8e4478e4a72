"""One document's way through the stages: read -> check -> parse -> embed -> store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from random import Random
from typing import TypeVar

import msgspec

from agentrt.egress.egress import Egress
from agentrt.errors import AgentrtError, ConfigurationError
from agentrt.index.embedder import Embedder
from agentrt.index.index import Document, Entry, IngestIndex
from agentrt.offloop import OneThread
from agentrt.pipeline.batcher import Batcher
from agentrt.pipeline.document import Broken, DocumentFailed, Listed, Parsed, Raw, Reference, Stored, Unchanged
from agentrt.pipeline.gathering import Together
from agentrt.pipeline.kind import kind_of
from agentrt.pipeline.parse import READER, Order, parse
from agentrt.pipeline.reader import Reader
from agentrt.pipeline.report import MIB, PipelineSettings
from agentrt.pipeline.retry import in_words, is_transient, pause
from agentrt.pipeline.room import Room
from agentrt.pipeline.stage import Left, Stage
from agentrt.pipeline.vectors import Slice, Vectors
from agentrt.pipeline.workers import Workers
from agentrt.surrogates import mended_text

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a pipeline works with. They are their owner's, who closes them."""

    index: IngestIndex
    egress: Egress
    embedder: Embedder | None = None
    random: Random = field(default_factory=Random)
    wall: Callable[[], float] = time.time


class Job:
    """A document under way: where it is, how often that was tried, and what is kept of it should it fail."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.attempts = 1
        self.size: int | None = None
        self.content: bytes | None = None


class Journey:
    """The stages, and what stands at each. Open it within the task group of the documents; close it after that."""

    def __init__(self, source: str, parts: Parts, settings: PipelineSettings, changed: Callable[[], None]) -> None:
        self._source = source
        self._parts = parts
        self._settings = settings
        self._reader = Reader(parts.egress, settings.max_bytes)
        self._room = Room(settings.in_flight_bytes)
        self._pages = Room(settings.workers * MIB)  # its tree takes 15 times the size of a page: large ones come alone
        self._thread: OneThread | None = None
        self._workers = Workers(deadline=settings.parse_seconds, memory=settings.parse_bytes)
        self.listing = Stage("list", 1, changed)
        self._read = Stage("read", settings.readers, changed)
        self._check = Stage("check", 1, changed, batches=True)
        self._parse = Stage("parse", settings.workers, changed)
        self._embed = Stage("embed", settings.embeds, changed, batches=True)
        self._store = Stage("store", 1, changed, batches=True)
        self._vectors: Vectors | None = None
        self._quiet: list[Callable[[], None]] = []
        self.closing = False

    @property
    def stages(self) -> tuple[Stage, ...]:
        """In the order in which a document passes them."""
        embed = () if self._parts.embedder is None else (self._embed,)
        return (self._read, self._check, self._parse, *embed, self._store)

    def open(self, group: asyncio.TaskGroup) -> None:
        """Let batches run as tasks of this group."""
        settings, parts = self._settings, self._parts
        most, quarter = settings.in_flight, max(1, settings.in_flight_bytes // 4)
        self._ledger = Together(Batcher(most=most, weight=most, seconds=0), self._versions, self._check, group)
        whole = Batcher[tuple[Entry, asyncio.Future[None]]](
            most=settings.store_batch, weight=quarter, seconds=settings.store_wait
        )
        self._shelf = Together(whole, self._keep, self._store, group)
        self._quiet = [self._ledger.gathering.close, self._shelf.gathering.close]
        if parts.embedder is not None:
            batch = settings.embed_batch
            batcher = Batcher[Slice](most=batch, weight=batch, seconds=settings.embed_wait)
            again = partial(self._tried, self._embed)
            self._vectors = Vectors(parts.embedder, parts.index, again, batcher, self._embed, group)
            self._quiet.append(self._vectors.gathering.close)

    def quiet(self) -> None:
        """Begin no more batches: the group is being left."""
        for close in self._quiet:
            close()

    async def aclose(self) -> None:
        """End the threads and the worker processes."""
        self._reader.close()
        if self._thread is not None:
            self._thread.close(lambda: None)
        await self._workers.aclose()

    def hurry(self, under_way: int) -> None:
        """Nobody is let in for now: with so many documents under way, do not wait for batches that cannot fill."""
        elsewhere = under_way - self._store.present
        if elsewhere == 0:
            self._shelf.gathering.flush()
        elif self._vectors is not None and elsewhere == self._embed.present:
            self._vectors.gathering.flush()

    async def walk(self, job: Job, listed: Listed) -> Stored | Unchanged:
        """Carry a document from the first stage to the last.

        Raises:
            Left: It was not read, because nothing more is.
            Exception: It failed, at `job.stage`.
        """
        if isinstance(listed, Broken):
            with self._at(self.listing, job):
                raise DocumentFailed(listed.error, kind="manifest")
        self.listing.in_a_row = 0
        try:
            return await self._carry(job, listed)
        finally:
            self._room.give(job.size or 0)

    async def _carry(self, job: Job, reference: Reference) -> Stored | Unchanged:
        with self._at(self._read, job):
            raw = await self._tried(self._read, partial(self._fetch, job, reference), job)
        with self._at(self._check, job):
            version = await self._version(raw, reference)
            if await self._ledger.ask(reference.url) == version:
                return Unchanged(reference.url)
        with self._at(self._parse, job):
            parsed = await self._tried(self._parse, partial(self._parsed, raw), job)
        title = reference.title or parsed.title or raw.name or reference.url
        size = len(raw.content)
        del raw  # its bytes are not needed any more, save for the quarantine
        document = Document(reference.url, mended_text(title), reference.url, parsed.chunks)
        vectors = None
        if self._vectors is not None:
            with self._at(self._embed, job):
                vectors = await self._vectors.of(document.embedded())
        entry = Entry(document=document, version=version, source=self._source, vectors=vectors)
        with self._at(self._store, job):
            await self._shelf.ask(entry, size)
        return Stored(reference.url, len(parsed.chunks))

    # ---- at each stage -----------------------------------------------------------------------------

    @contextmanager
    def _at(self, stage: Stage, job: Job) -> Generator[None]:
        job.stage, job.attempts = stage, 1
        with stage.visit():
            yield

    async def _tried(self, stage: Stage, attempt: Callable[[], Awaitable[T]], job: Job | None = None) -> T:
        """What the attempt gives; it is made again, after a pause, where that may help."""
        retries = 0
        while True:
            try:
                return await attempt()
            except (AgentrtError, OSError) as error:
                if retries + 1 >= self._settings.attempts or not is_transient(error):
                    raise
                seconds = pause(error, retries, self._parts.random)
            await asyncio.sleep(seconds)
            retries += 1
            stage.retries += 1
            if job is not None:
                job.attempts += 1

    async def _fetch(self, job: Job, reference: Reference) -> Raw:
        async with self._read.place():
            if self.closing:
                raise Left
            raw = await self._reader.read(reference)
            await self._room.take(len(raw.content))  # no other is read meanwhile: what is read has been let in
        job.size = len(raw.content)
        job.content = raw.content if job.size <= self._settings.kept_bytes else None
        return raw

    async def _version(self, raw: Raw, reference: Reference) -> str:
        """Of the bytes, and of all that makes something else of the same bytes."""
        embedder = self._parts.embedder
        how = (READER, self._settings.chunk_size, embedder.name if embedder else "", raw.media, raw.charset)
        seed = msgspec.json.encode((*how, mended_text(reference.title)))
        digest = partial(_digest, seed, raw.content)
        return digest() if len(raw.content) < MIB else await self._aside(digest)

    async def _versions(self, urls: Sequence[str]) -> list[str | Exception | None]:
        known = await self._parts.index.versions(urls)
        return [known.get(url) for url in urls]

    async def _parsed(self, raw: Raw) -> Parsed:
        order = Order(kind_of(raw), raw.content, raw.charset, self._settings.chunk_size)
        async with self._parse.place():
            if order.kind == "text":
                return await self._aside(partial(parse, order))
            if order.kind == "pdf":
                return await self._workers.parse(order)
            async with self._pages.held(len(order.content)):
                return await self._workers.parse(order)

    async def _aside(self, work: Callable[[], T]) -> T:
        """On a thread of our own: starting one for each document would hold up the loop."""
        self._thread = self._thread or OneThread("agentrt-texts")
        return await self._thread.call(work)

    async def _keep(self, entries: Sequence[Entry]) -> list[Exception | None]:
        embedder = self._parts.embedder
        said = await self._parts.index.store(entries, embedder.name if embedder else "")
        return [error and _of_the_document(error) for error in said]


def _digest(seed: bytes, content: bytes) -> str:
    return sha256(seed + b"\0" + content).hexdigest()


def _of_the_document(error: Exception) -> Exception:
    """An error that the index has with one document, in distinction from one that it has."""
    if isinstance(error, ConfigurationError):
        return error
    return DocumentFailed(in_words(error), kind="store")
