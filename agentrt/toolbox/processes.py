"""Processes for plain functions that must be killable: those that compute in C, hang, or crash.

A worker has one call at a time. A call that is cancelled has its worker killed in the same moment, and with it what
the worker has started, for a worker leads a process group of its own; its siblings live on. So Ctrl-C in a terminal
does not reach them either. A worker that dies by itself is an error of the call that it had.

Each worker has a *slot*: a daemon thread that starts the process when a call comes, speaks with it, buries it, and
starts another for the next call. All other bookkeeping is done in the loop's thread, as in `threads.py`; the lock
keeps the loop from killing a process that the thread has buried, whose id may be another's by then.

Not `multiprocessing`, nor a pool built on it: that imports the user's own main module into every worker, whether or
not it is needed and be it without a `__main__` guard, and its workers outlive a parent that is killed while they
compute. Ours are told by the kernel (`worker.py`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import msgspec

from agentrt import errors
from agentrt.errors import ToolError, ToolInvalid
from agentrt.offloop import daemon
from agentrt.toolbox.travel import check_travels, main_module
from agentrt.toolbox.worker import Failure, Order, Reply, find, frame, read_frame

logger = logging.getLogger(__name__)

_BOOT = """\
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from agentrt.toolbox.worker import main
main(int(sys.argv[2]))
"""
_MOST = 8
"""Workers by default, where there are so many processors."""
_DYING = 1.0
"""Seconds in which a process whose socket has closed may end by itself, so that it is known how."""
_PATIENCE = 5.0
"""Seconds that `aclose` waits for the system to end what was killed."""


class _Call(asyncio.Future[str | BaseException]):
    """One call, waiting or begun."""

    def __init__(self, order: bytes, let_go: Callable[[_Call], None]) -> None:
        super().__init__()
        self.order = order
        self.slot: _Slot | None = None
        self._let_go = let_go

    def cancel(self, msg: Any | None = None) -> bool:
        if not super().cancel(msg):
            return False
        self._let_go(self)
        return True


class Processes:
    """At most `size` worker processes, started when first needed and kept for the next call. Close them by `aclose`.

    It belongs to the loop in which it is first used.
    """

    def __init__(self, size: int | None = None) -> None:
        self._size = min(os.cpu_count() or 1, _MOST) if size is None else size
        self._closed = False
        self._slots: list[_Slot] = []
        self._idle: list[_Slot] = []
        self._waiting: dict[_Call, None] = {}  # a queue from which any call can be taken back at once

    def start(self, function: Callable[..., Any], values: Mapping[str, Any], /) -> asyncio.Future[str | BaseException]:
        """Call the function in a worker; the future's result is the tool's, as text, or what went wrong with it.

        Cancelling the future kills the worker, or takes the call back if it has not begun. An exception of the
        function comes back as one whose class has the same name, a `ToolError` or `ProviderError` as such.

        Raises:
            RuntimeError: this is closed, or the loop's clock is virtual.
        """
        if self._closed:
            raise RuntimeError("these processes are closed: the Runtime that owns them has ended")
        try:
            order = _order(function, values)
        except (ToolError, ToolInvalid) as error:
            refused: asyncio.Future[str | BaseException] = asyncio.get_running_loop().create_future()
            refused.set_result(error)
            return refused
        call = _Call(order, self._let_go)
        self._waiting[call] = None
        self._begin_next()
        return call

    async def aclose(self) -> None:
        """Kill all workers, whatever they are doing, cancel their calls, and wait until they are gone."""
        self._closed = True
        for call in (*self._waiting, *(slot.call for slot in self._slots if slot.call)):
            call.cancel()
        for slot in self._slots:
            slot.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                for slot in self._slots:
                    await asyncio.shield(slot.gone)
        if left := sum(not slot.gone.done() for slot in self._slots):
            logger.warning("%d worker processes of tools were killed and have not ended", left)

    def _let_go(self, call: _Call) -> None:
        self._waiting.pop(call, None)
        if call.slot is not None:
            call.slot.kill()

    def _begin_next(self) -> None:
        if not self._waiting or not (self._idle or len(self._slots) < self._size):
            return
        if self._idle:
            slot = self._idle.pop()
        else:
            slot = _Slot(len(self._slots) + 1, self._finish)
            self._slots.append(slot)
        call = next(iter(self._waiting))
        del self._waiting[call]
        slot.begin(call)

    def _finish(self, slot: _Slot, call: _Call, came_of: str | BaseException) -> None:
        slot.call = call.slot = None
        self._idle.append(slot)
        if not call.done():
            call.set_result(came_of)
        self._begin_next()


class _Slot:
    """A thread with at most one worker process."""

    def __init__(self, number: int, finish: Callable[[_Slot, _Call, str | BaseException], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._finish = finish
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._worker: _Worker | None = None
        self.call: _Call | None = None
        self.gone: asyncio.Future[None] = self._loop.create_future()
        daemon(self._serve, f"agentrt-process-{number}", self._loop)

    def begin(self, call: _Call) -> None:
        self.call, call.slot = call, self
        self._calls.put(call)

    def kill(self) -> None:
        """End the process. One that is just starting the thread ends: it sees that its call is cancelled."""
        if self._worker is not None:
            self._worker.kill()

    def end(self) -> None:
        """End the process, and then the thread."""
        self.kill()
        self._calls.put(None)

    def _serve(self) -> None:
        """The thread's life."""
        while (call := self._calls.get()) is not None:
            if not self._tell(self._finish, self, call, self._perform(call)):
                break
            del call  # an idle thread keeps nothing alive
        self._bury()
        self._tell(_settle, self.gone)

    def _perform(self, call: _Call) -> str | BaseException:
        if self._worker is not None and not self._worker.alive():
            self._bury()
        if call.cancelled():
            return ""  # nobody hears it
        try:
            worker = self._worker = self._worker or _Worker()
        except OSError as error:
            return ToolError(f"no process could be started for the tool: {error}", code="tool_process_failed")
        if call.cancelled():
            worker.kill()
        try:
            return _came_of(worker.ask(call.order))
        except Exception as error:  # noqa: BLE001 - whatever it was: the worker is of no more use, and the call must end
            text = f"the process that ran the tool {self._bury()} before the tool was done; it may have taken effect"
            died = ToolError(text, code="tool_process_died")
            died.__cause__ = error
            return died

    def _bury(self) -> str:
        worker, self._worker = self._worker, None
        return worker.bury() if worker is not None else ""

    def _tell(self, hear: Callable[..., None], *said: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(hear, *said)
        except RuntimeError:  # the loop has closed: nobody waits any more
            return False
        return True


class _Worker:
    """A process, as its thread has it; `kill` is for the loop's.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._killed = False
        self._channel, theirs = socket.socketpair()
        self._stream = self._channel.makefile("rb")
        try:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                (sys.executable, "-u", "-c", _BOOT, json.dumps(sys.path), str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,
            )
        except BaseException:
            self._close()
            raise
        finally:
            theirs.close()

    def alive(self) -> bool:
        with self._lock:
            return not self._killed and self._process.poll() is None

    def ask(self, order: bytes) -> Reply:
        self._channel.sendall(order)
        body = read_frame(self._stream)
        if body is None:
            raise EOFError
        return msgspec.msgpack.decode(body, type=Reply)

    def kill(self) -> None:
        """End it, and wake the thread that waits for its reply, should somebody else have its socket by now."""
        with self._lock:
            if self._killed:
                return
            self._killed = True
            if self._process.returncode is None:
                self._end_group()
            with suppress(OSError):  # the other end has gone
                self._channel.shutdown(socket.SHUT_RDWR)

    def bury(self) -> str:
        """See it ended, and what it has started, and say how it ended."""
        if not self._killed:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_DYING)
        with self._lock:
            self._killed = True
            self._end_group()  # no other process gets this id meanwhile: the system hands them out in turn
        self._process.wait()
        self._close()
        return _ended(self._process.returncode)

    def _end_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # macOS calls it the latter where all have ended
            os.killpg(self._process.pid, signal.SIGKILL)

    def _close(self) -> None:
        self._stream.close()
        self._channel.close()


def _order(function: Callable[..., Any], values: Mapping[str, Any]) -> bytes:
    check_travels(function, getattr(function, "__qualname__", repr(function)))
    try:
        found = find(sys.modules[function.__module__], function.__qualname__)
    except (KeyError, AttributeError):
        found = None
    if found is not function:
        name = f"{function.__module__}.{function.__qualname__}"
        raise ToolInvalid(f'a tool has run_in="process", but the name {name} does not lead to its function')
    main, script = main_module()
    return frame(Order(function.__module__, function.__qualname__, _pickled(values), main, script))


def _pickled(values: Mapping[str, Any]) -> bytes:
    try:
        return pickle.dumps(dict(values))
    except Exception as error:
        text = f"the arguments cannot be sent to the process that runs the tool: {type(error).__name__}: {error}"
        raise ToolError(text, code="arguments_invalid") from error


def _came_of(reply: Reply) -> str | BaseException:
    return reply.text if reply.failure is None else _exception(reply.failure)


def _exception(failure: Failure) -> Exception:
    if failure.inner:
        return ExceptionGroup(failure.text, [_exception(each) for each in failure.inner])
    ours: type[Exception] = vars(errors)[failure.ours] if failure.ours else Exception
    kind = ours if failure.kind == ours.__name__ else type(failure.kind, (ours,), {})
    error: Exception = kind(failure.text)
    vars(error).update(failure.attributes)
    error.add_note(f"In the process that ran it:\n{failure.trace}")
    return error


def _ended(code: int) -> str:
    if code >= 0:
        return f"left with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
