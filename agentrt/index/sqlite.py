"""An index in one SQLite database: full text search by BM25 over stemmed words (FTS5, `porter`), and by vectors.

All of SQLite is done on threads of our own, so the loop never waits for a disk: one fills, one reads. The file is in
WAL mode, where a reader sees the last commit and waits for no writer, so searches are quick while the index is being
filled. In memory there is one connection, and so one thread.

The text of a passage stands once, in the full-text table; `chunks` says whose it is and where it stands there. A
vector stands once for all chunks of the same text; those that no chunk refers to yet are the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from agentrt.database import MEMORY, Database
from agentrt.errors import SettingInvalid
from agentrt.index import filling
from agentrt.index.embedder import Embedder
from agentrt.index.index import Counts, Document, Entry, Hit, Quarantined
from agentrt.index.query import match_expression
from agentrt.index.schema import FORM, kept
from agentrt.index.searching import Question, Searcher


class SqliteIndex:
    """An `IngestIndex` in a file, or in memory by default. The first call opens it, and makes it where there is none.

    Args:
        path: The file, relative to the working directory of now.
        embedder: Makes vectors of questions, for searches by words and by meaning; not closed with the index. Without
            one, and where no document has vectors, searches are by words.
        weight: Share of the vectors in the ranking, 0 (words alone) to 1 (vectors alone).

    Raises (from every call):
        SettingInvalid: The file is something else, or an index of another version; it was not changed.
        IndexFailed: The file cannot be opened, read or written.
        RuntimeError: The index is closed.
    """

    def __init__(self, path: str | Path = MEMORY, *, embedder: Embedder | None = None, weight: float = 0.5) -> None:
        if not 0 <= weight <= 1:
            raise SettingInvalid(f"SqliteIndex(weight={weight}): expected a share from 0 to 1")
        self._filler = Database(FORM, path, "agentrt-index", "PRAGMA foreign_keys = ON", "PRAGMA synchronous = NORMAL")
        self._reader = self._filler
        if str(path) != MEMORY:
            self._reader = Database(FORM, path, "agentrt-index-reader", "PRAGMA query_only = ON")
        self._embedder = embedder if weight else None
        self._searcher = Searcher(kept(embedder.name) if embedder else "", weight)

    async def search(self, query: str, k: int = 5) -> Sequence[Hit]:
        """As `Index.search`.

        Raises:
            SettingInvalid: `k` is less than 1; all vectors are of another embedder; numpy is not installed.
        """
        if k < 1:
            raise SettingInvalid(f"search was given k={k}; it needs 1 or more")
        expression = match_expression(query)
        if expression is None:
            return ()
        question = Question(expression, k)
        if self._embedder is not None and await self._reader.call(self._searcher.has_vectors):
            (question.vector,) = await self._embedder.embed([kept(query)])
            self._searcher.wait(question)
        return await self._reader.call(partial(self._searcher.answer, question))

    async def put(self, document: Document) -> None:
        (error,) = await self.store([Entry(document=document, version="")])
        if error is not None:
            raise error

    async def store(self, entries: Sequence[Entry], embedder: str = "") -> list[Exception | None]:
        if not entries:
            return []
        return await self._filler.call(partial(filling.store, entries, embedder))

    async def remove(self, document_id: str) -> bool:
        return await self.remove_all([document_id]) > 0

    async def remove_all(self, ids: Sequence[str]) -> int:
        if not ids:
            return 0
        return await self._filler.call(partial(filling.remove_all, ids))

    async def cache(self, embedder: str, texts: Sequence[str], vectors: Sequence[bytes]) -> None:
        if texts or vectors:
            await self._filler.call(partial(filling.cache, embedder, texts, vectors))

    async def quarantine(self, rows: Sequence[Quarantined]) -> None:
        if rows:
            await self._filler.call(partial(filling.quarantine, rows))

    async def versions(self, ids: Sequence[str]) -> dict[str, str]:
        if not ids:
            return {}
        return await self._reader.call(partial(filling.versions, ids))

    async def cached(self, embedder: str, texts: Sequence[str]) -> list[bytes | None]:
        if not texts:
            return []
        return await self._reader.call(partial(filling.cached, embedder, texts))

    async def quarantined(self) -> Sequence[Quarantined]:
        return await self._reader.call(filling.quarantined)

    async def listed(self, source: str) -> frozenset[str]:
        return await self._reader.call(partial(filling.listed, source))

    async def counts(self) -> Counts:
        return await self._reader.call(filling.counts)

    async def aclose(self) -> None:
        await self._reader.aclose()
        await self._filler.aclose()
