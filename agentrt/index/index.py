"""What an index is: documents go in whole, passages come out by relevance."""

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


class Hit(msgspec.Struct, frozen=True):
    """A passage that was found. A greater `score` is better; scores of two searches cannot be compared."""

    document: str
    title: str
    url: str
    text: str
    start: int
    end: int
    score: float


class Index(Protocol):
    """A store of passages that can be searched while it is being filled."""

    async def put(self, document: Document) -> None:
        """Store it in place of whatever had its id, all of it or nothing."""
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
