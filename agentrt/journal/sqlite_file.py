"""The file under a `SqliteJournal`: what is in it, and how it is opened.

A file that is not ours is never touched: its first bytes are read before SQLite sees it, since SQLite, asked to look
into somebody else's file, may already finish that file's transactions. For that to work our own mark must stand in
the file itself and not only in its write-ahead log, so the tables are made first and the log is switched on after.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal

from agentrt.errors import JournalFailed

Synchronous = Literal["NORMAL", "FULL"]

VERSION = 1
APPLICATION = int.from_bytes(b"agrt", "big")
BUSY = 5.0
"""Seconds to wait for another process that is writing."""

_MAGIC = b"SQLite format 3\0"
_SCHEMA = f"""
CREATE TABLE epochs (
    run_id TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL           -- only its writer may append
) STRICT, WITHOUT ROWID;
CREATE TABLE facts (
    run_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    fact TEXT NOT NULL,              -- JSON of one struct of agentrt.events
    PRIMARY KEY (run_id, seq)
) STRICT;
CREATE TABLE runs (                  -- what a list says of a run, told by its facts
    place INTEGER PRIMARY KEY,       -- in the order in which they started
    run_id TEXT NOT NULL UNIQUE,
    agent TEXT NOT NULL,
    thread TEXT,
    started_at REAL NOT NULL,        -- seconds since 1970
    ended TEXT                       -- the outcome; NULL while the run lives
) STRICT;
CREATE INDEX runs_by_thread ON runs (thread, place);
CREATE INDEX runs_unfinished ON runs (place) WHERE ended IS NULL;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""


def open_file(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    """A connection to the journal at `path`, made new where there is no file or an empty one.

    Raises:
        JournalFailed: it is something else, or of a later version; nothing was changed.
        sqlite3.Error, OSError: it cannot be opened.
    """
    _check(path)
    database = sqlite3.connect(path, timeout=BUSY, isolation_level=None)
    try:
        if _version(database) == 0:
            _create(database)
        if (version := _version(database)) != VERSION:
            raise _too_new(path, version)
        _switch_log_on(database)
        database.execute(f"PRAGMA synchronous = {synchronous}")
    except BaseException:
        database.close()
        raise
    return database


def _check(path: Path) -> None:
    if path.is_dir():
        raise JournalFailed(f'"{path}" is a folder: a journal is a file')
    if not path.parent.is_dir():
        raise JournalFailed(f'"{path}" cannot be made: there is no folder "{path.parent}"')
    if not path.exists():
        return
    if not path.is_file():
        raise JournalFailed(f'"{path}" is not a journal: it is not a regular file')
    with path.open("rb") as file:
        head = file.read(100)
    if not head:
        return
    if len(head) < 100 or not head.startswith(_MAGIC):
        raise JournalFailed(f'"{path}" is not a journal: it is not an SQLite database')
    version, application = (int.from_bytes(head[place : place + 4], "big") for place in (60, 68))
    if application != APPLICATION:
        raise JournalFailed(f'"{path}" is not a journal: it is an SQLite database of something else')
    if version > VERSION:
        raise _too_new(path, version)


def _too_new(path: Path, version: int) -> JournalFailed:
    return JournalFailed(f'"{path}" is a journal of version {version}; this agentrt knows version {VERSION}')


def _version(database: sqlite3.Connection) -> int:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)


def _create(database: sqlite3.Connection) -> None:
    """Make the tables, all or none, unless another process has just done so."""
    database.execute("BEGIN IMMEDIATE")
    try:
        if _version(database) == 0:
            for statement in _SCHEMA.split(";\n"):
                database.execute(statement)
        database.execute("COMMIT")
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


def _switch_log_on(database: sqlite3.Connection) -> None:
    """Write ahead. The switch does not wait for other processes as statements do; so an empty transaction does."""
    tries = 10
    for left in reversed(range(tries)):
        try:
            database.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError:
            if not left:
                raise
            database.execute("BEGIN EXCLUSIVE")
            database.execute("COMMIT")
        else:
            return
