from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrt.database import transaction
from agentrt.errors import IndexFailed, SettingInvalid, Unreadable
from agentrt.index.index import Chunk, Document, Hit, Index
from agentrt.index.sqlite import SqliteIndex
from agentrt.offloop import aside
from agentrt.testing import assert_no_leaks


def document(name: str, *texts: str, title: str = "") -> Document:
    chunks: list[Chunk] = []
    at = 0
    for text in texts:
        chunks.append(Chunk(text, at, at + len(text)))
        at += len(text) + 2
    return Document(name, title or name, f"http://docs.example/{name}", tuple(chunks))


def found(documents: list[Document], query: str, k: int = 5) -> list[Hit]:
    async def main() -> list[Hit]:
        index: Index = SqliteIndex()
        for one in documents:
            await index.put(one)
        hits = list(await index.search(query, k))
        await index.aclose()
        return hits

    return asyncio.run(main())


def test_a_hit_says_where_it_comes_from() -> None:
    (hit,) = found([document("lease", "A lease is held.", "It is renewed every minute.", title="Leases")], "renewal")

    assert (hit.document, hit.title, hit.url) == ("lease", "Leases", "http://docs.example/lease")
    assert (hit.text, hit.start, hit.end) == ("It is renewed every minute.", 18, 45)
    assert hit.score > 0


def test_the_better_passage_comes_first_and_scores_higher() -> None:
    texts = [f"Filler about item {number} and nothing else." for number in range(20)]
    hits = found([document("a", *texts, "One lease.", "A lease is a lease is a lease.")], "leases?", k=2)

    assert [hit.text for hit in hits] == ["A lease is a lease is a lease.", "One lease."]
    assert hits[0].score > hits[1].score


def test_a_word_in_the_title_weighs_more_than_one_in_the_text() -> None:
    filler = [document(f"filler{number}", "Nothing of note is said in here.") for number in range(20)]
    hits = found(
        [document("body", "About a lease, in short."), document("t", "A page of words.", title="Lease"), *filler],
        "lease",
    )

    assert [hit.document for hit in hits] == ["t", "body"]


def test_a_marked_function_word_finds_the_page_of_that_name() -> None:
    filler = [document(f"d{number}", "One can work with this, for instance, and with that.") for number in range(30)]
    page = document("with", "Entering and leaving a block, by means of a manager.", title='The "with" statement')

    for question in ("how does `with` work?", "how does the with statement work?"):
        assert found([*filler, page], question, k=3)[0].document == "with"


def test_no_more_than_k_come_and_k_must_be_positive() -> None:
    many = document("a", *["lease"] * 10)

    assert len(found([many], "lease", k=3)) == 3
    with pytest.raises(SettingInvalid, match="k=0; it needs 1 or more"):
        found([many], "lease", k=0)


def test_a_document_put_again_replaces_all_of_the_old_one() -> None:
    async def main() -> None:
        index = SqliteIndex()
        await index.put(document("a", "old one", "old two"))
        await index.put(document("b", "old neighbour"))
        await index.put(document("a", "new one", title="New"))

        assert [hit.text for hit in await index.search("old")] == ["old neighbour"]
        assert [(hit.text, hit.title) for hit in await index.search("new")] == [("new one", "New")]
        await index.aclose()

    asyncio.run(main())


def test_a_document_that_cannot_be_stored_leaves_the_old_one() -> None:
    async def main() -> None:
        index = SqliteIndex()
        await index.put(document("a", "the old text"))
        with pytest.raises(Unreadable, match='"a" cannot be stored'):
            await index.put(Document("a", "a", "", (Chunk("the new text", 0, 12), Chunk("text", 2**70, 2**70 + 4))))

        assert [hit.text for hit in await index.search("text")] == ["the old text"]
        await index.aclose()

    asyncio.run(main())


def test_what_utf8_or_sqlite_cannot_keep_is_replaced_and_the_document_found_by_the_name_it_came_with() -> None:
    async def main() -> None:
        index = SqliteIndex()
        name = "caf\udce9\0.txt"
        await index.put(Document(name, "Caf\udce9", f"file:{name}", (Chunk("half a \ud800 lease\0d", 0, 15),)))

        (hit,) = await index.search("lease")
        assert (hit.document, hit.url) == ("caf\ufffd\ufffd.txt", "file:caf\ufffd\ufffd.txt")
        assert (hit.title, hit.text) == ("Caf\ufffd", "half a \ufffd lease\ufffdd")
        assert await index.versions([name, "other"]) == {name: ""}
        assert await index.remove(name)
        await index.aclose()

    asyncio.run(main())


def test_a_removed_document_is_found_no_more() -> None:
    async def main() -> None:
        index = SqliteIndex()
        await index.put(document("a", "lease"))

        assert await index.remove("a")
        assert not await index.remove("a")
        assert await index.search("lease") == []
        await index.aclose()

    asyncio.run(main())


def test_a_file_keeps_what_was_put(tmp_path: Path) -> None:
    path = tmp_path / "index.db"

    async def first() -> None:
        async with assert_no_leaks():
            index = SqliteIndex(path)
            await index.put(document("a", "lease"))
            await index.search("lease")
            await index.aclose()
            await index.aclose()

    async def second() -> list[str]:
        index = SqliteIndex(path)
        hits = await index.search("lease")
        await index.aclose()
        return [hit.document for hit in hits]

    asyncio.run(first())
    assert asyncio.run(second()) == ["a"]


OURS = int.from_bytes(b"agix", "big")
FOREIGN = "is not an index: it is an SQLite database of something else"


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize(
    ("application", "version", "told"),
    [
        (0, 0, FOREIGN),
        (0, 2, FOREIGN),
        (7, 2, FOREIGN),
        (OURS, 1, "is an index of version 1; this agentrt knows version 2; make it anew"),
        (OURS, 3, "is an index of version 3; this agentrt knows version 2$"),
    ],
)
def test_a_database_that_is_not_an_index_of_ours_is_refused_untouched(
    mode: str, application: int, version: int, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "other #1?.db"

    async def main() -> None:
        index = SqliteIndex(path)
        with pytest.raises(SettingInvalid, match=told):
            await index.put(document("a", "lease"))
        await index.aclose()

    with closing(sqlite3.connect(path)) as other:
        other.executescript(
            f"PRAGMA application_id = {application}; PRAGMA user_version = {version}; PRAGMA journal_mode = {mode};"
            "CREATE TABLE notes (text); INSERT INTO notes VALUES ('theirs');"
        )
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
        asyncio.run(main())
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_what_its_owner_left_half_done_is_left_so(tmp_path: Path) -> None:
    """A copy of a file within a transaction looks like one whose writer died: SQLite would undo it at once."""
    alive, path = tmp_path / "alive.db", tmp_path / "dead.db"
    with closing(sqlite3.connect(alive, isolation_level=None)) as other:
        other.executescript("CREATE TABLE notes (text); PRAGMA cache_size = 1; BEGIN;")
        other.executemany("INSERT INTO notes VALUES (?)", [("x" * 4000,)] * 100)
        path.write_bytes(alive.read_bytes())
        path.with_name("dead.db-journal").write_bytes(alive.with_name("alive.db-journal").read_bytes())
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    async def main() -> None:
        index = SqliteIndex(path)
        with pytest.raises(SettingInvalid, match=FOREIGN):
            await index.search("lease")
        await index.aclose()

    asyncio.run(main())
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_an_empty_file_becomes_an_index_with_a_log_and_a_second_opening_shares_it(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    path.touch()

    async def main() -> None:
        first, second = SqliteIndex(path), SqliteIndex(path)
        await first.put(document("a", "lease"))
        assert path.with_name("index.db-wal").exists()
        assert [hit.document for hit in await second.search("lease")] == ["a"]
        await second.put(document("b", "lease"))
        assert len(await first.search("lease")) == 2
        await first.aclose()
        await second.aclose()

    asyncio.run(main())


def test_a_closed_index_says_so() -> None:
    async def main() -> None:
        index = SqliteIndex()
        await index.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await index.search("lease")

    asyncio.run(main())


def test_a_search_does_not_wait_for_who_is_writing(tmp_path: Path) -> None:
    async def main() -> None:
        index = SqliteIndex(tmp_path / "index.db")
        await index.put(document("a", "the old lease"))
        writing, go = threading.Event(), threading.Event()

        def hold(database: sqlite3.Connection) -> None:
            with transaction(database):
                database.execute("DELETE FROM documents WHERE id = 'nobody'")
                writing.set()
                assert go.wait(10)

        held = index._filler.call(hold)
        new = asyncio.create_task(index.put(document("a", "the new lease")))
        await aside(writing.wait)
        assert [hit.text for hit in await index.search("lease")] == ["the old lease"]
        assert await index.versions(["a"]) == {"a": ""}
        go.set()
        await held
        await new
        assert [hit.text for hit in await index.search("lease")] == ["the new lease"]
        await index.aclose()

    asyncio.run(main())


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "index.db"

    async def main() -> None:
        index = SqliteIndex(path)
        await index.put(document("a", *["lease"] * 100))
        await index.aclose()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 40_000)
        index = SqliteIndex(path)
        with pytest.raises(IndexFailed, match=r'the index ".*index\.db": database disk image is malformed'):
            await index.put(document("a", "lease"))
        with pytest.raises(IndexFailed, match="malformed"):
            await index.search("lease")
        await index.aclose()

    asyncio.run(main())


def test_searches_and_puts_at_once_all_succeed() -> None:
    async def main() -> None:
        index = SqliteIndex()
        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(index.put(document(f"d{number % 10}", "lease", "leased")))
                group.create_task(_two_or_none(index))
        assert len(await index.search("lease", k=100)) == 20
        await index.aclose()

    async def _two_or_none(index: Index) -> None:
        hits = await index.search("lease", k=100)
        assert len(hits) % 2 == 0

    asyncio.run(main())


@settings(max_examples=60, deadline=None)
@given(st.text())
def test_no_query_raises(query: str) -> None:
    found([document("a", "lease")], query)
