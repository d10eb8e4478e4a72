"""A journal in one SQLite file: facts outlive the process that wrote them.

Theory: one thread does all of SQLite. `append` puts a fact in line and wakes the thread; whatever stands in line when
the thread comes by is one transaction (group commit), and the futures of the group are done once it is committed, in
the order of the calls. Reads wait in the same line, so they see all that was acknowledged before.

A run has one writer: who has taken its latest epoch. The epoch stands in the file and is compared inside the
transaction that writes, under SQLite's write lock, so it holds between processes too. An append that failed fails all
that its epoch appends behind it: a fact is never kept whose predecessor was not.

The file is in WAL mode. With `synchronous="NORMAL"` no acknowledged fact is lost when the process dies; when power is
lost the last ones may be, but never one from the middle. "FULL" waits for the disk at every commit.

What is deleted is overwritten, in the file and in its log, for it may be what a person said. Only a log that somebody
is reading right then stays as it is, until it is written through the next time that nobody reads.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from asyncio import Future
from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from agentrt.database import Database, empty_log, transaction
from agentrt.errors import JournalFailed, SettingInvalid
from agentrt.events import Fact, RunEnded, RunStarted
from agentrt.journal.journal import (
    ALL,
    AnyPrincipal,
    RunRow,
    ThreadRow,
    excerpt,
    needed_by,
    not_the_writer,
)
from agentrt.journal.sqlite_file import FORM, Synchronous
from agentrt.surrogates import mended_text

T = TypeVar("T")

_FACT: msgspec.json.Decoder[Fact] = msgspec.json.Decoder(Fact)

_EPOCH = "SELECT epoch FROM epochs WHERE run_id = ?"
_TAKE = "INSERT INTO epochs VALUES (?, 1) ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch"
_APPEND = "INSERT INTO facts VALUES (?, ?, ?)"
_START = """
INSERT INTO runs (run_id, agent, thread, started_at, previous, principal, asked) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING
"""
_END = "UPDATE runs SET ended = ? WHERE run_id = ?"
_READ = "SELECT seq, fact FROM facts WHERE run_id = ? AND seq > ? ORDER BY seq"
_RUNS = "SELECT run_id, agent, thread, started_at, ended, previous, principal, asked FROM runs"
_LAST = "SELECT run_id FROM runs WHERE thread = ? ORDER BY place DESC LIMIT 1"
_THREADS = """
SELECT one.thread, runs, unfinished, one.started_at, last.started_at, last.run_id, one.principal, one.asked
FROM (
    SELECT COUNT(*) AS runs, COUNT(*) - COUNT(ended) AS unfinished, MIN(place) AS lowest, MAX(place) AS highest
    FROM runs WHERE thread IS NOT NULL GROUP BY thread
)
JOIN runs one ON one.place = lowest JOIN runs last ON last.place = highest
WHERE :all OR one.principal IS :principal
ORDER BY highest DESC LIMIT :limit
"""
_FOLLOWER = "SELECT run_id, thread, previous FROM runs WHERE previous = ?"
_DELETE = (
    "DELETE FROM facts WHERE run_id = ?",
    "DELETE FROM runs WHERE run_id = ?",
    "DELETE FROM epochs WHERE run_id = ?",
)


class _Append(msgspec.Struct):
    """A fact in line. `error` is why it was not kept, None if it was."""

    run_id: str
    epoch: int
    fact: Fact
    text: str
    kept: Future[None]
    error: JournalFailed | None = None


class SqliteJournal:
    """A `Journal` in a file. The first call opens it, and makes it where there is none.

    Args:
        path: The file; relative to the working directory of now.
        synchronous: "NORMAL" survives the death of the process, "FULL" the loss of power too.
    """

    def __init__(self, path: str | Path, *, synchronous: Synchronous = "NORMAL") -> None:
        if synchronous not in ("NORMAL", "FULL"):
            raise SettingInvalid(f'SqliteJournal(synchronous={synchronous!r}): expected "NORMAL" or "FULL"')
        setup = (f"PRAGMA synchronous = {synchronous}", "PRAGMA secure_delete = ON")
        self._file = Database(FORM, path, "agentrt-journal", *setup)
        self._line: deque[_Append] = deque()
        self._woken = False
        # Of the thread:
        self._lost: dict[tuple[str, int], JournalFailed] = {}  # (run, epoch) that appends no more; few ever do

    def append(self, run_id: str, epoch: int, fact: Fact) -> Future[None]:
        kept: Future[None] = asyncio.get_running_loop().create_future()
        if self._file.thread.closed:
            kept.set_exception(self._is_closed())
            return kept
        one = _Append(run_id, epoch, fact, "", kept)
        try:
            one.fact, one.text = _encoded(fact)
        except (TypeError, ValueError, OverflowError) as error:  # it stands in line: what is behind it must fail too
            one.error = JournalFailed(f"{_name(run_id, fact.seq)} cannot be kept: {error}")
        self._line.append(one)
        if not self._woken:
            self._woken = True
            group: list[_Append] = []
            self._file.thread.call(partial(self._write, group)).add_done_callback(lambda _: _acknowledge(group))
        return kept

    async def read(self, run_id: str, after: int = 0) -> Sequence[Fact]:
        return await self._ask(
            lambda database: [_decoded(run_id, *row) for row in database.execute(_READ, (run_id, after))]
        )

    async def take(self, run_id: str) -> int:
        ((epoch,),) = await self._ask(lambda database: database.execute(_TAKE, (run_id,)).fetchall())
        return int(epoch)

    async def runs(self, *, thread: str | None = None, unfinished: bool = False) -> Sequence[RunRow]:
        wanted = ["thread = :thread"] * (thread is not None) + ["ended IS NULL"] * unfinished
        query = f"{_RUNS} WHERE {' AND '.join(wanted or ['TRUE'])} ORDER BY place"
        values = {"thread": thread and mended_text(thread)}
        return await self._ask(lambda database: [RunRow(*row) for row in database.execute(query, values)])

    async def last(self, thread: str) -> str | None:
        found = await self._ask(lambda database: database.execute(_LAST, (mended_text(thread),)).fetchone())
        return None if found is None else str(found[0])

    async def threads(self, *, principal: AnyPrincipal = ALL, limit: int | None = None) -> Sequence[ThreadRow]:
        wanted = None if principal is ALL or principal is None else mended_text(principal)
        values = {"all": principal is ALL, "principal": wanted, "limit": -1 if limit is None else limit}
        return await self._ask(lambda database: [ThreadRow(*row) for row in database.execute(_THREADS, values)])

    async def delete(self, run_ids: Collection[str]) -> None:
        going = frozenset(run_ids)
        await self._ask(lambda database: self._delete(database, going))

    async def aclose(self) -> None:
        await self._file.aclose()

    def _is_closed(self) -> JournalFailed:
        return JournalFailed(f'the journal "{self._file.path}" is closed')

    async def _ask(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._file.thread.closed:
            raise self._is_closed()
        return await self._file.call(work)

    # ---- on the thread -----------------------------------------------------------------------------

    def _write(self, group: list[_Append]) -> None:
        """Keep what stands in line, and put it into `group` for who acknowledges it."""
        self._woken = False  # first: what comes from here on wakes the thread again
        while self._line:
            group.append(self._line.popleft())
        if not group:
            return
        try:
            self._commit(self._file.connection(), group)
        except BaseException as error:  # noqa: BLE001 - whatever it is, who waits for the group must be told
            for one in group:
                self._lose(one, one.error or self._failed(error))

    def _commit(self, database: sqlite3.Connection, group: list[_Append]) -> None:
        with transaction(database):
            epochs: dict[str, int] = {}
            for one in group:
                self._insert(database, one, epochs)

    def _insert(self, database: sqlite3.Connection, one: _Append, epochs: dict[str, int]) -> None:
        if one.run_id not in epochs:
            found = database.execute(_EPOCH, (one.run_id,)).fetchone()
            epochs[one.run_id] = found[0] if found else 0
        if one.epoch != epochs[one.run_id]:
            one.error = JournalFailed(not_the_writer(one.run_id, one.epoch, epochs[one.run_id]))
            return
        if lost := self._lost.get((one.run_id, one.epoch)):
            one.error = JournalFailed(f"a fact of run {one.run_id} before this one was not kept: {lost}")
            return
        if one.error:
            self._lose(one, one.error)
            return
        try:
            database.execute(_APPEND, (one.run_id, one.fact.seq, one.text))
        except sqlite3.IntegrityError:
            self._lose(one, JournalFailed(f"{_name(one.run_id, one.fact.seq)} is there already"))
        except (sqlite3.DataError, OverflowError) as error:
            self._lose(one, JournalFailed(f"{_name(one.run_id, one.fact.seq)} cannot be kept: {error}"))
        else:
            _list(database, one.run_id, one.fact)

    def _delete(self, database: sqlite3.Connection, going: frozenset[str]) -> None:
        with transaction(database):
            for run_id in going:
                for follower, thread, previous in database.execute(_FOLLOWER, (run_id,)):
                    if follower not in going:
                        raise SettingInvalid(needed_by(follower, thread, previous))
            for statement in _DELETE:
                database.executemany(statement, [(run_id,) for run_id in going])
        for lost in [key for key in self._lost if key[0] in going]:
            del self._lost[lost]
        empty_log(database)

    def _lose(self, one: _Append, error: JournalFailed) -> None:
        one.error = error
        self._lost.setdefault((one.run_id, one.epoch), error)

    def _failed(self, error: BaseException) -> JournalFailed:
        return error if isinstance(error, JournalFailed) else JournalFailed(self._file.describe(error))


def _acknowledge(group: list[_Append]) -> None:
    """On the loop: tell who waits. Who waits no more has its fact all the same."""
    for one in group:
        if one.kept.done():
            continue
        if one.error is None:
            one.kept.set_result(None)
        else:
            one.kept.set_exception(one.error)


def _list(database: sqlite3.Connection, run_id: str, fact: Fact) -> None:
    if isinstance(fact, RunStarted):
        values = (run_id, fact.agent, fact.thread, fact.at, fact.previous, fact.principal, excerpt(fact))
        database.execute(_START, values)
    elif isinstance(fact, RunEnded):
        database.execute(_END, (fact.outcome, run_id))


def _encoded(fact: Fact) -> tuple[Fact, str]:
    """The fact as it will be read back, and its JSON.

    A lone surrogate, half a character that UTF-8 cannot spell, becomes U+FFFD.
    """
    try:
        text = msgspec.json.encode(fact).decode()
    except UnicodeEncodeError:
        text = mended_text(json.dumps(msgspec.to_builtins(fact), ensure_ascii=False))
    return _FACT.decode(text), text


def _decoded(run_id: str, seq: int, text: str) -> Fact:
    try:
        return _FACT.decode(text)
    except msgspec.DecodeError as error:
        raise JournalFailed(f"{_name(run_id, seq)} cannot be read: {error}") from error


def _name(run_id: str, seq: int) -> str:
    return f"fact {seq} of run {run_id}"
