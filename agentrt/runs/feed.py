"""A run's feed: facts and passing events in one order, kept for whoever reads.

Theory: the feed is one list that only grows, in the order of its events' numbers, which may have gaps. A
reader is a cursor into it, so a slow reader costs nothing and holds up nobody. A fact is shown once the
journal has acknowledged it; what comes behind an unacknowledged fact waits with it, so nobody ever sees an
order that a crash could take back. If an acknowledgement fails the feed ends there with that error.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from operator import attrgetter

from agentrt.errors import JournalFailed
from agentrt.events import AnyEvent, ModelReplied, Rewound, TextDelta

_NUMBER = attrgetter("seq")


class Feed:
    """What happened so far, and news for those who wait for more."""

    def __init__(self) -> None:
        self._events: list[AnyEvent] = []
        self._pending: deque[tuple[int, Future[None]]] = deque()
        self._shown = 0
        self._closed = False
        self._failure: BaseException | None = None
        self._closed_by: BaseException | None = None
        self._waiting: set[Future[None]] = set()

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

    @property
    def head(self) -> int:
        """The number of the last event shown; 0 before the first."""
        return self._events[self._shown - 1].seq if self._shown else 0

    def close(self, failure: BaseException | None = None) -> None:
        """Nothing more will come; readers end once they have read what is there, with the failure if there is one."""
        self._closed, self._closed_by = True, failure
        if not self._pending:
            self._failure = self._failure or failure
        self._wake()

    def read(self, after: int = 0) -> FeedReader:
        """A cursor in front of the first event whose number is greater than `after`; 0 is the beginning."""
        return FeedReader(self, bisect_right(self._events, after, key=_NUMBER), after)

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

    def all_after(self, position: int) -> Sequence[AnyEvent]:
        """The events from a cursor's position on; none where there is none to be seen yet.

        Raises:
            JournalFailed: the fact at this position could not be kept.
        """
        return () if self.shown_after(position) is None else self._events[position : self._shown]

    def has_news(self, position: int) -> bool:
        """Whether a cursor at this position need not wait: for an event, the failure or the end."""
        return position < self._shown or self._failure is not None or self.closed

    def ended(self, position: int) -> bool:
        """Whether a cursor at this position has read all that will ever come, and no failure is left to be told."""
        return self.closed and position >= self._shown and self._failure is None

    @property
    def closed(self) -> bool:
        """Whether all that will ever come is shown."""
        return self._closed and not self._pending

    async def changed(self) -> None:
        """Return once something more is shown, or nothing will be."""
        news: Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(news)
        try:
            await news
        finally:
            self._waiting.discard(news)

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
        if not self._pending:
            self._failure = self._failure or self._closed_by

    def _show(self, position: int) -> None:
        self._shown = position
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for news in waiting:
            if not news.done():
                news.set_result(None)


class FeedReader:
    """A cursor into a feed. Not to be shared.

    Iterate over it, to the end of the run; or take what is there and come back, as viewers do that gather
    events into frames: `await changed()`, then `ready()`, until it has `ended`.
    """

    def __init__(self, feed: Feed, position: int, after: int) -> None:
        self._feed = feed
        self._position = position
        self._after = after  # a cursor may be ahead of the feed: what comes up to this number is not for it

    def __aiter__(self) -> FeedReader:
        return self

    async def __anext__(self) -> AnyEvent:
        while (event := self._feed.shown_after(self._position)) is None or event.seq <= self._after:
            if event is not None:
                self._position += 1
            elif self._feed.closed:
                raise StopAsyncIteration
            else:
                await self._feed.changed()
        self._position += 1
        return event

    def ready(self) -> Sequence[AnyEvent]:
        """All that is shown behind the cursor by now, maybe nothing; the cursor moves behind it. Does not wait.

        Raises:
            JournalFailed: the next fact could not be kept; what is in front of it has been read.
        """
        events = self._feed.all_after(self._position)
        self._position += len(events)
        if events and events[0].seq <= self._after:
            return events[bisect_right(events, self._after, key=_NUMBER) :]
        return events

    async def changed(self) -> None:
        """Return once something is ready, or the feed is closed; at once if that is so."""
        while not self._feed.has_news(self._position):
            await self._feed.changed()

    @property
    def ended(self) -> bool:
        """Whether the run is over and all of it has been read. A feed that failed does not end: `ready` raises."""
        return self._feed.ended(self._position)


def shown_text(events: Iterable[AnyEvent]) -> tuple[str, str]:
    """Id and text of the reply that viewers saw arriving when the run was stopped; "" if none was."""
    message_id, pieces = "", list[str]()
    for event in events:
        if isinstance(event, TextDelta):
            if event.message_id != message_id:
                message_id, pieces = event.message_id, []
            pieces.append(event.text)
        elif isinstance(event, ModelReplied | Rewound):
            message_id, pieces = "", []
    return message_id, "".join(pieces)
