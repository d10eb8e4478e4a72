"""Names the tool that blocks the event loop.

A coroutine that calls something blocking holds up every run of the process, and nothing fails: all is merely slow. So
while tools run on the loop a daemon thread looks on, twice in each threshold. Where it finds the loop at work, and not
waiting, it hands it a *beat*, a callback that only says "I was here". If the beat is not heard for the threshold, the
loop is blocked right now, and the thread asks asyncio which task is the current one and Python at which line its thread
stands. A task that was the current one half a threshold ago, too, is named.

So a tool's step costs nothing, and a loop that waits is not woken. The thread ends when no tool
has run for a while and a beat finds none. All
bookkeeping is done in the loop's thread, so there is no lock. What blocks for half as long again as the threshold is
always seen, what blocks for less than the threshold never.

Tasks that a tool has started belong to it, from Python 3.12 on, which shows a task's context variables. Where the
current task is none of a tool's, the tools in flight are named: it may be one of them.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from types import FrameType
from typing import Any

from agentrt.errors import SettingInvalid
from agentrt.offloop import daemon

logger = logging.getLogger(__name__)

Task = asyncio.Task[Any]

_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_LINGER = 2.0
"""Seconds for which the thread stays when no tool runs: to start one costs more than to wait for the next tool."""

_LOOP = ("asyncio.base_events", "asyncio.runners")
"""The modules whose frames lie below every callback of a loop."""


@dataclass(eq=False)
class _Call:
    """A call that is watched, and the lines for which it has been named."""

    tool: str
    run_id: str
    call_id: str
    told: set[str] = field(default_factory=set[str])

    def __str__(self) -> str:
        return f'"{self.tool}" (run {self.run_id}, call {self.call_id})'


class _Beat:
    """One question to the loop."""

    def __init__(self) -> None:
        self.sent = time.monotonic()
        self.heard = False
        self.last = False


_CALL: ContextVar[_Call | None] = ContextVar("agentrt_watched_call", default=None)


class Watchdog:
    """Logs a warning for a tool that blocks its event loop, while it does: once for each line of a call.

    It belongs to the loop in which it is first used. On a virtual clock it does nothing.

    Args:
        threshold: Seconds that one step may take; None to look at nothing.

    Raises:
        SettingInvalid: the threshold is not above 0.
    """

    def __init__(self, threshold: float | None = 0.1) -> None:
        if threshold is not None and not threshold > 0:
            raise SettingInvalid(f"the watchdog's threshold is {threshold:g} s; it needs more than 0, or None")
        self._threshold = threshold
        self._in_flight: dict[Task, _Call] = {}
        self._looking = False

    def watch(self, work: Task, tool: str, run_id: str, call_id: str) -> None:
        """Look on until the task is done. To be called where it was made, before its first step."""
        loop = work.get_loop()
        if self._threshold is None or getattr(loop, "virtual", False):
            return
        call = self._in_flight[work] = _Call(tool, run_id, call_id)
        work.add_done_callback(self._in_flight.pop)
        if sys.version_info >= (3, 12):
            work.get_context().run(_CALL.set, call)
        if not self._looking:
            self._looking = True
            daemon(partial(self._look_on, loop, threading.get_ident(), self._threshold / 2), "agentrt-watchdog", loop)

    def _hear(self, beat: _Beat) -> None:
        beat.heard = True
        beat.last = not self._in_flight
        self._looking = not beat.last

    def _look_on(self, loop: asyncio.AbstractEventLoop, thread: int, pause: float) -> None:
        """The thread's life."""
        idle = 0.0
        while True:
            time.sleep(pause)
            idle = 0.0 if self._in_flight else idle + pause
            if 0.0 < idle < _LINGER or (self._in_flight and _place(thread) is None):
                continue
            beat = _Beat()
            try:
                loop.call_soon_threadsafe(self._hear, beat)
            except RuntimeError:  # it has closed
                return
            self._listen(loop, thread, pause, beat)
            if beat.last or loop.is_closed():
                return

    def _listen(self, loop: asyncio.AbstractEventLoop, thread: int, pause: float, beat: _Beat) -> None:
        time.sleep(pause)
        suspect = asyncio.current_task(loop)
        if not beat.heard:
            time.sleep(pause)
        if not beat.heard and loop.is_running():
            self._judge(loop, thread, beat, suspect)
        while not (beat.heard or loop.is_closed()):
            time.sleep(pause)

    def _judge(self, loop: asyncio.AbstractEventLoop, thread: int, beat: _Beat, suspect: Task | None) -> None:
        task, where, seconds = asyncio.current_task(loop), _place(thread), time.monotonic() - beat.sent
        if beat.heard or where is None:
            return
        culprit = self._whose(task) if task is not None and task is suspect else None
        suspects = tuple(self._in_flight.values()) if culprit is None else (culprit,)
        if all(where in call.told for call in suspects):
            return
        for call in suspects:
            call.told.add(where)
        if culprit is not None:
            text = "tool %s has blocked the event loop for %.2f s and still does, at %s; a plain function has a thread"
            logger.warning(text, culprit, seconds, where)
        else:
            text = "the event loop has been blocked for %.2f s and still is, at %s: by a tool in flight (%s) or others"
            logger.warning(text, seconds, where, ", ".join(map(str, suspects)))

    def _whose(self, task: Task) -> _Call | None:
        call = self._in_flight.get(task)
        if call is None and sys.version_info >= (3, 12):
            return task.get_context().get(_CALL)
        return call


def _place(thread: int) -> str | None:
    """Where the thread's loop is: the innermost line of the user's own code, else of any; None if the loop waits."""
    frames = list(_above_the_loop(sys._current_frames().get(thread)))  # pyright: ignore[reportPrivateUsage]
    if not frames or frames[0].f_globals.get("__name__") == "selectors":
        return None
    frame = next((frame for frame in frames if not _of_a_library(frame)), frames[0])
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_qualname}"


def _above_the_loop(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None and frame.f_globals.get("__name__") not in _LOOP:
        yield frame
        frame = frame.f_back


def _of_a_library(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(("<frozen", *_LIBRARIES))
