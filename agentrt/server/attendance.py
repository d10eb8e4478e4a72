"""Whether somebody is there to decide about a run's calls: the run waits where it is as long as that is so.

Theory: who watches a run and can decide attends to it. One who leaves may be about to come back, as at a reload, so the
run is not told at once. Nor does a run wait for ever for somebody who is there and says nothing: a call that has waited
for too long lets the run rest, which can be taken up whenever the answer comes.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from agentrt.runs.owner import Run


class Attendance:
    """That of one run, on its loop.

    Args:
        linger: Seconds for which who has left counts as there.
        timeout: Seconds that a call is waited for. They begin when it is first seen here, so anew when the run does.
    """

    def __init__(self, run: Run, *, linger: float, timeout: float) -> None:
        self._run = run
        self._linger = linger
        self._timeout = timeout
        self._here = 0
        self._left: asyncio.TimerHandle | None = None
        self._waiting: dict[str, asyncio.TimerHandle] = {}
        self._late: set[str] = set()
        self._held: ExitStack | None = None
        self._closed = False

    def come(self) -> None:
        """Somebody is there who can decide."""
        self._here += 1
        if self._left is not None:
            self._left.cancel()
            self._left = None
        self._settle()

    def leave(self) -> None:
        """One who came is gone."""
        self._here -= 1
        if not self._here and not self._closed:
            self._left = asyncio.get_running_loop().call_later(self._linger, self._gone)

    def look(self) -> None:
        """Something has happened in the run."""
        waiting = self._run.state.waiting
        for call_id in self._waiting.keys() - waiting:
            self._waiting.pop(call_id).cancel()
            self._late.discard(call_id)
        if not self._closed:
            for call_id in waiting - self._waiting.keys():
                later = asyncio.get_running_loop().call_later(self._timeout, self._too_late, call_id)
                self._waiting[call_id] = later
        self._settle()

    def close(self) -> None:
        """From now on nobody is there."""
        self._closed = True
        for timer in (self._left, *self._waiting.values()):
            if timer is not None:
                timer.cancel()
        self._left = None
        self._settle()

    def _gone(self) -> None:
        self._left = None
        self._settle()

    def _too_late(self, call_id: str) -> None:
        self._late.add(call_id)
        self._settle()

    def _settle(self) -> None:
        there = (self._here > 0 or self._left is not None) and not self._late and not self._closed
        if there and self._held is None:
            self._held = ExitStack()
            self._held.enter_context(self._run.attend())
        elif not there and self._held is not None:
            self._held.close()
            self._held = None
