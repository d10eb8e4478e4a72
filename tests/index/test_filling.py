"""What a pipeline relies on: units, the ledger, the cache of embeddings, the quarantine. Most of it in memory."""

from __future__ import annotations

import asyncio
import sqlite3
from array import array
from collections.abc import Awaitable, Callable
from hashlib import sha256
from pathlib import Path

import pytest

from agentrt.errors import IndexFailed, SettingInvalid, Unreadable
from agentrt.index.index import Chunk, Counts, Document, Entry, IngestIndex, Quarantined
from agentrt.index.sqlite import SqliteIndex


def vector(text: str) -> bytes:
    """Some vector of four numbers that is always the same for a text. Nobody searches here, so its length is free."""
    return array("f", [byte / 255 for byte in sha256(text.encode()).digest()[:4]]).tobytes()


def document(name: str, *texts: str) -> Document:
    return Document(
        name, name.title(), f"http://docs.example/{name}", tuple(Chunk(text, 0, len(text)) for text in texts)
    )


def entry(name: str, *texts: str, version: str = "1", source: str = "", vectors: bool = False) -> Entry:
    made = document(name, *texts)
    given = tuple(map(vector, made.embedded())) if vectors else None
    return Entry(document=made, version=version, source=source, vectors=given)


def bad(name: str) -> Entry:
    """One whose second chunk SQLite cannot keep."""
    return Entry(document=Document(name, name, "", (Chunk("lease", 0, 5), Chunk("lease", 2**70, 2**70))), version="9")


def failed(name: str, *, attempts: int = 1, source: str = "", error: str = "no") -> Quarantined:
    return Quarantined(
        id=name,
        url=f"file:{name}",
        source=source,
        stage="parse",
        kind="Unreadable",
        error=error,
        attempts=attempts,
        size=3,
        correlation="c1",
        at=12.5,
        content=b"\0\xff%",
    )


def run(body: Callable[[SqliteIndex], Awaitable[None]], path: str | Path = ":memory:") -> None:
    async def main() -> None:
        index = SqliteIndex(path)
        try:
            await body(index)
        finally:
            await index.aclose()

    asyncio.run(main())


async def rows(index: SqliteIndex, query: str) -> list[tuple[object, ...]]:
    return await index._filler.call(lambda database: database.execute(query).fetchall())


async def written(index: SqliteIndex) -> int:
    return await index._filler.call(lambda database: database.total_changes)


async def is_sound(index: SqliteIndex) -> None:
    """No passage without chunk, no chunk without passage, document or vector, no vector that nobody needs."""
    assert await rows(index, "SELECT rowid FROM passages ORDER BY 1") == await rows(
        index, "SELECT passage FROM chunks ORDER BY 1"
    )
    assert await rows(index, "SELECT 1 FROM chunks WHERE document NOT IN (SELECT place FROM documents)") == []
    assert (
        await rows(index, "SELECT vector FROM chunks WHERE vector IS NOT NULL EXCEPT SELECT place FROM vectors") == []
    )
    assert await rows(index, "SELECT place FROM vectors EXCEPT SELECT vector FROM chunks") == []


# ---- storing ---------------------------------------------------------------------------------------


def test_what_is_stored_is_in_by_version_and_source_and_found() -> None:
    async def body(index: SqliteIndex) -> None:
        named: IngestIndex = index
        stored = await named.store([entry("a", "a lease", version="v1", source="s"), entry("b", "b", "c", source="t")])

        assert stored == [None, None]
        assert await named.versions(["b", "x", "a"]) == {"b": "1", "a": "v1"}
        assert await named.listed("s") == {"a"}
        assert await named.listed("other") == frozenset()
        assert await named.counts() == Counts(2, 3, 0, 0)
        assert [hit.document for hit in await named.search("lease")] == ["a"]

    run(body)


def test_the_entries_of_one_call_are_one_commit(tmp_path: Path) -> None:
    async def body(index: SqliteIndex) -> None:
        await index.counts()
        said: list[str] = []
        await index._filler.call(lambda database: database.set_trace_callback(said.append))
        await index.store([entry("a", "one"), bad("b"), entry("c", "two")])
        assert [one for one in said if one.split()[0] in ("BEGIN", "COMMIT", "ROLLBACK")] == [
            "BEGIN IMMEDIATE",
            "ROLLBACK TO entry",
            "COMMIT",
        ]

    run(body, tmp_path / "i.db")


def test_an_entry_that_cannot_be_stored_fails_alone_and_leaves_what_was_there() -> None:
    async def body(index: SqliteIndex) -> None:
        await index.store([entry("b", "the old lease")])
        first, error, last = await index.store([entry("a", "one"), bad("b"), entry("c", "two")])

        assert first is None and last is None
        assert isinstance(error, Unreadable) and 'the document "b" cannot be stored' in str(error)
        assert await index.versions(["a", "b", "c"]) == {"a": "1", "b": "1", "c": "1"}
        assert [hit.text for hit in await index.search("lease")] == ["the old lease"]
        await is_sound(index)

    run(body)


def test_a_commit_that_fails_keeps_nothing_and_the_next_one_does(tmp_path: Path) -> None:
    async def body(index: SqliteIndex) -> None:
        await index.store([entry("a", "the old lease")])
        await rows(index, "PRAGMA max_page_count = 40")
        with pytest.raises(IndexFailed, match=r"i\.db.*full"):
            await index.store([entry("a", "new"), entry("big", *["lease " * 2000] * 50)])
        assert await index.versions(["a", "big"]) == {"a": "1"}
        assert [hit.text for hit in await index.search("lease")] == ["the old lease"]
        await rows(index, "PRAGMA max_page_count = 100000")
        assert await index.store([entry("a", "new"), entry("big", "lease")]) == [None, None]

    run(body, tmp_path / "i.db")


def test_the_same_document_twice_is_in_as_it_came_last() -> None:
    async def body(index: SqliteIndex) -> None:
        await index.store([entry("a", "one", version="1"), entry("a", "two", "three", version="2")])
        assert await index.versions(["a"]) == {"a": "2"}
        assert await index.counts() == Counts(1, 2, 0, 0)
        await is_sound(index)

    run(body)


def test_a_second_filling_that_finds_nothing_new_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "i.db"

    async def fill(index: SqliteIndex) -> None:
        await index.store([entry("a", "one", source="s", vectors=True)], "m")
        await index.quarantine([failed("q")])

    async def again(index: SqliteIndex) -> None:
        assert await index.versions(["a", "q"]) == {"a": "1"}
        assert await index.cached("m", ["A one"]) == [vector("A one")]
        assert await index.store([], "m") == []
        assert await index.remove_all([]) == 0
        assert await index.versions([]) == {}
        assert await index.cached("m", []) == []
        await index.cache("m", [], [])
        await index.quarantine([])
        await index.listed("s")
        await index.quarantined()
        await index.search("one")
        assert await written(index) == 0

    run(fill, path)
    before = path.read_bytes()
    run(again, path)
    assert path.read_bytes() == before


# ---- removing --------------------------------------------------------------------------------------


def test_what_is_gone_from_a_source_is_removed_from_everywhere() -> None:
    async def body(index: SqliteIndex) -> None:
        await index.store([entry(name, "lease", source="s", vectors=True) for name in "abc"], "m")
        await index.quarantine([failed("q", source="s"), failed("b", source="s"), failed("r", source="t")])

        gone = await index.listed("s") - {"a"}
        assert gone == {"b", "c", "q"}
        assert await index.remove_all(sorted(gone)) == 2
        assert await index.listed("s") == {"a"}
        assert await index.counts() == Counts(1, 1, 1, 1)
        assert [hit.document for hit in await index.search("lease")] == ["a"]
        await is_sound(index)

    run(body)


# ---- vectors ---------------------------------------------------------------------------------------


def test_a_vector_is_kept_once_for_all_who_have_its_text_and_until_the_last_of_them_goes() -> None:
    async def body(index: SqliteIndex) -> None:
        same = Document("b", "A", "", (Chunk("shared", 0, 6),))
        await index.store([entry("a", "shared", "own", vectors=True)], "m")
        await index.store([Entry(document=same, version="1", vectors=(vector("A shared"),))], "m")
        assert await index.counts() == Counts(2, 3, 3, 0)
        assert await rows(index, "SELECT count(*) FROM vectors") == [(2,)]

        await index.store([entry("a", "other", version="2", vectors=True)], "m")
        assert await index.cached("m", ["A shared", "A own", "A other"]) == [
            vector("A shared"),
            None,
            vector("A other"),
        ]
        await index.remove("b")
        assert await index.cached("m", ["A shared"]) == [None]
        await is_sound(index)

    run(body)


def test_what_is_cached_survives_until_its_document_comes_and_is_nobody_elses(tmp_path: Path) -> None:
    texts = ["A one", "A two"]

    async def first(index: SqliteIndex) -> None:
        await index.cache("m", texts, list(map(vector, texts)))

    async def second(index: SqliteIndex) -> None:
        assert await index.cached("m", ["A two", "none", "A one"]) == [vector("A two"), None, vector("A one")]
        assert await index.cached("other", texts) == [None, None]
        await index.cache("m", texts, list(map(vector, texts)))
        await index.store([entry("a", "one", "two", vectors=True)], "m")
        assert await rows(index, "SELECT count(*) FROM vectors") == [(2,)]
        await is_sound(index)

    run(first, tmp_path / "i.db")
    run(second, tmp_path / "i.db")


def test_a_document_without_vectors_takes_the_old_ones_along() -> None:
    async def body(index: SqliteIndex) -> None:
        await index.store([entry("a", "one", vectors=True), entry("b", vectors=True)], "m")
        await index.store([entry("a", "one", version="2")])
        assert await index.counts() == Counts(2, 1, 0, 0)
        await is_sound(index)

    run(body)


def test_vectors_that_do_not_fit_are_refused_with_their_document() -> None:
    async def body(index: SqliteIndex) -> None:
        await index.store([entry("a", "one", vectors=True)], "m")
        few = Entry(document=document("b", "one", "two"), version="1", vectors=(vector("x"),))
        short = Entry(document=document("c", "one"), version="1", vectors=(b"12345678",))
        empty = Entry(document=document("d", "one"), version="1", vectors=(b"",))
        said = await index.store([few, short, empty, entry("e", "two", vectors=True)], "m")
        assert [str(error) for error in said] == [
            '"b" has 1 vectors and 2 chunks; expected as many',
            'the embedder "m" gave a vector of 8 bytes; its first had 16',
            'the embedder "m" gave a vector of 0 bytes; its first had 16',
            "None",
        ]
        (error,) = await index.store([entry("f", "one", vectors=True)])
        assert isinstance(error, SettingInvalid) and "needs the name of their embedder" in str(error)
        with pytest.raises(SettingInvalid, match="gave a vector of 3 bytes"):
            await index.cache("m", ["one"], [b"123"])
        with pytest.raises(SettingInvalid, match="1 texts and 0 vectors"):
            await index.cache("m", ["one"], [])
        assert await index.counts() == Counts(2, 2, 2, 0)
        await is_sound(index)

    run(body)


# ---- the quarantine --------------------------------------------------------------------------------


def test_a_row_in_quarantine_comes_back_as_it_was_and_counts_its_attempts() -> None:
    async def body(index: SqliteIndex) -> None:
        await index.quarantine([failed("a"), failed("b")])
        assert await index.quarantined() == [failed("a"), failed("b")]
        await index.quarantine([failed("a", attempts=3, error="worse")])
        assert await index.quarantined() == [failed("a", attempts=4, error="worse"), failed("b")]
        assert (await index.counts()).quarantined == 2

    run(body)


def test_who_is_in_quarantine_must_be_done_again_and_leaves_it_when_stored() -> None:
    async def body(index: SqliteIndex) -> None:
        await index.store([entry("a", "the old lease")])
        await index.quarantine([failed("a")])
        assert await index.versions(["a"]) == {}
        assert [hit.text for hit in await index.search("lease")] == ["the old lease"]

        await index.store([bad("a")])
        assert [row.id for row in await index.quarantined()] == ["a"]
        await index.store([entry("a", "the new lease")])
        assert await index.quarantined() == []
        assert await index.versions(["a"]) == {"a": "1"}

    run(body)


def test_what_a_row_in_quarantine_says_may_be_any_text() -> None:
    async def body(index: SqliteIndex) -> None:
        await index.quarantine([failed("\ud800", error="\0\udcff")])
        (row,) = await index.quarantined()
        assert (row.id, row.error) == ("\ufffd", "\ufffd\ufffd")

    run(body)


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    async def body(index: SqliteIndex) -> None:
        with pytest.raises(IndexFailed, match="readonly"):
            await index._reader.call(_delete)

    def _delete(database: sqlite3.Connection) -> None:
        database.execute("DELETE FROM documents")

    run(body, tmp_path / "i.db")
