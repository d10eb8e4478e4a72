"""What an index is: documents go in whole, passages come out by relevance.

An index keeps texts as UTF-8 and without NUL; in ids, addresses, titles and texts, what cannot be kept so (half a
surrogate pair, as in the name of a file) becomes U+FFFD.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Chunk(msgspec.Struct, frozen=True):
    """A passage of a document: its text is what stands at `start:end` (characters) of the document's text."""

    text: str
    start: int
    end: int


class Document(msgspec.Struct, frozen=True):
    """A document as it is indexed. `id` stays the same over its versions; often it is the URL."""

    id: str
    title: str
    url: str
    chunks: tuple[Chunk, ...]

    def embedded(self) -> tuple[str, ...]:
        """What an embedder is given, one text for each chunk: the title tells what the passage is about."""
        return tuple(f"{self.title} {chunk.text}" if self.title else chunk.text for chunk in self.chunks)


class Hit(msgspec.Struct, frozen=True):
    """A passage that was found. A greater `score` is better; scores of two searches cannot be compared."""

    document: str
    title: str
    url: str
    text: str
    start: int
    end: int
    score: float


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A document to be stored, and what a later filling must know of it.

    Attributes:
        version: Differs when the document must be done anew: a hash of its bytes and of how they are read.
        source: What listed it; see `IngestIndex.listed`.
        vectors: What the embedder said to `document.embedded()`, in that order; None without an embedder.
    """

    document: Document
    version: str
    source: str = ""
    vectors: tuple[bytes, ...] | None = None


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """A document that could not be stored, and why.

    Attributes:
        stage: Where it failed: "download", "parse", "chunk", "embed" or "store".
        kind: The class of the error.
        attempts: How often it has failed.
        size: Bytes of the document, None if it never came.
        correlation: What to look for in the logs.
        at: When it failed last, in seconds since 1970.
        content: The document as it came, None if it did not come or is too large to keep.
    """

    id: str
    url: str
    source: str
    stage: str
    kind: str
    error: str
    attempts: int
    size: int | None
    correlation: str
    at: float
    content: bytes | None


class Counts(msgspec.Struct, frozen=True):
    """What is in an index. `vectors` are the chunks that have one."""

    documents: int
    chunks: int
    vectors: int
    quarantined: int


class Index(Protocol):
    """A store of passages that can be searched while it is being filled."""

    async def put(self, document: Document) -> None:
        """Store it, without vectors, in place of whatever had its id, all of it or nothing.

        Raises:
            Unreadable: This document cannot be kept.
        """
        ...

    async def remove(self, document_id: str) -> bool:
        """Forget a document; whether there was one."""
        ...

    async def search(self, query: str, k: int = 5) -> Sequence[Hit]:
        """At most `k` passages, the best first. Every text is a valid query; one without words finds nothing."""
        ...

    async def aclose(self) -> None:
        """Let go of the store. Calling it twice is allowed."""
        ...


class IngestIndex(Index, Protocol):
    """An `Index` that a pipeline fills: documents in batches, a ledger of their versions, a cache of embeddings and a
    quarantine. A call that is given nothing does nothing, so a filling that finds nothing new writes nothing.
    """

    async def versions(self, ids: Sequence[str]) -> dict[str, str]:
        """The version that is in of each document, by the id as it was given.

        A document that is not in is left out, and so is one in quarantine: it must be done again.
        """
        ...

    async def store(self, entries: Sequence[Entry], embedder: str = "") -> list[Exception | None]:
        """Store every entry, all in one commit; the error, if any, of each in its place.

        A document with its chunks, vectors and version is one unit; who searches meanwhile finds the old one whole or
        the new one whole. An entry that cannot be stored leaves what was there. One that was stored is no longer in
        quarantine. `embedder` is the name of who made the vectors.

        The errors are `Unreadable` for a document that cannot be kept, `SettingInvalid` for vectors that do not fit.

        Raises:
            IndexFailed: The commit failed, and so did every entry.
        """
        ...

    async def cached(self, embedder: str, texts: Sequence[str]) -> list[bytes | None]:
        """The vector that this embedder has given for each text, None where there is none."""
        ...

    async def cache(self, embedder: str, texts: Sequence[str], vectors: Sequence[bytes]) -> None:
        """Keep vectors before their documents are stored, so that nobody pays for them twice.

        Kept until the last document that uses them is replaced or removed.
        """
        ...

    async def quarantine(self, rows: Sequence[Quarantined]) -> None:
        """Keep these, in place of rows with the same id, to whose attempts theirs are added."""
        ...

    async def quarantined(self) -> Sequence[Quarantined]:
        """All that are in quarantine, in the order in which they first came there."""
        ...

    async def listed(self, source: str) -> frozenset[str]:
        """Ids, as they are kept, of the documents of a source, those in quarantine included."""
        ...

    async def remove_all(self, ids: Sequence[str]) -> int:
        """Forget these, in quarantine too, in one commit; how many documents were in."""
        ...

    async def counts(self) -> Counts:
        """How much there is of each."""
        ...
