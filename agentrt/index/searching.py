"""What a search asks of the database under an index, on the thread that reads.

With an embedder, the passages that hold the words and those that are near in meaning are ranked apart, and the two
rankings become one by reciprocal rank fusion. The vectors are held in memory, loaded by the first search that needs
them; when the database has changed, those that are gone are dropped and those that are new are read.

Questions that stand in line together have their vectors compared in one multiplication, by whichever is asked first.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from agentrt.database import snapshot
from agentrt.errors import SettingInvalid
from agentrt.index import schema
from agentrt.index.fusion import fused
from agentrt.index.index import Hit

if TYPE_CHECKING:
    from agentrt.index.matrix import Matrix

_DEPTH = 100
"""Places of each ranking that are fused at least; nDCG@10 on Cranfield-1400: 20 .394, 50 .398, 100 .397, 1000 .397."""
_TOGETHER = 32
"""Questions in one multiplication; each takes 4 bytes a vector."""
_AT_ONCE = 4096
"""Vectors that are read before they are moved into the matrix."""

State = tuple[int, int]
"""Differs whenever the database has changed: by others, and through this connection."""


class Question(msgspec.Struct, eq=False):
    """A search. `near` is what its vector is near to in the database at `state`; none yet if that is None."""

    expression: str
    k: int
    vector: bytes | None = None
    near: list[int] = []
    state: State | None = None

    @property
    def depth(self) -> int:
        """Places of each ranking that are fused."""
        return max(self.k, _DEPTH)


class Searcher:
    """Answers questions from one connection.

    Args:
        embedder: The name of who makes the questions' vectors.
        weight: Share of the vectors in a ranking, 0 to 1.
    """

    def __init__(self, embedder: str, weight: float) -> None:
        self._embedder = embedder
        self._weight = weight
        self._line: deque[Question] = deque()
        self._matrix: Matrix | None = None
        self._state: State | None = None

    def has_vectors(self, database: sqlite3.Connection) -> bool:
        """Whether there are vectors that a question's can be compared with.

        Raises:
            SettingInvalid: There are vectors, but all of other embedders.
        """
        return self._filled(database) is not None

    def wait(self, question: Question) -> None:
        """Put a question with a vector in line, so that one which is answered before looks for it too."""
        self._line.append(question)

    def answer(self, question: Question, database: sqlite3.Connection) -> list[Hit]:
        """At most `k` passages, the best first."""
        depth = question.k if question.vector is None else question.depth
        with snapshot(database):
            ranked: list[tuple[int, float]] = database.execute(schema.BY_TEXT, (question.expression, depth)).fetchall()
            if question.vector is not None and (near := self._near(question, question.vector, database)):
                words = [passage for passage, _ in ranked]
                ranked = fused([(1 - self._weight, words), (self._weight, near)])
            return [_hit(passage, score, database) for passage, score in ranked[: question.k]]

    def _near(self, question: Question, vector: bytes, database: sqlite3.Connection) -> list[int]:
        state = _state(database)
        if state != self._state:
            self._refresh(database)
            self._state = state
        if self._matrix is None:
            return []
        if len(vector) != self._matrix.size:
            raise SettingInvalid(
                f'the embedder "{self._embedder}" gave a vector of {len(vector)} bytes for the question; '
                f"those in the index have {self._matrix.size}"
            )
        if question.state != state:
            self._compare(question, self._matrix)
        return question.near

    def _compare(self, question: Question, matrix: Matrix) -> None:
        """Find what this question is near to, and what others in line are."""
        together = [(question, question.vector)]
        while self._line and len(together) < _TOGETHER:
            other = self._line.popleft()
            if other is not question:
                together.append((other, other.vector))
        vectors = {one: vector for one, vector in together if vector and len(vector) == matrix.size}
        deepest = max(one.depth for one in vectors)
        for one, near in zip(vectors, matrix.nearest(list(vectors.values()), deepest), strict=True):
            one.near, one.state = near[: one.depth], self._state

    def _refresh(self, database: sqlite3.Connection) -> None:
        """Make the matrix what the database is now."""
        filled = self._filled(database)
        if filled is None:
            self._matrix = None
            return
        place, size = filled
        if self._matrix is None:
            self._matrix = _matrix(size)
        self._matrix.keep([passage for (passage,) in database.execute(schema.WITH_VECTOR, (place,))])
        new = database.execute(schema.NEW_VECTORS, (place, self._matrix.last))
        while rows := new.fetchmany(_AT_ONCE):
            self._matrix.add([passage for passage, _ in rows], [vector for _, vector in rows])

    def _filled(self, database: sqlite3.Connection) -> tuple[int, int] | None:
        """Place of our embedder and size of its vectors; None if there are no vectors at all."""
        filled = {name: (place, size) for place, name, size in database.execute(schema.FILLED_WITH)}
        if filled and self._embedder not in filled:
            names = ", ".join(f'"{name}"' for name in filled)
            raise SettingInvalid(
                f'the index was filled with the embedder {names} and is searched with "{self._embedder}": '
                "search it with that one, or without, or fill it anew"
            )
        return filled.get(self._embedder)


def _hit(passage: int, score: float, database: sqlite3.Connection) -> Hit:
    return Hit(*database.execute(schema.HIT, {"passage": passage, "score": score}).fetchone())


def _state(database: sqlite3.Connection) -> State:
    return database.execute("PRAGMA data_version").fetchone()[0], database.total_changes


def _matrix(size: int) -> Matrix:
    try:
        from agentrt.index.matrix import Matrix  # noqa: PLC0415 - numpy is an extra
    except ImportError as error:
        raise SettingInvalid('searching by vectors needs numpy: pip install "agentrt[embed]"') from error
    return Matrix(size)
