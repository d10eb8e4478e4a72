"""The file under a journal: what is not a journal of ours is named and left alone."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from agentrt.errors import JournalFailed, SettingInvalid
from agentrt.events import RunEnded
from agentrt.journal.sqlite import SqliteJournal
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
            _other(path, OURS, 2)
        case _:
            _other(path, OURS, 1)
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
    "newer, with a log": "a journal of version 2; this agentrt knows version 1",
    "newer": "a journal of version 2; this agentrt knows version 1",
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
