"""An index in one SQLite database: full text search by BM25 over stemmed words (FTS5, `porter`).

All of SQLite is done on one thread of our own, so the loop never waits for a disk and no two statements meet. A
document is one transaction: who searches while it is replaced sees the old passages or the new ones, never a mixture
and never neither.

The text of a passage stands once, in the full-text table; `chunks` says whose it is and where it stands there.

A file that is not ours is not changed in any way, so it is looked at before SQLite is let near it as usual: that may
already finish what its owner left half done. The look sees the file without its write-ahead log, and so the tables
and our mark are written first and the log is switched on last.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from agentrt.errors import SettingInvalid
from agentrt.index.index import Document, Hit
from agentrt.index.query import match_expression
from agentrt.offloop import OneThread

_VERSION = 1
_APPLICATION = int.from_bytes(b"agix", "big")
_SCHEMA = f"""
CREATE TABLE documents (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    url TEXT NOT NULL
) STRICT;
CREATE TABLE chunks (
    passage INTEGER PRIMARY KEY,     -- rowid in passages
    document TEXT NOT NULL REFERENCES documents (id),
    starts INTEGER NOT NULL,
    ends INTEGER NOT NULL
) STRICT;
CREATE INDEX chunks_by_document ON chunks (document);
CREATE VIRTUAL TABLE passages USING fts5 (title, text, tokenize = 'porter unicode61 remove_diacritics 2');
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
"""
# A word in the title weighs as two in the text.
_SEARCH = """
WITH found AS (
    SELECT rowid, title, text, bm25(passages, 2.0, 1.0) AS distance
    FROM passages WHERE passages MATCH ? ORDER BY distance, rowid LIMIT ?
)
SELECT chunks.document, found.title, documents.url, found.text, chunks.starts, chunks.ends, -found.distance
FROM found JOIN chunks ON chunks.passage = found.rowid JOIN documents ON documents.id = chunks.document
ORDER BY found.distance, found.rowid
"""


class SqliteIndex:
    """An `Index` in a file, or in memory by default. The file is opened by the first call.

    Raises (from every call):
        sqlite3.Error: The file cannot be opened, read or written.
        SettingInvalid: The file is something else, or an index of another version; it was not changed.
        RuntimeError: The index is closed.
    """

    def __init__(self, path: str | Path = ":memory:") -> None:
        self._path = str(path)
        self._opened: sqlite3.Connection | None = None
        self._thread = OneThread("agentrt-index")

    async def put(self, document: Document) -> None:
        await self._thread.call(partial(self._put, document))

    async def remove(self, document_id: str) -> bool:
        return await self._thread.call(partial(self._remove, document_id))

    async def search(self, query: str, k: int = 5) -> Sequence[Hit]:
        if k < 1:
            raise SettingInvalid(f"search was given k={k}; it needs 1 or more")
        expression = match_expression(query)
        if expression is None:
            return ()
        return await self._thread.call(partial(self._search, expression, k))

    async def aclose(self) -> None:
        if not self._thread.closed:
            await self._thread.close(self._close)

    # What follows runs on the thread.

    def _database(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = _open(self._path)
        return self._opened

    def _put(self, document: Document) -> None:
        with self._database() as database:  # one transaction: all of it or nothing
            _forget(database, document.id)
            database.execute("INSERT INTO documents VALUES (?, ?, ?)", (document.id, document.title, document.url))
            for chunk in document.chunks:
                row = database.execute("INSERT INTO passages VALUES (?, ?)", (document.title, chunk.text)).lastrowid
                database.execute("INSERT INTO chunks VALUES (?, ?, ?, ?)", (row, document.id, chunk.start, chunk.end))

    def _remove(self, document_id: str) -> bool:
        with self._database() as database:
            return _forget(database, document_id)

    def _search(self, expression: str, k: int) -> list[Hit]:
        return [Hit(*row) for row in self._database().execute(_SEARCH, (expression, k))]

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _open(path: str) -> sqlite3.Connection:
    file = Path(path)
    if file.is_file() and file.stat().st_size:
        # Immutable: SQLite takes no lock, finishes no transaction and makes no file beside it.
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as look:
            _check(look, path)
    database = sqlite3.connect(path)
    try:
        if _mark(database) == (0, 0):
            _create(database)
        _check(database, path)
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA journal_mode = WAL")
    except BaseException:
        database.close()
        raise
    return database


def _mark(database: sqlite3.Connection) -> tuple[int, int]:
    """Whose file it is, and of which version."""
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return application, version


def _check(database: sqlite3.Connection, path: str) -> None:
    application, version = _mark(database)
    if application != _APPLICATION:
        raise SettingInvalid(f'"{path}" is not an index: it is a SQLite database of something else')
    if version != _VERSION:
        raise SettingInvalid(f'"{path}" is an index of version {version}; this agentrt knows version {_VERSION}')


def _create(database: sqlite3.Connection) -> None:
    """Make the tables, all or none, unless somebody else has put something there just now."""
    with database:
        database.execute("BEGIN IMMEDIATE")
        if database.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            for statement in _SCHEMA.split(";\n"):
                database.execute(statement)


def _forget(database: sqlite3.Connection, document_id: str) -> bool:
    database.execute(
        "DELETE FROM passages WHERE rowid IN (SELECT passage FROM chunks WHERE document = ?)", (document_id,)
    )
    database.execute("DELETE FROM chunks WHERE document = ?", (document_id,))
    return database.execute("DELETE FROM documents WHERE id = ?", (document_id,)).rowcount > 0
