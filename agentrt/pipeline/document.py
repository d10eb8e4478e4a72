"""What travels through the pipeline, and how it ends: each document exactly once."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import msgspec

from agentrt.errors import AgentrtError, Unreadable
from agentrt.index.index import Chunk, Quarantined


class Reference(msgspec.Struct, frozen=True):
    """A document as its source names it. Its URL is its identity: the same one again is a new version of it.

    Only with `path` is a local file read; a URL of any kind is asked of the network.
    """

    url: str
    title: str = ""
    path: Path | None = None


class Broken(msgspec.Struct, frozen=True):
    """A place in a source at which there should be a document; `error` says what is there instead."""

    url: str
    error: str


Listed: TypeAlias = Reference | Broken


class Raw(msgspec.Struct, frozen=True):
    """A document as it came. `media` is the type that was stated, "" if none was; `name` that of its file."""

    content: bytes
    media: str
    charset: str
    name: str


class Parsed(msgspec.Struct, frozen=True):
    """A document that has been read; `title` is what it calls itself, perhaps nothing."""

    title: str
    chunks: tuple[Chunk, ...]


class Stored(msgspec.Struct, frozen=True):
    """It stands in the index, committed."""

    url: str
    passages: int


class Unchanged(msgspec.Struct, frozen=True):
    """It stood there already, made of the same bytes in the same way."""

    url: str


Ended: TypeAlias = Stored | Unchanged | Quarantined
"""How a document ends. One that its source names no more is removed after all have ended."""


class DocumentFailed(Unreadable):
    """One document cannot be had or read.

    Attributes:
        kind: The class of the failure, one word that stays the same.
        transient: Whether asking again may help.
        retry_after: Seconds the server asked us to wait first, or None.
    """

    def __init__(self, text: str, *, kind: str, transient: bool = False, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.kind = kind
        self.transient = transient
        self.retry_after = retry_after


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """Documents of one filling, by how they have ended; `passages` are those of the documents stored."""

    stored: int = 0
    unchanged: int = 0
    quarantined: int = 0
    removed: int = 0
    passages: int = 0


class IngestStopped(AgentrtError):
    """A filling was given up, because it would only have filled the quarantine. What was stored stays.

    Attributes:
        counted: How the documents ended that did.
    """

    code = "ingest_stopped"

    def __init__(self, text: str, counted: Counted) -> None:
        super().__init__(text)
        self.counted = counted
