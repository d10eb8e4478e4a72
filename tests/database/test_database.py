"""A file of ours: made whole, refused untouched, and locked as it was after a look. What the journal and the index hold
in theirs is tested with them.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import pytest

from agentrt.database import MEMORY, Database, Form, _create, _look, _switch_log_on, transaction
from agentrt.testing import assert_no_leaks


class Refused(Exception):
    pass


class Failed(Exception):
    pass


SHELF = Form(
    kind="a shelf",
    application=b"agts",
    version=3,
    schema="CREATE TABLE things (name TEXT NOT NULL) STRICT;\nCREATE INDEX by_name ON things (name);\n",
    refused=Refused,
    failed=Failed,
)


@asynccontextmanager
async def shelf(path: Path | str) -> AsyncGenerator[Database, None]:
    async with assert_no_leaks():
        database = Database(SHELF, path, "shelf")
        try:
            yield database
        finally:
            await database.aclose()


async def ask(database: Database, statement: str) -> list[tuple[object, ...]]:
    return await database.call(lambda connection: connection.execute(statement).fetchall())


def elsewhere(path: Path, *statements: str) -> str:
    """What another process says that does this to the file, and waits for nobody."""
    code = f"""
import sqlite3
database = sqlite3.connect({str(path)!r}, timeout=0, isolation_level=None)
try:
    for statement in {statements!r}:
        said = database.execute(statement).fetchall()
    print(said)
except sqlite3.Error as error:
    print(error)
database.close()
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_file_is_made_by_the_first_call_and_marked_in_itself(tmp_path: Path) -> None:
    path = tmp_path / "s.db"

    async def main() -> None:
        async with shelf(path) as database:
            assert not path.exists()
            assert await ask(database, "SELECT * FROM things") == []
            head = path.read_bytes()[:100]
            assert head[68:72] == b"agts" and head[60:64] == b"\0\0\0\3"
            assert await ask(database, "PRAGMA journal_mode") == [("wal",)]

    asyncio.run(main())


def test_memory_is_a_place_too() -> None:
    async def main() -> None:
        async with shelf(MEMORY) as database:
            await ask(database, "INSERT INTO things VALUES ('lamp')")
            assert await ask(database, "SELECT name FROM things") == [("lamp",)]

    asyncio.run(main())


def test_the_path_is_relative_to_the_folder_of_its_making(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()

    async def main() -> None:
        async with shelf("s.db") as database:
            monkeypatch.chdir(tmp_path / "other")
            await ask(database, "SELECT 1")

    asyncio.run(main())
    assert (tmp_path / "s.db").exists()


def test_another_version_is_refused_and_an_older_one_gets_advice(tmp_path: Path) -> None:
    for version, told in ((2, "version 3; make it anew"), (4, "of version 4; this agentrt knows version 3$")):
        path = tmp_path / f"{version}.db"
        with closing(sqlite3.connect(path)) as other:
            other.executescript(f"PRAGMA application_id = {0x61677473}; PRAGMA user_version = {version}")

        async def main(path: Path = path, told: str = told) -> None:
            async with shelf(path) as database:
                with pytest.raises(Refused, match=told):
                    await ask(database, "SELECT 1")

        asyncio.run(main())


def test_an_older_file_is_led_on_step_by_step_by_all_who_open_it_or_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    steps: dict[int, Callable[[sqlite3.Connection], object]] = {
        1: lambda database: database.execute("ALTER TABLE things ADD COLUMN colour TEXT"),
        2: lambda database: database.execute("UPDATE things SET colour = 'red'"),
    }

    async def colours(form: Form) -> list[tuple[object, ...]]:
        async with assert_no_leaks():
            database = Database(form, path, "shelf")
            try:
                return await ask(database, "SELECT * FROM things")
            finally:
                await database.aclose()

    def fail(_: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk full")

    with closing(sqlite3.connect(path)) as other, other:
        other.executescript(f"PRAGMA application_id = {0x61677473}; PRAGMA user_version = 1")
        other.executescript("CREATE TABLE things (name TEXT NOT NULL); INSERT INTO things VALUES ('lamp')")
    with pytest.raises(Failed, match="disk full"):
        asyncio.run(colours(replace(SHELF, steps={**steps, 2: fail})))
    for _ in range(2):
        assert asyncio.run(colours(replace(SHELF, steps=steps))) == [("lamp", "red")]


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.db"

    def refuse(*_: object, **__: object) -> None:  # root may open all
        raise sqlite3.OperationalError("unable to open database file")

    async def main() -> None:
        async with shelf(path) as database:
            with monkeypatch.context() as patched:
                patched.setattr(sqlite3, "connect", refuse)
                with pytest.raises(Failed, match=r'the shelf ".*s\.db": unable to open'):
                    await ask(database, "SELECT 1")
            assert await ask(database, "SELECT 1") == [(1,)]  # the next call tries again

    asyncio.run(main())


def test_what_statements_raise_is_told_in_the_files_own_error(tmp_path: Path) -> None:
    async def main() -> None:
        async with shelf(tmp_path / "s.db") as database:
            with pytest.raises(Failed, match=r's\.db": no such table: lamps'):
                await ask(database, "SELECT * FROM lamps")
            with pytest.raises(LookupError):
                await database.call(_mistake)

    asyncio.run(main())


def _mistake(_: sqlite3.Connection) -> None:
    raise LookupError("a mistake of ours is no failure of the file")


def test_a_transaction_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    def half(connection: sqlite3.Connection) -> None:
        with transaction(connection):
            connection.execute("INSERT INTO things VALUES ('lamp')")
            raise LookupError

    async def main() -> None:
        async with shelf(tmp_path / "s.db") as database:
            with pytest.raises(LookupError):
                await database.call(half)
            assert await ask(database, "SELECT * FROM things") == []

    asyncio.run(main())


# ---- looking ---------------------------------------------------------------------------------------


def test_a_second_opening_keeps_the_locks_of_the_first(tmp_path: Path) -> None:
    """Had the look closed a descriptor of its own, other processes could take the log away from under us."""
    path = tmp_path / "s.db"

    async def main() -> None:
        async with shelf(path) as first:
            second = Database(SHELF, path, "second")
            await ask(first, "INSERT INTO things VALUES ('lamp')")
            await ask(second, "SELECT 1")
            assert "locked" in elsewhere(path, "PRAGMA journal_mode = DELETE")
            assert elsewhere(path, "INSERT INTO things VALUES ('vase')") == "[]"
            assert path.with_name("s.db-wal").exists()  # who leaves last takes it along, and that is not they
            assert len(await ask(first, "SELECT * FROM things")) == 2

            await ask(first, "BEGIN IMMEDIATE")
            third = Database(SHELF, path, "third")
            assert len(await ask(third, "SELECT * FROM things")) == 2
            assert "locked" in elsewhere(path, "INSERT INTO things VALUES ('bowl')")
            await third.aclose()
            assert "locked" in elsewhere(path, "INSERT INTO things VALUES ('bowl')")
            await ask(first, "COMMIT")
            await second.aclose()

    asyncio.run(main())


def test_a_look_keeps_the_lock_of_who_is_making_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as maker:
        _create(SHELF, maker)
        maker.execute("BEGIN IMMEDIATE")

        async def main() -> None:
            async with shelf(path) as database:
                opened = database.call(lambda connection: connection.execute("SELECT * FROM things").fetchall())
                assert "locked" in elsewhere(path, "BEGIN IMMEDIATE")
                maker.execute("COMMIT")
                assert await opened == []

        asyncio.run(main())


def test_a_file_that_is_growing_while_we_look_is_ours_all_the_same(tmp_path: Path) -> None:
    """What a checkpoint has written so far: a first page that counts pages which are still to come."""
    path = tmp_path / "s.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as maker:
        _create(SHELF, maker)
    whole = path.read_bytes()
    path.write_bytes(whole[:4096])

    _look(SHELF, path)


@pytest.mark.parametrize(
    "content", [b"Dear", b"Dear diary, " * 900, b"SQLite format 3\0", b"SQLite format 3\0" + bytes(9000)]
)
def test_what_is_no_database_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(content)
    with pytest.raises(Refused, match=r's\.db" is not a shelf: it is not an SQLite database'):
        _look(SHELF, path)


# ---- making, when others do ------------------------------------------------------------------------


def test_switching_the_log_on_waits_for_who_is_writing(tmp_path: Path) -> None:
    with (
        closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as mine,
        closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None, check_same_thread=False)) as theirs,
    ):
        _create(SHELF, mine)
        theirs.execute("BEGIN IMMEDIATE")
        waiting = threading.Event()
        mine.set_trace_callback(lambda said: waiting.set() if said == "BEGIN EXCLUSIVE" else None)

        def finish() -> None:
            waiting.wait(5)
            theirs.execute("COMMIT")

        thread = threading.Thread(target=finish)
        thread.start()
        _switch_log_on(mine)
        thread.join()
        assert mine.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_who_comes_second_leaves_what_the_first_has_made(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as database:
        _create(SHELF, database)
        _create(SHELF, database)
        assert database.execute("SELECT * FROM things").fetchall() == []


def test_many_may_make_the_same_file_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        for attempt in range(5):
            path = tmp_path / f"{attempt}.db"
            many = [Database(SHELF, path, f"shelf-{number}") for number in range(8)]
            opened = [database.call(lambda connection: connection.total_changes) for database in many]
            for one in opened:
                await one
            for database in many:
                await database.aclose()
                await database.aclose()

    asyncio.run(main())
