"""How somebody outside reaches into a run that is being carried.

Theory: a run is carried by one task, which makes its moves one after the other; the owner decides, and the moves ask
here. A reply in flight can be cut without ending the run: it is asked for in a scope, a timeout without an end, that
is made due at once. A call can be stopped alone: it is a task of its own, and a task that is cancelled writes no fact,
so what becomes of the call is written here. A call that waits for a person waits here as long as somebody attends to
the run, and the run's deadline is put off while there is nothing else to do.
"""

from __future__ import annotations

import asyncio
from asyncio import Future, Task
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager

from agentrt.messages import ToolCall
from agentrt.runs.intents import returned, stopped_alone
from agentrt.runs.ledger import Ledger
from agentrt.runs.record import Record


class Control:
    """One for each run, on the run's loop. `running` are the calls that run now, each with its task; `closing` says
    that the last move has been made: nothing that is said can change it any more.
    """

    def __init__(self, record: Record, ledger: Ledger) -> None:
        self.closing = False
        self._record = record
        self._ledger = ledger
        self._asking: asyncio.Timeout | None = None
        self.running: dict[str, tuple[ToolCall, Task[None]]] = {}
        self._attending = 0
        self._news: Future[None] | None = None
        self._limit: asyncio.Timeout | None = None

    # ---- for who is outside ----------------------------------------------------------------------

    def cut_reply(self) -> None:
        """Stop asking the model; the run goes on with what it has."""
        if self._asking is not None and not self._asking.expired():
            self._asking.reschedule(asyncio.get_running_loop().time())

    def stop_call(self, call_id: str) -> None:
        """Stop one call. What becomes of it is a fact once it has stopped."""
        waiting = next((call for call in self._record.state.open_calls if call.id == call_id), None)
        if call_id not in self.running and waiting is not None and call_id in self._record.state.waiting:
            self._land(waiting)  # since before the run was taken up
        elif call_id in self.running:
            call, task = self.running[call_id]
            if not task.done() and not task.cancelling():
                task.cancel()
                task.add_done_callback(lambda _: self._land(call))

    @contextmanager
    def attend(self) -> Generator[None]:
        """Be there to decide: meanwhile the run waits for decisions where it is, and does not rest."""
        self._attending += 1
        try:
            yield
        finally:
            self._attending -= 1
            self.changed()

    def changed(self) -> None:
        """Something happened for which a waiting call may wait."""
        if self._news is not None:
            self._news.set_result(None)
            self._news = None

    # ---- for the moves -----------------------------------------------------------------------------

    @contextmanager
    def limited_by(self, limit: asyncio.Timeout) -> Generator[None]:
        """The run's deadline, which is put off by the time in which the run only waits for people."""
        self._limit = limit
        try:
            yield
        finally:
            self._limit = None

    @asynccontextmanager
    async def asking(self) -> AsyncGenerator[asyncio.Timeout]:
        """A scope to ask the model in; it is left without an error when the reply is cut, and has `expired` then."""
        try:
            async with asyncio.timeout(None) as self._asking:
                yield self._asking
        except TimeoutError:
            if self._asking is None or not self._asking.expired():
                raise
        finally:
            self._asking = None

    async def settled(self, call_id: str) -> bool:
        """Wait until the call waits for nobody, and say so; or until the run is to rest, or to stop."""
        while call_id in self._record.state.waiting:
            if not await self._stays():
                self.changed()  # what holds for this call holds for the others that wait
                return False
        return True

    async def awake(self) -> bool:
        """Wait until the run has something to do, and say so; or until nobody attends to it."""
        while self._record.state.resting:
            if not await self._stays():
                return False
        return True

    async def _stays(self) -> bool:
        """Wait for news, if waiting makes sense."""
        state = self._record.state
        if state.stop is not None or (state.resting and not self._attending):
            return False
        self._put_off(None if state.resting else self._record.deadline)
        try:
            self._news = self._news or asyncio.get_running_loop().create_future()
            await asyncio.shield(self._news)
        finally:
            self._put_off(None if self._record.state.resting else self._record.deadline)
        return True

    def _put_off(self, at: float | None) -> None:
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(at)

    def _land(self, call: ToolCall) -> None:
        record = self._record
        asked = record.state.stop_of(call.id)
        if asked is None or record.failure is not None or record.state.ended is not None:
            return
        if any(call.id == one.id for one in record.state.open_calls):
            record.happened(returned(call, stopped_alone(asked), self._ledger.taken(call.id)))
            self.changed()
