"""Vectors for the passages of many documents: batches cross documents, and each document gets all of its own at once.

A vector is kept in the index's cache as its batch returns, before any document that needs it is stored: whoever dies
in between pays for at most the batches that were under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from agentrt.errors import AgentrtError, SettingInvalid
from agentrt.index.embedder import Embedder
from agentrt.index.index import IngestIndex
from agentrt.pipeline.batcher import Batcher
from agentrt.pipeline.gathering import Gathering
from agentrt.pipeline.retry import is_about_the_content
from agentrt.pipeline.stage import Stage

Attempts = Callable[[Callable[[], Awaitable[Sequence[bytes]]]], Awaitable[Sequence[bytes]]]
"""Makes a call, and again where that may help."""


class Wanted:
    """A document's texts, and what has come for them so far."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.vectors: list[bytes] = [b""] * len(texts)
        self.missing = len(texts)
        self.all_there: asyncio.Future[None] = asyncio.get_running_loop().create_future()


Slice: TypeAlias = tuple[Wanted, int, int]
"""Some of a document's texts, from and to."""


class Vectors:
    """`embedder` behind `index`'s cache. Batches weigh as many as they have texts."""

    def __init__(
        self,
        embedder: Embedder,
        index: IngestIndex,
        attempts: Attempts,
        batcher: Batcher[Slice],
        stage: Stage,
        group: asyncio.TaskGroup,
    ) -> None:
        self._embedder = embedder
        self._index = index
        self._attempts = attempts
        self.gathering = Gathering(batcher, self._fill, stage, group)

    async def of(self, texts: Sequence[str]) -> tuple[bytes, ...]:
        """One for each text, in order.

        Raises:
            Exception: What the embedder said to one of them alone, or to all that were with it in a batch.
        """
        wanted, start = Wanted(texts), 0
        while start < len(texts):
            end = min(len(texts), start + self.gathering.room)
            self.gathering.hand_in((wanted, start, end), end - start)
            start = end
        if texts:
            await wanted.all_there
        return tuple(wanted.vectors)

    async def _fill(self, slices: tuple[Slice, ...]) -> None:
        open_slices = [piece for piece in slices if not piece[0].all_there.done()]
        texts = tuple(dict.fromkeys(text for wanted, start, end in open_slices for text in wanted.texts[start:end]))
        try:
            found = await self._found(texts)
        except AgentrtError as error:
            found = _all_met(error, texts)
        for wanted, start, end in open_slices:
            _give(wanted, start, end, found)

    async def _found(self, texts: Sequence[str]) -> dict[str, bytes | Exception]:
        known = await self._index.cached(self._embedder.name, texts)
        found: dict[str, bytes | Exception] = {
            text: vector for text, vector in zip(texts, known, strict=True) if vector is not None
        }
        new = [text for text in texts if text not in found]
        if new:
            found.update(await self._embedded(new))
        return found

    async def _embedded(self, texts: Sequence[str]) -> dict[str, bytes | Exception]:
        """What the embedder says to these. A batch that it refuses is halved, down to the text that it refuses."""
        try:
            vectors = await self._attempts(lambda: self._embedder.embed(texts))
        except Exception as error:  # noqa: BLE001 - whatever an embedder raises, some of the texts may be innocent
            if len(texts) == 1 or not is_about_the_content(error):
                return _all_met(error, texts)
            half = len(texts) // 2
            return {**await self._embedded(texts[:half]), **await self._embedded(texts[half:])}
        if len(vectors) != len(texts):
            raise SettingInvalid(
                f'the embedder "{self._embedder.name}" gave {len(vectors)} vectors for {len(texts)} texts'
            )
        await self._index.cache(self._embedder.name, texts, vectors)
        return dict(zip(texts, vectors, strict=True))


def _all_met(error: Exception, texts: Sequence[str]) -> dict[str, bytes | Exception]:
    return {text: error for text in texts}  # noqa: C420 - fromkeys() would have a narrower type


def _give(wanted: Wanted, start: int, end: int, found: dict[str, bytes | Exception]) -> None:
    """Hand a slice its vectors; the first error ends its document's waiting."""
    for number in range(start, end):
        vector = found[wanted.texts[number]]
        if wanted.all_there.done():
            return
        if isinstance(vector, Exception):
            wanted.all_there.set_exception(vector)
            return
        wanted.vectors[number] = vector
    wanted.missing -= end - start
    if not wanted.missing:
        wanted.all_there.set_result(None)
