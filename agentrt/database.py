"""A SQLite file of ours: how it is made and opened, and the one thread that works on it.

A file that is not ours is never touched: asked to look into somebody else's file, SQLite may already finish what its
owner left half done. So the first look is taken with `immutable=1`, which takes no lock, finishes nothing and makes no
file beside it. The look is SQLite's own and no `open()`: closing any descriptor of a file drops all locks that the
process holds on it, those of other connections too, and only SQLite knows of them and waits.

The look sees the file without its write-ahead log. For our mark to stand in the file itself the tables are made first,
all or none, and the log is switched on after.
"""

from __future__ import annotations

import asyncio
import sqlite3
from asyncio import Future
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from agentrt.offloop import OneThread

T = TypeVar("T")

BUSY = 5.0
"""Seconds to wait for another process that is writing."""

MEMORY = ":memory:"


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """What the files of one kind hold, and how their errors are raised.

    Attributes:
        kind: What such a file is, with its article: "a journal".
        application: Four letters that mark the file as ours.
        version: Of the schema. A file of a newer version is refused, and one of an older if no step leads on from it.
        schema: Statements, each ending its line with ";".
        refused: The error for a path at which no such file is or can be.
        failed: The error for a file that cannot be opened, read or written.
        steps: By an older version, what makes a file of it one of the next version.
    """

    kind: str
    application: bytes
    version: int
    schema: str
    refused: Callable[[str], Exception]
    failed: Callable[[str], Exception]
    steps: Mapping[int, Callable[[sqlite3.Connection], object]] = field(
        default_factory=dict[int, Callable[[sqlite3.Connection], object]]
    )


class Database:
    """One connection to the file at `path`, on a thread of its own. The first call opens it, and makes it if need be.

    Args:
        path: The file, relative to the working directory of now; or `MEMORY`.
        name: Of the thread.
        setup: Statements for the connection once it is open.
    """

    def __init__(self, form: Form, path: str | Path, name: str, *setup: str) -> None:
        self.path = Path(path) if str(path) == MEMORY else Path(path).absolute()
        self.thread = OneThread(name)
        self._form = form
        self._setup = setup
        self._opened: sqlite3.Connection | None = None
        self._closed: Future[None] | None = None

    def call(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """What `work` returns or raises, done after all calls before; what SQLite and the system raise, as `failed`."""
        return self.thread.call(partial(self._done, work))

    async def aclose(self) -> None:
        """Close the file after the calls made so far. Calling it twice is allowed."""
        if self._closed is None:
            self._closed = self.thread.close(self._close)
        await asyncio.shield(self._closed)

    def describe(self, error: BaseException) -> str:
        """What went wrong, and with which file."""
        return f'the {self._form.kind.split()[1]} "{self.path}": {error}'

    # ---- on the thread -----------------------------------------------------------------------------

    def connection(self) -> sqlite3.Connection:
        """The open file. It begins no transaction by itself; see `transaction`."""
        if self._opened is None:
            self._opened = _opened(self._form, self.path, self._setup)
        return self._opened

    def _done(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return work(self.connection())
        except (sqlite3.Error, OSError, ValueError) as error:
            raise self._form.failed(self.describe(error)) from error

    def _close(self) -> None:
        try:
            if self._opened is not None:
                self._opened.close()
        except sqlite3.Error as error:
            raise self._form.failed(self.describe(error)) from error


@contextmanager
def transaction(database: sqlite3.Connection) -> Generator[None, None, None]:
    """All that is written inside is kept, or none of it. Waits for another process that is writing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


@contextmanager
def snapshot(database: sqlite3.Connection) -> Generator[None, None, None]:
    """All that is read inside is of one moment, whatever others write meanwhile."""
    database.execute("BEGIN")
    try:
        yield
    finally:
        database.execute("ROLLBACK")


def empty_log(database: sqlite3.Connection) -> None:
    """Write what stands in the log into the file, and leave nothing in it unless somebody is reading there now."""
    database.execute("PRAGMA busy_timeout = 0").fetchall()
    try:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        database.execute(f"PRAGMA busy_timeout = {BUSY * 1e3:.0f}").fetchall()


def _opened(form: Form, path: Path, setup: tuple[str, ...]) -> sqlite3.Connection:
    if str(path) != MEMORY:
        _look(form, path)
    database = sqlite3.connect(path, timeout=BUSY, isolation_level=None)
    try:
        if _mark(database) == (0, 0):
            _create(form, database)
        _check(form, path, _mark(database))
        _upgrade(form, database)
        _switch_log_on(database)
        for statement in setup:
            database.execute(statement)
    except BaseException:
        database.close()
        raise
    return database


def _look(form: Form, path: Path) -> None:
    """Refuse what is not ours, without changing it."""
    if path.is_dir():
        raise form.refused(f'"{path}" is a folder: {form.kind} is a file')
    if not path.parent.is_dir():
        raise form.refused(f'"{path}" cannot be made: there is no folder "{path.parent}"')
    if not path.exists():
        return
    if not path.is_file():
        raise form.refused(f'"{path}" is not {form.kind}: it is not a regular file')
    if not path.stat().st_size:
        return
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as look:
        # Without this, a file whose pages are being written while we look would count as malformed.
        look.execute("PRAGMA writable_schema = ON")
        try:
            mark = _mark(look)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
                raise
            raise form.refused(f'"{path}" is not {form.kind}: it is not an SQLite database') from error
    _check(form, path, mark)


def _check(form: Form, path: Path, mark: tuple[int, int]) -> None:
    application, version = mark
    if application != int.from_bytes(form.application, "big"):
        raise form.refused(f'"{path}" is not {form.kind}: it is an SQLite database of something else')
    if version != form.version and version not in form.steps:
        advice = "; make it anew" if version < form.version else ""
        raise form.refused(
            f'"{path}" is {form.kind} of version {version}; this agentrt knows version {form.version}{advice}'
        )


def _mark(database: sqlite3.Connection) -> tuple[int, int]:
    """Whose file it is, and of which version; (0, 0) if nobody has said."""
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    return application, version


def _create(form: Form, database: sqlite3.Connection) -> None:
    """Make the tables, all or none, unless somebody else has put something there just now."""
    with transaction(database):
        if database.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            for statement in form.schema.split(";\n"):
                database.execute(statement)
            database.execute(f"PRAGMA application_id = {int.from_bytes(form.application, 'big')}")
            database.execute(f"PRAGMA user_version = {form.version}")


def _upgrade(form: Form, database: sqlite3.Connection) -> None:
    """Make a file of an older version one of ours, step by step, all or none."""
    if _mark(database)[1] == form.version:
        return
    with transaction(database):
        while (version := _mark(database)[1]) < form.version:  # somebody else may have done it just now
            form.steps[version](database)
            database.execute(f"PRAGMA user_version = {version + 1}")


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
