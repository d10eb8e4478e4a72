"""One run as its viewers see it, to be read from any cursor. Pure.

Theory: the log is one list that only grows at its end, of what each numbered event tells viewers. A viewer is a
cursor, the number of the last event it has seen; it is sent frames, each of which covers the numbers behind the cursor
without a gap, joined as far as they can be. Nothing is kept for a viewer, so one that never reads costs nothing. Who
stands at a cursor that the log cannot continue gets a snapshot, which replaces what it has seen.

A cursor can be continued if what its viewer has seen is what this log holds up to there. The passing events of a run
are in no journal, so the log of a run that was resumed, or read back, lacks them: there only the beginning and the
numbers of the present epoch up to the first that is missing are such cursors.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import msgspec

from agentrt.events import AnyEvent, RunEnded, RunRested, RunResumed
from agentrt.server.agui import Mapper
from agentrt.server.merge import Delta, Item, Joined, Other, as_item
from agentrt.server.protocol import EventFrame, SnapshotFrame
from agentrt.server.snapshot import View

_encode = msgspec.json.Encoder().encode

_FRAMES = 16
"""Frames that are kept for viewers who stand at the same cursor."""

_MOST = 2**53


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """What one event tells. `size` is in bytes: encoded by itself; `grows` by how much it makes a delta longer."""

    seq: int
    items: tuple[Item, ...]
    size: int
    grows: int


class Log:
    """What viewers of one run read; the ids are the client's.

    Of the encoded events, at most `max_bytes` are kept, which are three times as many in memory, and the oldest go
    first. Beside them is kept what a snapshot shows.

    Attributes:
        run_id: The client's.
        epoch: The epoch of the last event taken.
        head: Its number.
        ended: Whether it was the run's end.
        rests: Whether by it the run has come to rest: what comes of it when it goes on is for another log.
    """

    def __init__(self, run_id: str, thread_id: str, *, max_bytes: int = 4_194_304) -> None:
        self.epoch = 0
        self.head = 0
        self.ended = False
        self.rests = False
        self.run_id = run_id
        self._envelope = len(_encode(EventFrame(run_id, _MOST, _MOST, ())))
        self._mapper = Mapper(run_id, thread_id)
        self._view = View()
        self._max_bytes = max_bytes
        self._entries: list[_Entry] = []
        self._bytes = 0
        self._dropped = 0  # the number of the last event that is kept no more
        self._whole: int = 0  # up to here no event of this epoch is missing
        self._resumed = False
        self._frames: dict[tuple[int, int], tuple[str, int]] = {}
        self._snapshot: str | None = None

    @property
    def size(self) -> int:
        """Bytes of the encoded events that are kept."""
        return self._bytes

    def take(self, events: Sequence[AnyEvent]) -> None:
        """Take in the run's next events, in order."""
        for event in events:
            self._take(event)
        self._frames.clear()
        self._snapshot = None
        if self._bytes > self._max_bytes:
            self._drop()

    def replayable(self, epoch: int, after: int) -> bool:
        """Whether `frame` continues what a viewer at this cursor has seen. Epoch 0 stands for the run's first."""
        if after < self._dropped:
            return False
        if after == 0 and epoch == 0:
            return True
        mine = epoch == self.epoch or (epoch == 0 and not self._resumed)
        return mine and 0 <= after <= self._whole

    def frame(self, after: int, max_bytes: int = 32_768) -> tuple[str, int] | None:
        """The encoded frame of what is behind `after`, and the last number it covers; None where nothing is.

        It holds as much as fits in `max_bytes`, but at least one event. To a viewer that was too slow, so that what
        is behind its cursor is kept no more, it is a snapshot.
        """
        if after >= self.head:
            return None
        if after < self._dropped:
            return self.snapshot(), self.head
        key = (after, max_bytes)
        if key not in self._frames:
            while len(self._frames) >= _FRAMES:
                del self._frames[next(iter(self._frames))]
            self._frames[key] = self._joined(after, max_bytes)
        return self._frames[key]

    def snapshot(self) -> str:
        """The encoded frame of all there is to see up to the head."""
        if self._snapshot is None:
            events = tuple(msgspec.Raw(_encode(event)) for event in self._view.events())
            self._snapshot = _encode(SnapshotFrame(self.run_id, self.epoch, self.head, events)).decode()
        return self._snapshot

    def _joined(self, after: int, max_bytes: int) -> tuple[str, int]:
        joined, size, last = Joined(), self._envelope, self.head
        begin = bisect_right(self._entries, after, key=_seq)
        for n in range(begin, len(self._entries)):
            entry = self._entries[n]
            size += entry.grows if joined.joins(entry.items) else entry.size
            if size > max_bytes and n > begin:
                last = entry.seq - 1
                break
            for item in entry.items:
                joined.add(item)
        return _encode(EventFrame(self.run_id, after + 1, last, joined.events())).decode(), last

    def _take(self, event: AnyEvent) -> None:
        if event.epoch != self.epoch:
            self.epoch, self._whole = event.epoch, event.seq
        elif event.seq == self._whole + 1:
            self._whole = event.seq
        self.head = event.seq
        self._resumed = self._resumed or isinstance(event, RunResumed)
        self.ended = self.ended or isinstance(event, RunEnded)
        self.rests = self.rests or isinstance(event, RunRested)
        told = self._mapper.map(event)
        if not told:
            return
        for one in told:
            self._view.see(one)
        items = tuple(as_item(one) for one in told)
        size = sum(len(item.raw if isinstance(item, Other) else _encode(item)) + 1 for item in items)
        first = items[0]
        grows = len(_encode(first.delta)) - 2 if len(items) == 1 and isinstance(first, Delta) else size
        self._entries.append(_Entry(event.seq, items, size, grows))
        self._bytes += size

    def _drop(self) -> None:
        gone = 0
        while self._bytes > self._max_bytes:
            self._bytes -= self._entries[gone].size
            self._dropped = self._entries[gone].seq
            gone += 1
        del self._entries[:gone]


def _seq(entry: _Entry) -> int:
    return entry.seq
