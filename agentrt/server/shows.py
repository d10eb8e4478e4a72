"""A run as it is shown: one log that all viewers read, fed from the run once a tick.

Theory: one task a run maps what happened since it last looked and adds it to the log; between two such moments the
log stands still. A viewer is a cursor into it, so viewers that keep up stand at the same place and are sent the very
same text, and one that does not costs nothing but its cursor. The first news after a pause is shown at once; what
follows within the tick is gathered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress

from agentrt.errors import SettingInvalid
from agentrt.events import AnyEvent, RunEnded, RunRested, When
from agentrt.messages import ToolCall, UserMessage
from agentrt.runs.owner import Run
from agentrt.server.attendance import Attendance
from agentrt.server.commands import Cursor
from agentrt.server.log import Log

logger = logging.getLogger(__name__)

_HEARD = 256
"""Of what was said into a run, so much is known again when it is said twice."""


class Show:
    """One run and its log.

    Args:
        run: None for a run that is no longer here: the log was made from the journal.
        thread: As the runtime calls it.
        attendance: Of a run that is here.

    Attributes:
        holders: Those whose run this is in the sense of `on_disconnect: "cancel"`.
        answered: The calls about which somebody has decided here.
        over: Whether nothing more will be shown: the run has ended, or rests.
    """

    def __init__(
        self,
        log: Log,
        run: Run | None,
        *,
        principal: str | None,
        thread: str | None,
        attendance: Attendance | None = None,
    ) -> None:
        self.log = log
        self.run = run
        self.principal = principal
        self.thread = thread
        self.attendance = attendance
        self.holders: set[object] = set()
        self.answered: set[str] = set()
        self._heard: dict[str, None] = {}
        self.over = run is None
        self._news = asyncio.Event()
        self._at = 0.0
        self._reader = run.events() if run is not None else None
        if self._reader is not None:
            self._take(self._reader.ready())  # of a run that was taken over: what happened before

    @property
    def epoch(self) -> int:
        """Of the run's owner. A run that waits for its turn is about to be in its first."""
        return (self.run.epoch if self.run is not None else self.log.epoch) or 1

    def replays(self, cursor: Cursor) -> bool:
        """Whether a viewer that stands there can be shown what follows. Who has seen nothing, can in any epoch."""
        return self.log.replayable(cursor.epoch if cursor.after else 0, cursor.after)

    @contextmanager
    def attended(self) -> Generator[None]:
        """Be there, in this block, to decide about the run's calls."""
        if self.attendance is None:
            yield
            return
        self.attendance.come()
        try:
            yield
        finally:
            self.attendance.leave()

    def steer(self, id: str, messages: Sequence[UserMessage], when: When = "next_step") -> bool:
        """Say something into the run; under one id it is said once. False if there is nobody to hear it."""
        if id in self._heard:
            return True
        if self.run is None or self.over:
            return False
        try:
            for message in messages:
                self.run.steer(message, when=when)
        except SettingInvalid:
            return False
        self._heard[id] = None
        if len(self._heard) > _HEARD:
            del self._heard[next(iter(self._heard))]
        return True

    async def ended(self) -> None:
        """Return once nothing more will be shown."""
        while not self.over:
            await self.changed()

    async def changed(self) -> None:
        """Return once the log has grown, or nothing more will come. Look at the log first."""
        if not self.over:
            await self._news.wait()

    async def feed(self, tick: float) -> None:
        """Fill the log until the run is over."""
        assert self._reader is not None
        reader = self._reader
        try:
            while not reader.ended:
                await reader.changed()
                self._take(reader.ready())
                if not reader.ended:
                    await asyncio.sleep(tick)
        except Exception:  # what is wrong with one run is told to its viewers, and is no harm to others
            logger.exception("run %s can be shown no further", self.run.run_id if self.run else None)
            with suppress(Exception):
                self._take([broken_off(self.log, self.epoch, self._at)])
        finally:
            self.over = True
            if self.attendance is not None:
                self.attendance.close()
            self._news.set()

    def _take(self, events: Sequence[AnyEvent]) -> None:
        if not events:
            return
        self.log.take(events)
        self._at = events[-1].at
        if self.attendance is not None:
            self.attendance.look()
        news, self._news = self._news, asyncio.Event()
        news.set()


def broken_off(log: Log, epoch: int, at: float) -> RunEnded:
    """What viewers are told in place of an end that nobody could keep, or that nobody here will see. It is no fact."""
    return RunEnded(epoch=epoch, seq=log.head + 1, at=at, outcome="failed", code="internal")


def at_rest(log: Log, at: float, calls: Sequence[ToolCall]) -> RunRested:
    """What viewers of a run that rests were told last, for those who are shown it from the journal."""
    return RunRested(epoch=log.epoch, seq=log.head + 1, at=at, call_ids=tuple(call.id for call in calls))
