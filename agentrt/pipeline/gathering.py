"""Items handed in one by one are worked on in batches: the loop around the batcher."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from agentrt.errors import AgentrtError
from agentrt.pipeline.batcher import Batch, Batcher
from agentrt.pipeline.stage import Stage

T = TypeVar("T")
R = TypeVar("R")


class Gathering(Generic[T]):
    """At most `stage.places` batches are in work at once; while all are, the open batch goes on filling.

    So a batcher that waits 0 seconds takes what has come in the meantime: alone a batch of one, under load a large one.
    There is one timer. `work` gets the items of a batch and must not raise; whoever waits for an item hears of it from
    there.
    """

    def __init__(
        self,
        batcher: Batcher[T],
        work: Callable[[tuple[T, ...]], Awaitable[None]],
        stage: Stage,
        group: asyncio.TaskGroup,
    ) -> None:
        self._batcher = batcher
        self._work = work
        self._stage = stage
        self._group = group
        self._loop = asyncio.get_running_loop()
        self._line: deque[Batch[T]] = deque()
        self._free = stage.places
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def room(self) -> int:
        """The weight that the open batch still takes."""
        return self._batcher.room

    def hand_in(self, item: T, weight: int = 1) -> None:
        """One more item. Who hands in is bounded elsewhere: by the documents that are let in."""
        self._close(self._batcher.add(item, self._loop.time(), weight))

    def flush(self) -> None:
        """Nothing more can come for now: do not wait for the timer."""
        self._close(self._batcher.end())

    def close(self) -> None:
        """Begin no more batches: the group is being left."""
        self._closed = True
        self._cancel_timer()

    def _close(self, batch: Batch[T] | None) -> None:
        if batch is not None:
            self._line.append(batch)
        self._start()

    def _start(self) -> None:
        """Begin what can begin, and see that we are woken for the rest."""
        if self._closed:
            return
        while self._free and (batch := self._next()) is not None:
            self._free -= 1
            work = self._do(batch)
            try:
                self._group.create_task(work, name=f"{self._stage.name} batch")
            except RuntimeError:  # a sibling failed in this very step, and the group is being left
                work.close()
                self.close()
                return
        due_at = self._batcher.due_at if self._free else None  # without a free place, the end of a batch wakes us
        if self._timer is None or self._timer.when() != due_at:
            self._cancel_timer()
            if due_at is not None:
                self._timer = self._loop.call_at(due_at, self._wake)

    def _wake(self) -> None:
        self._timer = None  # a coarse clock may wake us too early: then there will be another
        self._start()

    def _next(self) -> Batch[T] | None:
        return self._line.popleft() if self._line else self._batcher.due(self._loop.time())

    async def _do(self, batch: Batch[T]) -> None:
        self._stage.begin()
        try:
            await self._work(batch.items)
        finally:
            self._stage.finish()
            self._free += 1
        self._start()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Together(Generic[T, R]):
    """Questions that are asked one by one and answered many at once, each by a result or an error of its own.

    An AgentrtError that `answer` raises is what all of its batch are told.
    """

    def __init__(
        self,
        batcher: Batcher[tuple[T, asyncio.Future[R]]],
        answer: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        stage: Stage,
        group: asyncio.TaskGroup,
    ) -> None:
        self._answer = answer
        self.gathering = Gathering(batcher, self._do, stage, group)

    async def ask(self, question: T, weight: int = 1) -> R:
        """The answer to this one, or the error that it has met."""
        answered: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.gathering.hand_in((question, answered), weight)
        return await answered

    async def _do(self, asked: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        answers: Sequence[R | Exception]
        try:
            answers = await self._answer([question for question, _ in asked])
        except AgentrtError as error:
            answers = [error] * len(asked)
        for (_, answered), answer in zip(asked, answers, strict=True):
            if answered.done():
                continue
            if isinstance(answer, Exception):
                answered.set_exception(answer)
            else:
                answered.set_result(answer)
