"""Prove that a piece of code left nothing behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from agentrt.runtime import Runtime

PATIENCE = 2.0
"""Seconds, on the loop's clock, in which what is closing may finish closing."""


@asynccontextmanager
async def assert_no_leaks(runtime: Runtime | None = None) -> AsyncGenerator[None, None]:
    """Assert on leaving that the block left no task and no open descriptor behind.

    With a `runtime` that outlives the block, assert that its gates have every permit back and nobody
    in line; its idle connections are its own business then, so descriptors are not looked at. A server on
    the same loop keeps a task for each idle connection: open it outside of the block.

    Raises:
        AssertionError: names what is left after two seconds.
    """
    tasks, descriptors = asyncio.all_tasks(), _descriptors()
    yield
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE
    while left := _left(tasks, descriptors if runtime is None else None, runtime):
        if loop.time() >= until:
            raise AssertionError(f"left behind: {'; '.join(left)}")
        await asyncio.sleep(0.005)


def _left(tasks: set[asyncio.Task[object]], descriptors: frozenset[str] | None, runtime: Runtime | None) -> list[str]:
    left = [f"task {task.get_name()}" for task in asyncio.all_tasks() - tasks]
    if descriptors is not None:
        left += [f"descriptor {name}" for name in sorted(_descriptors() - descriptors)]
    for name, gate in (runtime.statistics() if runtime else {}).items():
        if gate.in_flight or gate.waiting:
            left.append(f"gate {name}: {gate.in_flight} in flight, {gate.waiting} in line")
    return left


def _descriptors() -> frozenset[str]:
    """Open descriptors by number and target, so that one number used again for another file shows."""
    found: set[str] = set()
    for number in os.listdir("/dev/fd"):  # noqa: PTH208 - as cheap as it gets, on Linux and macOS
        try:
            status = os.fstat(int(number))
        except OSError:  # the descriptor of this very listing
            continue
        found.add(f"{number} ({status.st_dev}:{status.st_ino})")
    return frozenset(found)
