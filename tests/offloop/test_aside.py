from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from agentrt.offloop import aside


def test_a_call_aside_gives_its_result_or_its_error() -> None:
    def fail() -> None:
        raise OSError("no such name")

    async def main() -> None:
        assert await aside(lambda: threading.current_thread().daemon) is True
        assert await aside(lambda: 7) == 7
        with pytest.raises(OSError, match="no such name"):
            await aside(fail)

    asyncio.run(main())


def test_a_cancelled_call_lets_go_of_its_thread() -> None:
    held = threading.Event()

    async def main() -> None:
        task = asyncio.create_task(aside(held.wait))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        held.set()

    asyncio.run(main())


def test_a_call_that_never_ends_does_not_hold_the_process() -> None:
    program = """
import asyncio, threading
from agentrt.offloop import aside

async def main():
    try:
        async with asyncio.timeout(0.05):
            await aside(threading.Event().wait)
    except TimeoutError:
        print("let go")

asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert ended.stdout == "let go\n"
