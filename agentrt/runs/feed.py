"""A run's feed: facts and passing events in one order, kept for whoever reads.

Theory: the feed is one list that only grows. A reader is a cursor into it, so a slow reader costs
nothing and holds up nobody. A fact is shown once the journal has acknowledged it; what comes behind an
unacknowledged fact waits with it, so nobody ever sees an order that a crash could take back. If an
acknowledgement fails the feed ends there with that error.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Sequence

from agentrt.errors import JournalFailed
from agentrt.events import AnyEvent


class Feed:
    """What happened so far, and news for those who wait for more."""

    def __init__(self) -> None:
        self._events: list[AnyEvent] = []
        self._pending: deque[tuple[int, Future[None]]] = deque()
        self._shown = 0
        self._closed = False
        self._failure: BaseException | None = None
        self._waiting: list[Future[None]] = []

    def tell(self, event: AnyEvent, kept: Future[None] | None = None) -> None:
        """Add an event; with `kept`, it is shown only once that future is done."""
        if self._failure is not None:
            return  # readers have been told that nothing more will come
        self._events.append(event)
        if kept is not None and not (kept.done() and not kept.cancelled() and kept.exception() is None):
            self._pending.append((len(self._events), kept))
            kept.add_done_callback(self._acknowledged)
        elif not self._pending:
            self._show(len(self._events))

    @property
    def events(self) -> Sequence[AnyEvent]:
        """All that was told, shown or not."""
        return self._events

    def close(self) -> None:
        """Nothing more will come; readers end once they have read what is there."""
        self._closed = True
        self._wake()

    def read(self, after: int = 0) -> FeedReader:
        """A cursor behind the event with the number `after`; 0 is the beginning."""
        return FeedReader(self, after)

    def shown_after(self, position: int) -> AnyEvent | None:
        """The event at a cursor's position, or None where there is none to be seen yet.

        Raises:
            JournalFailed: the fact at this position could not be kept.
        """
        if position < self._shown:
            return self._events[position]
        if self._failure is not None:
            raise self._failure
        return None

    @property
    def closed(self) -> bool:
        """Whether all that will ever come is shown."""
        return self._closed and not self._pending

    async def changed(self) -> None:
        """Return once something more is shown, or nothing will be."""
        news: Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(news)
        try:
            await news
        finally:
            if news.cancelled():
                self._waiting.remove(news)

    def _acknowledged(self, _kept: Future[None]) -> None:
        while self._pending and self._pending[0][1].done():
            position, kept = self._pending[0]
            failure = JournalFailed("the journal let go of a fact") if kept.cancelled() else kept.exception()
            if failure is not None:
                self._failure = failure if isinstance(failure, JournalFailed) else JournalFailed(repr(failure))
                self._shown = position - 1
                self._pending.clear()
                self._wake()
                return
            self._pending.popleft()
            self._show(self._pending[0][0] - 1 if self._pending else len(self._events))

    def _show(self, position: int) -> None:
        self._shown = position
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for news in waiting:
            if not news.done():
                news.set_result(None)


class FeedReader:
    """Iterates over a feed's events, from its cursor to the end of the run. Not to be shared."""

    def __init__(self, feed: Feed, after: int) -> None:
        self._feed = feed
        self._position = max(0, after)

    def __aiter__(self) -> FeedReader:
        return self

    async def __anext__(self) -> AnyEvent:
        while (event := self._feed.shown_after(self._position)) is None:
            if self._feed.closed:
                raise StopAsyncIteration
            await self._feed.changed()
        self._position += 1
        return event
