"""Documents turning into an index: manifest -> download -> chunk -> store.

Every stage has its own workers and a bounded queue before it, so memory does not grow with the corpus and the slowest
stage sets the pace. A document fails alone and is named in the report; only a manifest that cannot be had ends the
whole. All tasks live in one task group: who cancels `run` gets it back when none of them is left, with every document
in the index whole or absent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath
from urllib.parse import urlsplit

import msgspec

from agentrt.egress.egress import Egress
from agentrt.egress.fetched import Fetched
from agentrt.errors import SettingInvalid, Unreadable
from agentrt.index.index import Document, Index
from agentrt.offloop import aside
from agentrt.pipeline.chunk import split
from agentrt.pipeline.document import Downloaded, Failed, Reference, read_manifest
from agentrt.pipeline.stage import Stage, StageCounts

_UNREAD = frozenset({"text/html", "text/xml", "application/xhtml+xml", "application/xml"})
"""Types of text that would be indexed with their markup."""


class PipelineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a pipeline works; every one is 1 or more.

    Attributes:
        downloads: Documents that are fetched at once.
        chunkers: Documents that are cut at once, each in a thread.
        queue_size: Documents that may wait before each stage.
        chunk_size: Characters of a passage, at most.

    Raises:
        SettingInvalid: One of them is less than 1.
    """

    downloads: int = 10
    chunkers: int = 1
    queue_size: int = 20
    chunk_size: int = 1200

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value < 1:
                raise SettingInvalid(f"PipelineSettings was given {name}={value}; it needs 1 or more")


class Snapshot(msgspec.Struct, frozen=True):
    """How far it has come. `total` is the number of documents in the manifest, None until it has been read."""

    total: int | None
    stages: tuple[StageCounts, ...]


class Report(msgspec.Struct, frozen=True):
    """How it ended: `stored` and `failures` together are the manifest, `total` documents; `seconds` on the clock."""

    total: int
    stored: int
    passages: int
    failures: tuple[Failed, ...]
    seconds: float


class Pipeline:
    """One filling of `index` from a manifest. `progress` is called, without awaiting, whenever a count changes."""

    def __init__(
        self,
        egress: Egress,
        index: Index,
        *,
        settings: PipelineSettings | None = None,
        progress: Callable[[Snapshot], None] | None = None,
    ) -> None:
        self._egress = egress
        self._index = index
        self._settings = settings = settings or PipelineSettings()
        self._progress = progress
        self._total: int | None = None
        self._passages = 0
        self._failures: list[Failed] = []
        size, changed = settings.queue_size, self._changed
        self._download = Stage("download", self._fetch, workers=settings.downloads, queue_size=size, changed=changed)
        self._chunk = Stage("chunk", self._cut, workers=settings.chunkers, queue_size=size, changed=changed)
        self._store = Stage("store", self._keep, workers=1, queue_size=size, changed=changed)

    def snapshot(self) -> Snapshot:
        """How far it has come now."""
        return Snapshot(self._total, (self._download.counts, self._chunk.counts, self._store.counts))

    async def run(self, manifest: str) -> Report:
        """Fetch the manifest at this URL and store every document that it names. A pipeline runs once.

        Raises:
            EgressRefused: The manifest's URL is not allowed.
            EgressFailed: The manifest could not be fetched.
            Unreadable: The manifest is not there.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        if self._total is not None:
            raise RuntimeError("this pipeline has run; make another")
        fetched = await self._egress.get(manifest)
        try:
            text = _text(fetched)
        except Unreadable as error:
            raise Unreadable(f'the manifest "{manifest}" cannot be read: {error}') from error
        entries = list(read_manifest(text, manifest))
        self._total = len(entries)
        self._failures += [entry for entry in entries if isinstance(entry, Failed)]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._feed([entry for entry in entries if isinstance(entry, Reference)]))
            group.create_task(self._download.run(self._chunk, self._failures.append))
            group.create_task(self._chunk.run(self._store, self._failures.append))
            group.create_task(self._store.run(None, self._failures.append))
        return Report(self._total, self._store.counts.done, self._passages, tuple(self._failures), clock() - began)

    async def _feed(self, references: list[Reference]) -> None:
        for reference in references:
            await self._download.put(reference)
        await self._download.end()

    async def _fetch(self, reference: Reference) -> Downloaded:
        fetched = await self._egress.get(reference.url)
        name = PurePosixPath(urlsplit(reference.url).path).name
        return Downloaded(reference.url, reference.title or name or reference.url, _text(fetched))

    async def _cut(self, document: Downloaded) -> Document:
        chunks = await aside(partial(split, document.text, size=self._settings.chunk_size))
        if not chunks:
            raise Unreadable("the document has no text")
        return Document(document.url, document.title, document.url, chunks)

    async def _keep(self, document: Document) -> None:
        await self._index.put(document)
        self._passages += len(document.chunks)

    def _changed(self) -> None:
        if self._progress is not None:
            self._progress(self.snapshot())


def _text(fetched: Fetched) -> str:
    if not 200 <= fetched.status < 300:
        raise Unreadable(f"the server answered {fetched.status}")
    if fetched.content_type in _UNREAD:
        raise Unreadable(f"{fetched.content_type} is not read yet; plain text, Markdown and reStructuredText are")
    return fetched.text
