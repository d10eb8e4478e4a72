"""Searching by words and by meaning at once, with vectors whose meaning is plain: a place on a circle."""

from __future__ import annotations

import asyncio
import builtins
import sqlite3
import sys
from array import array
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from math import cos, pi, sin
from pathlib import Path
from random import Random
from typing import Any

import pytest

pytest.importorskip("numpy", reason='needs the extra "embed"')

from agentrt.errors import SettingInvalid
from agentrt.index.embedder import Embedder
from agentrt.index.index import Chunk, Document, Entry, Hit
from agentrt.index.searching import Question
from agentrt.index.sqlite import SqliteIndex


def at(degrees: float) -> bytes:
    return array("f", [cos(degrees * pi / 180), sin(degrees * pi / 180)]).tobytes()


class Compass:
    """A text is where its last word says, in degrees."""

    dims = 2

    def __init__(self, name: str = "compass-1") -> None:
        self.name = name
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        self.asked += texts
        return [at(float(text.split()[-1])) for text in texts]

    async def aclose(self) -> None:
        pass


def entry(name: str, *chunks: str) -> Entry:
    document = Document(name, "", f"http://docs.example/{name}", tuple(Chunk(text, 0, len(text)) for text in chunks))
    return Entry(document=document, version="1", vectors=tuple(at(float(text.split()[-1])) for text in chunks))


ANIMALS = [entry("cat", "cat 10"), entry("dog", "dog 20"), entry("hen", "hen 90"), entry("owl", "owl 95")]


def names(hits: Sequence[Hit]) -> list[str]:
    return [hit.document for hit in hits]


def run(body: Callable[[SqliteIndex], Awaitable[None]], path: str | Path = ":memory:", **said: Any) -> None:
    async def main() -> None:
        index = SqliteIndex(path, **said)
        try:
            await body(index)
        finally:
            await index.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("place", ["memory", "file"])
def test_what_is_near_is_found_beside_what_has_the_words(place: str, tmp_path: Path) -> None:
    compass: Embedder = Compass()

    async def body(index: SqliteIndex) -> None:
        await index.store(ANIMALS, "compass-1")
        hits = await index.search("a cat near 94", k=3)
        assert names(hits) == ["cat", "owl", "hen"]  # the only word, though farthest; then the nearest
        assert hits[0].score > hits[1].score > hits[2].score
        assert (hits[1].text, hits[1].url) == ("owl 95", "http://docs.example/owl")
        assert names(await index.search("nothing of the like 18", k=2)) == ["dog", "cat"]

    run(body, ":memory:" if place == "memory" else tmp_path / "i.db", embedder=compass)


def test_the_weight_is_the_share_of_the_vectors() -> None:
    for weight, expected in ((0.0, ["cat"]), (0.1, ["cat", "owl", "hen", "dog"]), (1.0, ["owl", "hen", "dog", "cat"])):
        compass = Compass()

        async def body(index: SqliteIndex, expected: list[str] = expected) -> None:
            await index.store(ANIMALS, "compass-1")
            assert names(await index.search("a cat near 94")) == expected

        run(body, embedder=compass, weight=weight)
        assert bool(compass.asked) == bool(weight)
    with pytest.raises(SettingInvalid, match=r"weight=1\.5\): expected a share from 0 to 1"):
        SqliteIndex(weight=1.5)


def test_an_index_with_vectors_is_searched_by_words_without_an_embedder() -> None:
    async def body(index: SqliteIndex) -> None:
        await index.store(ANIMALS, "compass-1")
        assert names(await index.search("a cat near 94")) == ["cat"]

    run(body)


def test_nobody_pays_for_a_vector_that_cannot_be_compared() -> None:
    compass = Compass()

    async def body(index: SqliteIndex) -> None:
        await index.put(ANIMALS[0].document)
        assert names(await index.search("a cat near 94")) == ["cat"]
        assert await index.search("...") == ()
        assert compass.asked == []
        await index.store(ANIMALS, "compass-1")
        assert await index.search("...") == ()
        await index.search("owl \ud800 3")
        assert compass.asked == ["owl \ufffd 3"]
        await index.remove_all(["cat", "dog", "hen", "owl"])
        assert await index.search("owl 3") == []

    run(body, embedder=compass)


def test_vectors_of_another_embedder_are_never_compared() -> None:
    async def body(index: SqliteIndex) -> None:
        await index.store(ANIMALS, "compass-1")
        with pytest.raises(
            SettingInvalid, match='filled with the embedder "compass-1" and is searched with "compass-2"'
        ):
            await index.search("cat 10")
        await index.store(ANIMALS[2:], "compass-2")  # half way through filling it anew
        assert names(await index.search("fox 11")) == ["hen", "owl"]

    run(body, embedder=Compass("compass-2"))


def test_a_question_whose_vector_has_another_size_says_so() -> None:
    class Loose(Compass):
        async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
            return [
                vector * (1 + ("bad" in text)) for text, vector in zip(texts, await super().embed(texts), strict=True)
            ]

    async def body(index: SqliteIndex) -> None:
        await index.store(ANIMALS, "compass-1")
        async with asyncio.TaskGroup() as group:
            good = [group.create_task(index.search("fox 91", k=1)) for _ in range(10)]
            wrong = group.create_task(refused(index))
            good += [group.create_task(index.search("fox 91", k=1)) for _ in range(10)]
        assert {names(task.result())[0] for task in good} == {"hen"}
        assert "a vector of 16 bytes for the question; those in the index have 8" in wrong.result()

    async def refused(index: SqliteIndex) -> str:
        with pytest.raises(SettingInvalid) as raised:
            await index.search("bad 10")
        return str(raised.value)

    run(body, embedder=Loose())


def test_a_search_sees_what_was_stored_replaced_and_removed_since_by_whomever(tmp_path: Path) -> None:
    path = tmp_path / "i.db"

    async def body(index: SqliteIndex) -> None:
        other = SqliteIndex(path)
        await other.store(ANIMALS[:2], "compass-1")
        assert names(await index.search("fox 91", k=1)) == ["dog"]
        await other.store(ANIMALS[2:], "compass-1")
        assert names(await index.search("fox 91", k=1)) == ["hen"]
        await index.store([entry("hen", "hen 300")], "compass-1")
        assert names(await index.search("fox 91", k=1)) == ["owl"]
        await other.remove("owl")
        assert names(await index.search("fox 91", k=2)) == ["dog", "cat"]
        await other.aclose()

    run(body, path, embedder=Compass())


@pytest.mark.parametrize("place", ["memory", "file"])
def test_a_document_stored_again_is_where_its_new_vector_says(place: str, tmp_path: Path) -> None:
    async def body(index: SqliteIndex) -> None:
        await index.store(ANIMALS, "compass-1")
        assert names(await index.search("fox 301", k=1)) == ["cat"]
        await index.store([entry("owl", "owl 300")], "compass-1")  # the last one, whose passage comes free
        assert names(await index.search("fox 301", k=1)) == ["owl"]

    run(body, ":memory:" if place == "memory" else tmp_path / "i.db", embedder=Compass())


def test_what_others_found_for_a_question_holds_only_until_the_index_changes(tmp_path: Path) -> None:
    async def body(index: SqliteIndex) -> None:
        await index.store(ANIMALS, "compass-1")
        first, second = Question("fox", 1, at(1)), Question("fox", 1, at(91))
        index._searcher.wait(first)
        index._searcher.wait(second)
        assert names(await index._reader.call(partial(index._searcher.answer, first))) == ["cat"]
        await index.store([entry("new", "new 91")], "compass-1")
        assert names(await index._reader.call(partial(index._searcher.answer, second))) == ["new"]

    run(body, tmp_path / "i.db", embedder=Compass())


def test_a_passage_that_goes_during_a_search_is_still_found_by_it(tmp_path: Path) -> None:
    path = tmp_path / "i.db"

    async def body(index: SqliteIndex) -> None:
        await index.store(ANIMALS, "compass-1")
        await index._reader.call(lambda database: database.set_trace_callback(remove))
        assert [hit.text for hit in await index.search("cat 10", k=1)] == ["cat 10"]
        assert names(await index.search("cat 10", k=1)) == ["dog"]

    def remove(said: str) -> None:
        if "documents.title" in said:  # it has been ranked, and is about to be fetched
            with closing(sqlite3.connect(path)) as other, other:
                other.execute("DELETE FROM chunks WHERE passage = 1")
                other.execute("DELETE FROM passages WHERE rowid = 1")

    run(body, path, embedder=Compass())


def test_only_new_vectors_are_read_when_the_index_has_changed(tmp_path: Path) -> None:
    async def body(index: SqliteIndex) -> None:
        await index.store([entry(f"d{number}", f"fox {number}") for number in range(50)], "compass-1")
        await index.search("fox 3")
        said: list[str] = []
        await index._reader.call(lambda database: database.set_trace_callback(said.append))
        await index.search("fox 3")
        assert not any("vectors.vector" in one for one in said)
        await index.store([entry("new", "fox 3.1")], "compass-1")
        assert names(await index.search("hen 3.1", k=1)) == ["new"]
        assert [one.split("chunks.passage > ")[1].split()[0] for one in said if "vectors.vector" in one] == ["50"]

    run(body, tmp_path / "i.db", embedder=Compass())


def test_questions_in_line_are_answered_as_they_would_be_alone(tmp_path: Path) -> None:
    random = Random(5)
    kinds = ["cat", "dog", "hen", "owl", "fox"]
    entries = [
        entry(f"d{number}", *(f"{random.choice(kinds)} {random.uniform(0, 360)}" for _ in range(3)))
        for number in range(100)
    ]
    questions = [f"{random.choice(kinds)} {random.uniform(0, 360)}" for _ in range(80)]

    async def body(index: SqliteIndex) -> None:
        await index.store(entries, "compass-1")
        deep = await index.search("fox 1", k=250)
        assert len(deep) == 250
        alone = [await index.search(question, k=9) for question in questions]
        multiplied = count(index)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(index.search(question, k=9)) for question in questions]
            deeper = group.create_task(index.search("fox 1", k=250))
        assert [task.result() for task in tasks] == alone
        assert deeper.result() == deep
        assert sum(multiplied) == len(questions) + 1
        assert len(multiplied) < len(questions) / 4  # so they did meet

    run(body, tmp_path / "i.db", embedder=Compass())


def count(index: SqliteIndex) -> list[int]:
    """How many vectors each multiplication from now on compares."""
    matrix = index._searcher._matrix
    assert matrix is not None
    nearest, counted = matrix.nearest, list[int]()

    def counting(queries: Sequence[bytes], most: int) -> list[list[int]]:
        counted.append(len(queries))
        return nearest(queries, most)

    matrix.nearest = counting  # type: ignore[method-assign]
    return counted


def test_a_search_whose_asker_has_gone_takes_nothing_from_the_others(tmp_path: Path) -> None:
    async def body(index: SqliteIndex) -> None:
        await index.store(ANIMALS, "compass-1")
        questions = [f"fox {36 * number + 1}" for number in range(10)]
        alone = [await index.search(question) for question in questions]
        tasks = [asyncio.create_task(index.search(question)) for question in questions]
        for turn in range(6):
            await asyncio.sleep(0)
            tasks[turn].cancel()
        assert [await task for task in tasks[6:]] == alone[6:]

    run(body, tmp_path / "i.db", embedder=Compass())


def test_without_numpy_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "numpy":
            raise ImportError("No module named 'numpy'")
        return real(name, *rest)

    async def body(index: SqliteIndex) -> None:
        await index.store(ANIMALS, "compass-1")
        with pytest.raises(SettingInvalid, match=r'pip install "agentrt\[embed\]"'):
            await index.search("cat 10")

    monkeypatch.delitem(sys.modules, "agentrt.index.matrix", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    run(body, embedder=Compass())
