"""How a command ends: Ctrl-C once leaves in order, twice at once, and nothing can hold the exit."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, Literal, NoReturn

INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""


def run_command(main: Coroutine[Any, Any, int], *, left_behind: Callable[[], bool] = lambda: False) -> int:
    """Run a command's coroutine and return its exit code, 130 after Ctrl-C.

    Args:
        left_behind: Asked at the end: whether a task would not stop. A loop waits for such tasks for
            ever when it closes, so then the process leaves without closing it.
    """

    async def supervised() -> int:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        pressed = 0

        def interrupt(_signal: int, _frame: FrameType | None) -> None:
            nonlocal pressed
            pressed += 1
            if pressed > 1:
                leave(INTERRUPTED)
            loop.call_soon_threadsafe(task.cancel)

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            code = await main
        except asyncio.CancelledError:
            if not pressed:
                raise
            code = INTERRUPTED
        finally:
            if not pressed:  # else a second time still counts, until the process is gone
                signal.signal(signal.SIGINT, before)
        if left_behind():
            leave(code)
        return code

    return asyncio.run(supervised())


def as_on_exit(journal: str) -> Literal["cancel", "suspend"]:
    """What becomes of a command's runs when it stops: those that stand in a file are left to be resumed."""
    return "cancel" if journal == "memory" else "suspend"


def leave(code: int) -> NoReturn:
    """End the process now: no handlers, no threads or tasks awaited. Shows the cursor again."""
    try:
        if sys.stdout.isatty():
            sys.stdout.write("\x1b[?25h\n")
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, RuntimeError, ValueError):
        pass  # The stream is closed, or this signal came in the middle of writing to it.
    finally:
        os._exit(code)
