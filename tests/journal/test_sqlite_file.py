"""The file under a journal: what is not a journal of ours is named and left alone."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec
import pytest

from agentrt.errors import JournalFailed, SettingInvalid
from agentrt.events import RunEnded, RunStarted
from agentrt.journal.journal import RunRow
from agentrt.journal.sqlite import SqliteJournal
from agentrt.messages import UserMessage
from agentrt.testing import assert_no_leaks


@asynccontextmanager
async def opened(path: Path) -> AsyncGenerator[SqliteJournal, None]:
    async with assert_no_leaks():
        journal = SqliteJournal(path)
        try:
            yield journal
        finally:
            await journal.aclose()


OURS = int.from_bytes(b"agrt", "big")


def _other(path: Path, application: int, version: int) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            f"PRAGMA application_id = {application}; PRAGMA user_version = {version};"
            "CREATE TABLE facts (run_id); INSERT INTO facts VALUES ('theirs');"
        )


def _with_log(path: Path) -> None:
    """Leave the file as a process that was killed does: with a log that is not in the file yet."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript("PRAGMA journal_mode = WAL; INSERT INTO facts VALUES ('in the log');")
        left = {name: path.with_name(name).read_bytes() for name in ("j.db", "j.db-wal")}
    for name, content in left.items():
        path.with_name(name).write_bytes(content)


def _damage(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)


def _make_bad(kind: str, path: Path) -> None:
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "text":
            path.write_text("Dear diary, " * 100)
        case "short":
            path.write_bytes(b"SQLite format 3\0")
        case "theirs" | "theirs, with a log":
            _other(path, 0, 0)
        case "newer" | "newer, with a log":
            _other(path, OURS, 3)
        case _:
            _other(path, OURS, 2)
            _damage(path)
    if kind.endswith("log"):
        _with_log(path)


BAD = {
    "folder": "is a folder: a journal is a file",
    "pipe": "not a regular file",
    "text": "not an SQLite database",
    "short": "not an SQLite database",
    "theirs": "an SQLite database of something else",
    "theirs, with a log": "an SQLite database of something else",
    "newer, with a log": "a journal of version 3; this agentrt knows version 2",
    "newer": "a journal of version 3; this agentrt knows version 2",
    "damaged": "malformed",
}


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() if file.is_file() else b"" for file in folder.iterdir()}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_is_no_journal_of_ours_is_named_and_left_alone(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "j.db"
    _make_bad(kind, path)
    before = _contents(tmp_path)

    async def main() -> None:
        async with opened(path) as journal:
            for call in (journal.take("r1"), journal.read("r1"), journal.runs()):
                with pytest.raises(JournalFailed, match=BAD[kind]) as failed:
                    await call
                assert str(path) in str(failed.value) and "\n" not in str(failed.value)
            with pytest.raises(JournalFailed, match=BAD[kind]):
                await journal.append("r1", 1, RunEnded(outcome="success"))

    asyncio.run(main())
    assert _contents(tmp_path) == before


def test_a_file_in_no_folder_cannot_be_made(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "no" / "j.db") as journal:
            with pytest.raises(JournalFailed, match=r'there is no folder ".*no"'):
                await journal.take("r1")

    asyncio.run(main())


def test_an_empty_file_becomes_a_journal(tmp_path: Path) -> None:
    (tmp_path / "j.db").touch()

    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            assert await journal.take("r1") == 1

    asyncio.run(main())


def test_synchronous_is_normal_or_full(tmp_path: Path) -> None:
    async def main() -> None:
        journal = SqliteJournal(tmp_path / "j.db", synchronous="FULL")
        assert await journal._ask(lambda database: database.execute("PRAGMA synchronous").fetchone()) == (2,)
        assert await journal._ask(lambda database: database.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
        await journal.aclose()

    asyncio.run(main())
    with pytest.raises(SettingInvalid, match='expected "NORMAL" or "FULL"'):
        SqliteJournal(tmp_path / "j.db", synchronous="OFF")  # type: ignore[arg-type]


FIRST_VERSION = """
CREATE TABLE epochs (run_id TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE facts (
    run_id TEXT NOT NULL, seq INTEGER NOT NULL, fact TEXT NOT NULL, PRIMARY KEY (run_id, seq)
) STRICT;
CREATE TABLE runs (
    place INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, agent TEXT NOT NULL, thread TEXT,
    started_at REAL NOT NULL, ended TEXT
) STRICT;
CREATE INDEX runs_by_thread ON runs (thread, place);
CREATE INDEX runs_unfinished ON runs (place) WHERE ended IS NULL;
"""


def _of_the_first_version(path: Path, *started: RunStarted) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(f"{FIRST_VERSION} PRAGMA application_id = {OURS}; PRAGMA user_version = 1;")
        for one in started:
            run_id, text = one.run_id, msgspec.json.encode(one).decode()
            database.execute("INSERT INTO epochs VALUES (?, 1)", (run_id,))
            database.execute("INSERT INTO facts VALUES (?, 1, ?)", (run_id, text))
            database.execute("INSERT INTO facts VALUES (?, 7, '{}')", (run_id,))
            database.execute(
                "INSERT INTO runs (run_id, agent, thread, started_at) VALUES (?, 'a', ?, 5)", (run_id, one.thread)
            )
        database.execute("INSERT INTO facts VALUES ('torn', 1, 'no JSON')")
        database.execute("INSERT INTO runs (run_id, agent, started_at, ended) VALUES ('torn', 'a', 5, 'success')")


def _first_runs() -> list[RunStarted]:
    asked = (UserMessage("How many?"),)
    first = RunStarted(run_id="r1", agent="a", model="p:m", messages=asked, ends_at=1, thread="t1", seq=1, at=5.0)
    return [first, msgspec.structs.replace(first, run_id="r2", previous="r1", principal="ada")]


def test_a_journal_of_the_first_version_is_opened_and_brought_up_to_date(tmp_path: Path) -> None:
    _of_the_first_version(tmp_path / "j.db", *_first_runs())

    async def main() -> None:
        for _ in range(2):
            async with opened(tmp_path / "j.db") as journal:
                assert list(await journal.runs()) == [
                    RunRow("r1", "a", "t1", 5.0, None, None, None, "How many?"),
                    RunRow("r2", "a", "t1", 5.0, None, "r1", "ada", "How many?"),
                    RunRow("torn", "a", None, 5.0, "success"),
                ]
                with pytest.raises(SettingInvalid, match='run "r2" of thread "t1" goes on from it'):
                    await journal.delete(["r1"])

    asyncio.run(main())


def test_two_processes_may_bring_it_up_to_date_at_once(tmp_path: Path) -> None:
    _of_the_first_version(tmp_path / "j.db", *_first_runs())

    async def main() -> None:
        journals = [SqliteJournal(tmp_path / "j.db") for _ in range(8)]
        async with asyncio.TaskGroup() as group:
            reads = [group.create_task(journal.last("t1")) for journal in journals]
        assert [read.result() for read in reads] == ["r2"] * 8
        for journal in journals:
            await journal.aclose()

    asyncio.run(main())


def test_what_was_deleted_is_not_in_the_file_any_more(tmp_path: Path) -> None:
    secret = "my number is 0171 555"

    async def write(journal: SqliteJournal) -> None:
        for number in range(50):
            run_id = f"ada/{number}"
            await journal.take(run_id)
            asked = (UserMessage(f"{secret} {'x' * number * 100}"),)
            started = RunStarted(run_id=run_id, agent="a", model="p:m", messages=asked, ends_at=1, thread="t1", seq=1)
            await journal.append(run_id, 1, started)

    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            await write(journal)
            assert any(secret.encode() in content for content in _contents(tmp_path).values())
            await journal.delete([row.run_id for row in await journal.runs(thread="t1")])
            for content in _contents(tmp_path).values():
                assert secret.encode() not in content and b"ada/" not in content
            assert await journal.take("r1") == 1

    asyncio.run(main())


def test_a_reader_in_another_process_does_not_keep_anything_from_being_deleted(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            (first, _) = _first_runs()
            await journal.append("r1", await journal.take("r1"), first)
            with closing(sqlite3.connect(tmp_path / "j.db", isolation_level=None)) as other:
                other.execute("BEGIN")
                assert other.execute("SELECT count(*) FROM facts").fetchone() == (1,)
                began = time.perf_counter()
                await journal.delete(["r1"])
                assert time.perf_counter() - began < 3  # nor does it keep the journal waiting
                assert list(await journal.runs()) == []
                other.execute("ROLLBACK")
                assert other.execute("SELECT count(*) FROM facts").fetchone() == (0,)

    asyncio.run(main())
