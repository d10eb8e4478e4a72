from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrt.errors import ProviderRefused, ProviderUnavailable
from agentrt.index.sqlite import SqliteIndex
from agentrt.pipeline.batcher import Batcher
from agentrt.pipeline.stage import Stage
from agentrt.pipeline.vectors import Vectors
from tests.pipeline.world import Digests


async def once(attempt: Callable[[], Awaitable[Sequence[bytes]]]) -> Sequence[bytes]:
    return await attempt()


async def ask(
    documents: Sequence[Sequence[str]], embedder: Digests, index: SqliteIndex, batch: int = 4
) -> list[object]:
    """What each document is told: its vectors, or the error."""

    async def of(texts: Sequence[str]) -> object:
        try:
            return await vectors.of(texts)
        except ProviderRefused as error:
            return str(error)

    async with asyncio.TaskGroup() as group:
        batcher = Batcher[tuple[object, int, int]](most=batch, weight=batch, seconds=0.01)
        stage = Stage("embed", 2, lambda: None, batches=True)
        vectors = Vectors(embedder, index, once, batcher, stage, group)  # type: ignore[arg-type]
        tasks = [group.create_task(of(texts)) for texts in documents]
    vectors.gathering.close()  # a document that failed may have left texts there
    return [task.result() for task in tasks]


def refuse(texts: Sequence[str]) -> None:
    if any("bad" in text for text in texts):
        raise ProviderRefused("bad input", status=400)


@settings(max_examples=60)
@given(st.lists(st.lists(st.sampled_from(["a", "b", "c", "d", "e", "bad"]), max_size=9), max_size=9), st.integers(1, 6))
def test_each_document_gets_its_own_vectors_in_order_or_the_error_of_its_own_text(
    documents: list[list[str]], batch: int
) -> None:
    async def main() -> None:
        index = SqliteIndex()
        wanted = [
            "bad input" if "bad" in texts else tuple(await Digests().embed(texts)) if texts else ()
            for texts in documents
        ]
        embedder = Digests(refuse)
        assert await ask(documents, embedder, index, batch) == wanted
        assert all(len(batch_) <= batch and len(set(batch_)) == len(batch_) for batch_ in embedder.batches)

        asked = {text for batch_ in embedder.batches for text in batch_} - {"bad"}
        again = Digests(refuse)
        assert await ask(documents, again, index, batch) == wanted
        # What was got for once is kept, although its document may have failed; what stood with "bad" may not be.
        assert not {text for batch_ in again.batches for text in batch_} & asked
        await index.aclose()

    asyncio.run(main())


def test_batches_cross_documents() -> None:
    async def main() -> None:
        index, embedder = SqliteIndex(), Digests()
        await ask([["a", "b", "c"], ["d"], ["e", "f", "g", "h", "i"]], embedder, index)
        assert embedder.batches == [("a", "b", "c", "d"), ("e", "f", "g", "h"), ("i",)]
        await index.aclose()

    asyncio.run(main())


def test_what_a_batch_gave_is_kept_though_the_next_one_fails() -> None:
    def ill(texts: Sequence[str]) -> None:
        if "e" in texts:
            raise ProviderUnavailable("ill", status=503)

    async def main() -> None:
        index = SqliteIndex()
        with pytest.raises(ExceptionGroup):
            await ask([["a", "b", "c", "d", "e"]], Digests(ill), index)
        known = await index.cached("digests", ["a", "b", "c", "d", "e"])
        assert [vector is not None for vector in known] == [True] * 4 + [False]
        await index.aclose()

    asyncio.run(main())
