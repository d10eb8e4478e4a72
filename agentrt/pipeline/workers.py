"""Processes that read documents, each of which can be killed without harm to another.

A worker has one document at a time, so who is to blame is never in question: a document that takes too long has its
worker killed, one that crashes it has killed it itself, and the next document gets a new worker.

Not `multiprocessing`, nor a pool built on it: that imports the user's own main module into every worker (55 MB each
where it imports a model's client, 10 here), and cannot work at all where that module has no `__main__` guard.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from functools import cache
from importlib.util import find_spec

import msgspec

from agentrt.errors import SettingInvalid
from agentrt.pipeline.document import DocumentFailed, Parsed
from agentrt.pipeline.kind import Kind
from agentrt.pipeline.parse import Order
from agentrt.pipeline.worker import Reply, frame

_NEEDS: dict[Kind, str] = {"html": "selectolax", "pdf": "pypdfium2"}
_BOOT = """\
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from agentrt.pipeline.worker import main
main(float(sys.argv[2]), int(sys.argv[3]))
"""
_LONGER = 1.0
"""Seconds after the deadline at which a worker ends by itself, should we not be there to end it."""


class Workers:
    """Worker processes, started when they are needed. Close them by `aclose`.

    Args:
        deadline: Seconds that one document may take.
        memory: Bytes that one worker may have.
    """

    def __init__(self, *, deadline: float, memory: int) -> None:
        self._deadline = deadline
        self._memory = memory
        self._idle: list[Process] = []
        self._all: set[Process] = set()

    async def parse(self, order: Order) -> Parsed:
        """Have a document read, by an idle worker or a new one. Cancelling kills the worker.

        Raises:
            DocumentFailed: It cannot be read, takes too long, or crashes its reader.
            SettingInvalid: The package that reads it is not installed.
        """
        _see_that_it_can(order.kind)
        worker = self._idle.pop() if self._idle else await self._start()
        try:
            reply = await self._ask(worker, order)
        except BaseException:
            await self._kill(worker)
            raise
        self._idle.append(worker)
        if reply.parsed is None:
            raise DocumentFailed(reply.error, kind=reply.kind)
        return reply.parsed

    async def aclose(self) -> None:
        """End all workers, whatever they are doing."""
        self._idle.clear()
        ending = [worker for worker in tuple(self._all) if self._killed(worker)]
        for worker in ending:
            await worker.communicate()

    async def _start(self) -> Process:
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", _BOOT, json.dumps(sys.path), str(self._deadline + _LONGER), str(self._memory)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            process_group=0,  # Ctrl-C in a terminal goes to us, not to it
        )
        self._all.add(worker)
        assert worker.stdout is not None
        try:
            await worker.stdout.readexactly(1)  # so that no document pays for the start
        except asyncio.IncompleteReadError:
            await worker.wait()
            await self._kill(worker)
            raise RuntimeError(f"a worker process could not start: {sys.executable} {_ended(worker)}") from None
        except BaseException:
            await self._kill(worker)
            raise
        return worker

    async def _ask(self, worker: Process, order: Order) -> Reply:
        assert worker.stdin is not None and worker.stdout is not None
        try:
            async with asyncio.timeout(self._deadline):
                worker.stdin.write(frame(order))
                await worker.stdin.drain()
                size = int.from_bytes(await worker.stdout.readexactly(4), "big")
                return msgspec.msgpack.decode(await worker.stdout.readexactly(size), type=Reply)
        except TimeoutError:
            text = f"reading the document took longer than {self._deadline:g} s; its worker process was killed"
            raise DocumentFailed(text, kind="parse_timeout") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            with suppress(TimeoutError):
                async with asyncio.timeout(_LONGER):
                    await worker.wait()  # a kill now could hide how it ended
            text = f"reading the document ended its worker process: it {_ended(worker)}"
            raise DocumentFailed(text, kind="parse_crash") from None

    async def _kill(self, worker: Process) -> None:
        if self._killed(worker):
            await worker.communicate()  # sees the pipes closed, too

    def _killed(self, worker: Process) -> bool:
        """Kill it; False if somebody has already."""
        if worker not in self._all:
            return False
        self._all.discard(worker)
        if worker.returncode is None:
            with suppress(ProcessLookupError):  # it has ended this moment
                worker.kill()
        return True


@cache
def _see_that_it_can(kind: Kind) -> None:
    package = _NEEDS[kind]
    if find_spec(package) is None:
        raise SettingInvalid(f'reading {kind.upper()} needs the package {package}: pip install "agentrt[ingest]"')


def _ended(worker: Process) -> str:
    code = worker.returncode
    if code is None or code >= 0:
        return f"left with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
