"""Whether words and meaning together find more than either, on a collection that people have judged.

The collection is no part of the project: it lies beside it in `shared/data/cranfield`, with `documents.jsonl`,
`queries.jsonl`, `qrels.tsv` and the vectors of both as `documents_minilm.npz` and `queries_minilm.npz`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from math import log2
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy", reason='needs the extra "embed"')

import numpy as np

from agentrt.index.index import Chunk, Document, Entry
from agentrt.index.sqlite import SqliteIndex

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "cranfield"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the collection does not lie beside the project, in shared/data/cranfield"
)


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]


def vectors(name: str) -> dict[int, bytes]:
    held = np.load(FOLDER / name)
    rows = held["vectors"].astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return {int(number): row.astype("<f4").tobytes() for number, row in zip(held["ids"], rows, strict=True)}


class Known:
    """Gives the vectors that came with the questions."""

    name = "all-MiniLM-L6-v2"
    dims = 384

    def __init__(self) -> None:
        numbers = {one["text"]: int(one["id"]) for one in lines("queries.jsonl")}
        held = vectors("queries_minilm.npz")
        self._vectors = {text: held[number] for text, number in numbers.items()}

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        return [self._vectors[text] for text in texts]

    async def aclose(self) -> None:
        pass


def judged() -> dict[str, dict[str, int]]:
    """For each question the gain of every document that answers it."""
    gains: dict[str, dict[str, int]] = {}
    for line in (FOLDER / "qrels.tsv").read_text().splitlines():
        question, document, grade = line.split("\t")
        if grade.isdecimal():
            gains.setdefault(question, {})[document] = 2 ** int(grade) - 1
    return gains


def ndcg(found: Sequence[str], gains: dict[str, int]) -> float:
    def discounted(values: Sequence[int]) -> float:
        return sum(value / log2(rank + 1) for rank, value in enumerate(values[:10], 1))

    return discounted([gains.get(one, 0) for one in found]) / discounted(sorted(gains.values(), reverse=True))


def test_words_and_meaning_together_find_more_than_either(tmp_path: Path) -> None:
    held, gains, known = vectors("documents_minilm.npz"), judged(), Known()
    entries = [
        Entry(
            document=Document(str(one["id"]), one["title"], "", (Chunk(one["text"], 0, len(one["text"])),)),
            version="1",
            vectors=(held[int(one["id"])],),
        )
        for one in lines("documents.jsonl")
    ]

    async def measured(weight: float | None) -> float:
        share = {} if weight is None else {"weight": weight}
        index = SqliteIndex(tmp_path / "i.db", embedder=known, **share)
        scores = []
        for one in lines("queries.jsonl"):
            if (wanted := gains.get(str(one["id"]))) is not None:
                hits = await index.search(one["text"], k=10)
                scores.append(ndcg([hit.document for hit in hits], wanted))
        await index.aclose()
        return sum(scores) / len(scores)

    async def main() -> None:
        index = SqliteIndex(tmp_path / "i.db")
        assert set(await index.store(entries, known.name)) == {None}
        await index.aclose()
        words, meaning, both = await measured(0), await measured(1), await measured(None)
        print(f"nDCG@10: words {words:.3f}, meaning {meaning:.3f}, both {both:.3f}")
        assert both >= 0.39
        assert both > max(words, meaning)

    asyncio.run(main())
