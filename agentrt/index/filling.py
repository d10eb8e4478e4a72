"""What a filling asks of the database under an index, on a connection of its thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec

from agentrt.database import transaction
from agentrt.errors import SettingInvalid, Unreadable
from agentrt.index import schema
from agentrt.index.index import Counts, Entry, Quarantined
from agentrt.index.schema import kept

_ITS_OWN = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.ProgrammingError, sqlite3.InterfaceError, OverflowError)
"""Errors that are the fault of what was to be stored, and no reason to give up on others."""


def store(entries: Sequence[Entry], embedder: str, database: sqlite3.Connection) -> list[Exception | None]:
    """Store them in one transaction, each in a savepoint."""
    said: list[Exception | None] = []
    with transaction(database):
        for entry in entries:
            database.execute("SAVEPOINT entry")
            error = _stored(entry, kept(embedder), database)
            if error is not None:
                database.execute("ROLLBACK TO entry")
            database.execute("RELEASE entry")
            said.append(error)
    return said


def remove_all(ids: Sequence[str], database: sqlite3.Connection) -> int:
    removed = 0
    with transaction(database):
        for name in map(kept, ids):
            database.execute(schema.UNQUARANTINE, (name,))
            vectors = _forget(name, database)
            if vectors is not None:
                removed += 1
                database.executemany(schema.FORGET_UNUSED, vectors)
    return removed


def cache(embedder: str, texts: Sequence[str], vectors: Sequence[bytes], database: sqlite3.Connection) -> None:
    if len(texts) != len(vectors):
        raise SettingInvalid(f"cache was given {len(texts)} texts and {len(vectors)} vectors; expected as many")
    with transaction(database):
        place = _embedder(kept(embedder), vectors, database)
        keys = [_key(embedder, text) for text in texts]
        rows = ((key, place, vector) for key, vector in zip(keys, vectors, strict=True))
        database.executemany(schema.VECTOR, rows)


def quarantine(rows: Sequence[Quarantined], database: sqlite3.Connection) -> None:
    with transaction(database):
        database.executemany(schema.QUARANTINE, map(_values, rows))


def versions(ids: Sequence[str], database: sqlite3.Connection) -> dict[str, str]:
    found = ((name, database.execute(schema.VERSION, (kept(name),)).fetchone()) for name in ids)
    return {name: row[0] for name, row in found if row is not None}


def cached(embedder: str, texts: Sequence[str], database: sqlite3.Connection) -> list[bytes | None]:
    rows = (database.execute(schema.CACHED, (_key(embedder, text),)).fetchone() for text in texts)
    return [row and row[0] for row in rows]


def quarantined(database: sqlite3.Connection) -> list[Quarantined]:
    fields = Quarantined.__struct_fields__
    return [Quarantined(**dict(zip(fields, row, strict=True))) for row in database.execute(schema.QUARANTINED)]


def listed(source: str, database: sqlite3.Connection) -> frozenset[str]:
    return frozenset(name for (name,) in database.execute(schema.LISTED, [kept(source)] * 2))


def counts(database: sqlite3.Connection) -> Counts:
    return Counts(*database.execute(schema.COUNTS).fetchone())


# ---- one document ----------------------------------------------------------------------------------


def _stored(entry: Entry, embedder: str, database: sqlite3.Connection) -> Exception | None:
    try:
        _replace(entry, embedder, database)
    except SettingInvalid as error:
        return error
    except _ITS_OWN as error:
        return Unreadable(f'the document "{entry.document.id}" cannot be stored: {error}')
    return None


def _replace(entry: Entry, embedder: str, database: sqlite3.Connection) -> None:
    document = entry.document
    name, title = kept(document.id), kept(document.title)
    old = _forget(name, database) or ()
    row = (name, title, kept(document.url), kept(entry.version), kept(entry.source))
    place = database.execute(schema.DOCUMENT, row).lastrowid
    by, vectors = _vectors(entry, embedder, database)
    for chunk, vector in zip(document.chunks, vectors, strict=True):
        passage = database.execute(schema.CHUNK, (place, chunk.start, chunk.end, by, vector)).lastrowid
        database.execute(schema.PASSAGE, (passage, title, kept(chunk.text)))
    database.executemany(schema.FORGET_UNUSED, old)
    database.execute(schema.UNQUARANTINE, (name,))


def _forget(name: str, database: sqlite3.Connection) -> list[tuple[int]] | None:
    """Forget the document, but not yet the vectors that it had, which are returned; None if there was no such one."""
    place = database.execute(schema.PLACE, (name,)).fetchone()
    if place is None:
        return None
    vectors = database.execute(schema.VECTORS_OF, place).fetchall()
    for statement in schema.FORGET:
        database.execute(statement, place)
    return vectors


# ---- vectors ---------------------------------------------------------------------------------------


def _vectors(entry: Entry, embedder: str, database: sqlite3.Connection) -> tuple[int | None, Sequence[int | None]]:
    """The place of the embedder and those of the entry's vectors; they are put there if need be."""
    chunks, vectors = len(entry.document.chunks), entry.vectors
    if vectors is None:
        return None, [None] * chunks
    if len(vectors) != chunks:
        raise SettingInvalid(f'"{entry.document.id}" has {len(vectors)} vectors and {chunks} chunks; expected as many')
    if not vectors:
        return None, []
    if not embedder:
        raise SettingInvalid(f'"{entry.document.id}" has vectors; store() needs the name of their embedder')
    by = _embedder(embedder, vectors, database)
    places: list[int | None] = []
    for text, vector in zip(entry.document.embedded(), vectors, strict=True):
        key = _key(embedder, text)
        known = database.execute(schema.KNOWN, (key,)).fetchone()
        places.append(known[0] if known else database.execute(schema.VECTOR, (key, by, vector)).lastrowid)
    return by, places


def _embedder(name: str, vectors: Sequence[bytes], database: sqlite3.Connection) -> int:
    """The place of the embedder of these vectors, all of which must have the size of its first."""
    ((place, size),) = database.execute(schema.EMBEDDER, (name, len(vectors[0]))).fetchall()
    for vector in vectors:
        if len(vector) != size or not size:
            raise SettingInvalid(f'the embedder "{name}" gave a vector of {len(vector)} bytes; its first had {size}')
    return int(place)


def _key(embedder: str, text: str) -> bytes:
    return sha256(f"{kept(embedder)}\0{kept(text)}".encode()).digest()


def _values(row: Quarantined) -> dict[str, Any]:
    values = msgspec.structs.asdict(row).items()
    return {name: kept(value) if isinstance(value, str) else value for name, value in values}
