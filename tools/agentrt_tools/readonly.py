"""SQLite for statements and values that nobody trusts.

A read-only open is not enough: it still lets a statement attach (and so create) other files, change pragmas, read
every table, and run or swell without end. So five guards stand together, each for what the others let through:

- `mode=ro` and `query_only`: nothing is written;
- an authorizer that knows only what may be done (select, read, function, recursive) and refuses the rest unseen:
  ATTACH, PRAGMA, VACUUM INTO, transactions, temporary tables, extensions, tables and functions that were not allowed;
- a progress handler that stops a query at its deadline;
- limits on lengths, because a single step may work on a whole value and no handler is asked meanwhile;
- caps on the rows and bytes of the result, said in it when they were reached.

Each query has a connection of its own, so it may come from any thread, and nothing it did stays behind.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from agentrt.errors import ToolError

KIB = 1024

_STEPS = 100
"""Steps of SQLite's machine between two looks at the clock."""

_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 64 * KIB,  # of a text, a blob, a row
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 50,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 10,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 16,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 50,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}

PLAIN_FUNCTIONS = frozenset(
    {"abs", "avg", "coalesce", "count", "date", "datetime", "dense_rank", "glob", "group_concat", "ifnull", "iif"}
    | {"julianday", "length", "like", "lower", "max", "min", "nullif", "rank", "round", "row_number", "strftime"}
    | {"substr", "substring", "sum", "time", "total", "typeof", "unixepoch", "upper"}
)
"""Functions whose cost and result stay near the size of their arguments. `instr`, `replace`, `trim` take quadratic time
within one step; `printf`, `zeroblob`, `randomblob`, `hex` make much out of little."""


_INNER_TABLES = frozenset({"sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema", "dbstat"})


class Guards(msgspec.Struct, frozen=True, kw_only=True):
    """What a query may see and take. None allows every table, or every function of SQLite.

    A view can be read only if the tables beneath it are allowed as well: SQLite tells the authorizer of a view by a
    name that a WITH clause can take for itself, so a rule by that name would open every table.
    `statement` is the bytes of SQL, `seconds` until the query is stopped; `rows` and `size` (bytes of JSON) are what
    its result may hold.
    """

    tables: frozenset[str] | None = None
    functions: frozenset[str] | None = None
    statement: int = 64 * KIB
    seconds: float = 2.0
    rows: int = 200
    size: int = 64 * KIB


class ReadOnlyDatabase:
    """One database file, read under guards. Its methods block."""

    def __init__(self, path: str | Path, guards: Guards) -> None:
        self._uri = f"{Path(path).resolve().as_uri()}?mode=ro"
        self._guards = guards
        self._tables = None if guards.tables is None else frozenset(name.lower() for name in guards.tables)

    def query(self, sql: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """The rows of one SELECT, by column. If there were more, the last row says so in a column "(note)".

        Of several columns of one name the second is called `name (2)`, and so on.

        Raises:
            ToolError: The statement is not allowed, is wrong, or took too long; the text is for the model.
        """
        deadline = time.monotonic() + self._guards.seconds
        try:
            with self._open() as database:
                database.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
                return self._rows(database.execute(sql, values or {}))
        except (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError) as error:
            if time.monotonic() > deadline:
                text = f"the query took longer than {self._guards.seconds:g} s and was stopped; ask for less"
                raise ToolError(text, code="query_timeout") from error
            raise ToolError(f"the query was refused: {error}", code="query_refused") from error

    def schema(self) -> dict[str, str]:
        """The statement that made each table or view, by its name in lower case.

        Raises:
            sqlite3.Error: The file cannot be read as a database.
        """
        with self._bare() as database:
            made = database.execute("SELECT lower(name), sql FROM sqlite_master WHERE type IN ('table', 'view')")
            return {name: sql for name, sql in made if sql}

    def check(self, sql: str, values: Mapping[str, Any]) -> None:
        """Compile a statement without running it.

        Raises:
            sqlite3.Error: It cannot work here, or is not allowed.
        """
        with self._open() as database:
            database.execute(f"EXPLAIN {sql}", values)

    @contextmanager
    def _bare(self) -> Generator[sqlite3.Connection]:
        database = sqlite3.connect(self._uri, uri=True, isolation_level=None)
        try:
            yield database
        finally:
            database.close()

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        with self._bare() as database:
            database.execute("PRAGMA query_only = ON")
            database.execute("PRAGMA trusted_schema = OFF")
            database.text_factory = _text
            for limit, value in _LIMITS.items():
                database.setlimit(limit, value)
            database.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, self._guards.statement)
            database.set_authorizer(self._rule(self._hidden(database)))
            yield database

    def _rule(self, hidden: frozenset[str]) -> Callable[..., int]:
        """The authorizer. `hidden` are the tables and views there are that may not be read, in lower case."""
        tables, functions = self._tables, self._guards.functions

        def may(action: int, first: str | None, second: str | None, *_: str | None) -> int:
            match action:
                case sqlite3.SQLITE_SELECT | sqlite3.SQLITE_RECURSIVE:
                    allowed = True
                case sqlite3.SQLITE_READ if second == "":  # no column, as by count(*); `first` may be a name from WITH
                    allowed = (first or "").lower() not in hidden
                case sqlite3.SQLITE_READ:
                    allowed = tables is None or (first or "").lower() in tables
                case sqlite3.SQLITE_FUNCTION:
                    allowed = second != "load_extension" and (functions is None or second in functions)
                case _:
                    allowed = False
            return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

        return may

    def _hidden(self, database: sqlite3.Connection) -> frozenset[str]:
        if self._tables is None:
            return frozenset()
        named = database.execute("SELECT lower(name) FROM sqlite_master")
        return frozenset(name for (name,) in named) - self._tables | _INNER_TABLES

    def _rows(self, cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
        names = _distinct(column[0] for column in cursor.description or ())
        rows: list[dict[str, Any]] = []
        left = self._guards.size - 200  # room for the brackets and the note
        for values in cursor:
            row = dict(zip(names, values, strict=True))
            left -= len(msgspec.json.encode(row)) + 1
            if left < 0 or len(rows) == self._guards.rows:
                return _noted(rows, self._guards)
            rows.append(row)
        return rows


def _distinct(names: Iterable[str]) -> list[str]:
    """The names with the repeats numbered, so that none is lost where they become keys."""
    distinct: dict[str, None] = {}
    for name in names:
        repeat, number = name, 1
        while repeat in distinct:
            number += 1
            repeat = f"{name} ({number})"
        distinct[repeat] = None
    return list(distinct)


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")


def _noted(rows: list[dict[str, Any]], guards: Guards) -> list[dict[str, Any]]:
    note = (
        f"cut here after {len(rows)} rows: at most {guards.rows} rows and {guards.size} bytes are shown; ask for less"
    )
    return [*rows[:-1], {**(rows[-1] if rows else {}), "(note)": note}]
