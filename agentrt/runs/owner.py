"""A run and its owner.

Theory: a run belongs to one owner, who alone lets facts happen; so the order of the loop, of the journal
and of the fold are one, without a lock. The owner starts one task, the carrier, which makes the moves.
To cancel a run is to cancel its carrier: no cancelled task writes a fact on its way out. When the
carrier is done, however it ended, the owner closes the run from the folded state: the text shown so far,
a result for every call without one, then the one `RunEnded`.

A run whose owner died is taken over by a new one, which goes on behind the facts of the old. An owner may also
leave its run on purpose: then the carrier is cancelled and no end is written.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from asyncio import Future, Task
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict

from agentrt.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    GateTimeout,
    JournalFailed,
    ProviderError,
    ProviderFailed,
    RunCancelled,
    RunFailed,
    SettingInvalid,
)
from agentrt.events import (
    AnyEvent,
    CancelAsked,
    ModelReplied,
    Rewound,
    RunEnded,
    RunResumed,
    RunStarted,
    TextDelta,
)
from agentrt.messages import Answer, AssistantMessage, ToolCall, Usage
from agentrt.runs.carry import carry
from agentrt.runs.feed import FeedReader
from agentrt.runs.intents import OUTCOME_UNKNOWN, may_run_again, returned
from agentrt.runs.moves import End, next_move
from agentrt.runs.order import Order, Ports
from agentrt.runs.record import Record
from agentrt.runs.state import RunState, fold
from agentrt.runs.takeover import Taken
from agentrt.toolbox.call import ToolOutcome

logger = logging.getLogger(__name__)

History = Callable[[], Awaitable[tuple[str | None, RunState]]]
"""Waits for the thread's previous run; gives its id and the state this one begins in."""

_FAILURES: dict[str, type[RunFailed]] = {
    "budget": BudgetExceeded,
    "deadline": DeadlineExceeded,
    "cancelled": RunCancelled,
}
_PROVIDER_CODES = ("provider_", "context_", "content_", "reply_")


class Run:
    """One run. Who holds it may watch, await and cancel it; losing it cancels nothing."""

    def __init__(self, order: Order, ports: Ports, history: History, taken: Taken | None = None) -> None:
        self.run_id = order.run_id
        self._order = order
        self._ports = ports
        self._history: History | None = history
        self._taken = taken
        self._record = Record(order.run_id, ports.journal, ports.now)
        if taken is not None:
            self._record.go_on(taken.epoch, taken.facts)
        self._interrupted = self._record.state.started
        self._begun = False
        self._carrier: Task[End] | None = None
        self._cancelled: str | None = None
        self._suspended = False
        self._thread = threading.get_ident()
        self._loop = asyncio.get_running_loop()
        self._ended: Future[None] = self._loop.create_future()
        self._error: Exception | None = None

    @property
    def state(self) -> RunState:
        """The fold of what has happened so far."""
        return self._record.state

    @property
    def epoch(self) -> int:
        """The epoch of this owner, which every resumption raises; 0 before the run has begun."""
        return self._record.epoch

    @property
    def head(self) -> int:
        """The number of the last event that readers can see; 0 before the first."""
        return self._record.feed.head

    def events(self, after: int = 0) -> FeedReader:
        """Facts and passing events, from the first with a number above `after` to the end of the run.

        The facts of older epochs keep their numbers; those of the passing events between them are missing.
        """
        return self._record.feed.read(after)

    def cancel(self, reason: str = "") -> None:
        """Stop now: close the provider's connection, cancel the tools. Returns at once; see `wait`.

        May be called from any thread.
        """
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self.cancel, reason)
            return
        if self._cancelled is not None or (self._carrier is not None and self._carrier.done()):
            return
        self._cancelled = reason or "asked"
        if self._carrier is not None:
            self._carrier.cancel()
        if self._begun and self._record.failure is None:
            self._record.happened(CancelAsked(reason=self._cancelled))

    def suspend(self) -> None:
        """Stop now, and leave the run without an end: whoever resumes it goes on from its facts. See `wait`."""
        if self._cancelled is None:
            self._suspended = True
            if self._carrier is not None:
                self._carrier.cancel()

    async def wait(self) -> None:
        """Return once the run has ended and its last fact is kept. Cancelling it cancels only the waiting."""
        await asyncio.shield(self._ended)

    async def stop(self, reason: str = "") -> None:
        """Cancel the run and see it end. A cancel that comes meanwhile waits, and is raised then."""
        self.cancel(reason)
        interrupted: asyncio.CancelledError | None = None
        while not self._ended.done():
            try:
                await asyncio.shield(self._ended)
            except asyncio.CancelledError as cancelled:
                interrupted = cancelled
        if interrupted is not None:
            raise interrupted

    async def answer(self) -> Answer:
        """The answer, once there is one.

        Raises:
            RunFailed: there is none; its subclass says why, and it carries the partial answer.
            JournalFailed: a fact could not be kept, so the run went no further.
            SettingInvalid: the journal had a run of this id already, so this one never began.
        """
        await self.wait()
        if self._record.failure is not None:
            raise self._record.failure
        ended, answer = self.state.ended, self.state.answer()
        if ended is None and self._suspended:
            raise RunCancelled("the run was left unfinished, to be resumed", answer=answer, reason="suspended")
        if ended is None:
            raise JournalFailed(f"run {self.run_id} was given up before its end could be kept")
        if ended.outcome == "success":
            return answer
        failure = _FAILURES.get(ended.outcome, RunFailed)
        if ended.outcome == "failed" and (ended.code or "").startswith(_PROVIDER_CODES):
            failure = ProviderFailed
        raise failure(ended.message, answer=answer, reason=ended.code) from self._error

    # ---- the owner's own task ----------------------------------------------------------------------

    async def live(self) -> None:
        """Carry the run to its end. What goes wrong becomes its `RunEnded`; only a cancel is raised."""
        end: End | None = None
        try:
            async with asyncio.TaskGroup() as group:
                self._carrier = group.create_task(self._carried(), name=f"run {self.run_id}")
                if self._cancelled is not None or self._suspended:
                    self._carrier.cancel()
            end = self._end_of(self._carrier)
        finally:
            if end is None and not self._suspended:
                end = End("cancelled", "cancelled", "the runtime closed")
            try:
                await (self._leave() if end is None else self._close(end))
            except Exception as error:  # noqa: BLE001 - a run never raises into the Runtime's group
                self._record.fail(error)

    def gone(self) -> None:
        """The owner's task has ended, however it did; nothing more will come."""
        self._record.feed.close(self._record.failure)
        self._ended.set_result(None)

    def _end_of(self, carrier: Task[End]) -> End | None:
        """How the run ends; None if it does not."""
        if carrier.cancelled():
            if self._suspended:
                return None
            if self._cancelled is None:
                return End("failed", "internal", "something the run called was cancelled, and nobody asked for that")
            return End("cancelled", "cancelled", self._cancelled)
        return carrier.result()

    async def _carried(self) -> End:
        # A run that was resumed may be at its end already; then it has only to say so, however late it is.
        over = isinstance(next_move(self.state, self._order.budget, self._ports.now()), End)
        deadline = asyncio.timeout_at(None if over else self._order.deadline)
        try:
            async with deadline:
                assert self._history is not None
                history, self._history = self._history, None  # it knows the thread's earlier runs
                previous, state = await history()
                await self._begin(previous, state)
                return await carry(self._order, self._record, self._ports)
        except (ProviderError, GateTimeout) as error:
            self._error = error
            return End("failed", error.code, str(error))
        except Exception as error:
            if isinstance(error, TimeoutError) and deadline.expired():
                return End("deadline", "run_timeout", "the run's deadline passed")
            logger.warning("run %s failed", self.run_id, exc_info=error)
            self._error = error
            return End("failed", "internal", f"internal error; the log of run {self.run_id} says more")

    async def _begin(self, previous: str | None, before: RunState) -> None:
        """Let the run's first fact happen, or the first of its new epoch, behind what its thread had come to."""
        record, order = self._record, self._order
        if self._taken is not None:
            record.state = fold(self._taken.facts, before)
            self._begun = True
            await record.keep(RunResumed())
            return
        record.epoch = await self._take()
        record.state = before
        self._begun = True
        await record.keep(
            RunStarted(
                run_id=order.run_id,
                agent=order.agent.name,
                model=order.agent.model,
                messages=order.messages,
                ends_at=order.ends_at,
                thread=order.thread,
                previous=previous,
                metadata=dict(order.metadata),
                principal=order.principal,
                budget=None if order.budget is order.agent.budget else asdict(order.budget),
                priority=order.priority,
            )
        )

    async def _take(self) -> int:
        """The epoch of a new run. A run that has this id already stays with its owner."""
        journal = self._ports.journal
        epoch = 0 if await journal.read(self.run_id) else await journal.take(self.run_id)
        # It may have been taken before and have no facts: whoever took it died right then, or was cancelled here.
        if epoch == 0 or (epoch > 1 and await journal.read(self.run_id)):
            error = SettingInvalid(f'run_id="{self.run_id}": the journal has a run of this id; choose another one')
            self._record.fail(error)
            raise error
        return epoch

    async def _leave(self) -> None:
        """Write no end. A run that was still to begin does so, or nobody could resume it."""
        if self._record.failure is None and not self._begun and self._taken is None:
            await self._begin(None, RunState())

    async def _close(self, end: End) -> None:
        record = self._record
        if record.failure is not None:
            return
        if not self._begun:
            await self._begin(None, RunState())
        message_id, text = shown_text(record.feed.events) if end.outcome != "success" else ("", "")
        if text:
            partial = AssistantMessage(content=text)
            usage = Usage(requests=1, estimated=True)
            record.happened(ModelReplied(message_id=message_id, message=partial, finish="cancelled", usage=usage))
        stragglers = self._ports.caller.stragglers.of(self.run_id)
        for call in record.state.open_calls:
            record.happened(returned(call, self._stopped(call, end, straggles=call.name in stragglers)))
        await record.keep(
            RunEnded(
                outcome=end.outcome,
                code=end.code,
                message=end.message,
                usage=record.state.usage,
                stragglers=stragglers,
            )
        )

    def _stopped(self, call: ToolCall, end: End, *, straggles: bool) -> ToolOutcome:
        """What came of a call that has no result when the run ends."""
        if call.id in self._interrupted and not may_run_again(self._order.agent.registry.get(call.name)):
            return OUTCOME_UNKNOWN
        content = f"The call was stopped: {end.message or end.outcome}."
        if straggles:
            content = "The call was told to stop and has not stopped: it may still take effect."
        return ToolOutcome("cancelled", content, "cancelled")


def shown_text(events: Iterable[AnyEvent]) -> tuple[str, str]:
    """Id and text of the reply that viewers saw arriving when the run was stopped; "" if none was."""
    message_id, pieces = "", list[str]()
    for event in events:
        if isinstance(event, TextDelta):
            if event.message_id != message_id:
                message_id, pieces = event.message_id, []
            pieces.append(event.text)
        elif isinstance(event, ModelReplied | Rewound):
            message_id, pieces = "", []
    return message_id, "".join(pieces)
