"""A run and its owner.

Theory: a run belongs to one owner, who alone lets facts happen; so the order of the loop, of the journal
and of the fold are one, without a lock. The owner starts one task, the carrier, which makes the moves.
To cancel a run is to cancel its carrier: no cancelled task writes a fact on its way out. When the
carrier is done, however it ended, the owner closes the run from the folded state: the text shown so far,
a result for every call without one, then the one `RunEnded`. What does less than end the run at once - a milder
cancel, a call that is stopped alone, a message from outside, a decision - is a fact, and a word to `Control`.

A run whose owner died is taken over by a new one, which goes on behind the facts of the old. An owner may also
leave its run on purpose: then the carrier is cancelled and no end is written. Nor is one where the run rests, because
nobody is there to decide about its calls.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from asyncio import Future, Task
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Generic, cast

from msgspec.structs import replace

from agentrt.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    GateTimeout,
    GuardrailTripped,
    JournalFailed,
    OutputInvalid,
    ProviderError,
    ProviderFailed,
    RunCancelled,
    RunFailed,
    SettingInvalid,
    Tripped,
)
from agentrt.events import CancelAsked, Fact, RunRested, Steered, StopMode, When
from agentrt.messages import Answer, O_co, UserMessage
from agentrt.runs.around import MiddlewareFailed
from agentrt.runs.asked import as_mode, as_said
from agentrt.runs.carried import Carried
from agentrt.runs.carry import carry
from agentrt.runs.control import Control
from agentrt.runs.decisions import Decision, decided
from agentrt.runs.ends import begin, close
from agentrt.runs.feed import FeedReader
from agentrt.runs.moves import End, Rest, next_move
from agentrt.runs.order import Order, Ports
from agentrt.runs.past import Past
from agentrt.runs.record import Record
from agentrt.runs.roles import AgentFailed, Roles
from agentrt.runs.state import RunState, fold
from agentrt.runs.takeover import Taken

logger = logging.getLogger(__name__)

_FAILURES: dict[str, type[RunFailed]] = {
    "budget": BudgetExceeded,
    "deadline": DeadlineExceeded,
    "cancelled": RunCancelled,
    "output_invalid": OutputInvalid,
    "guardrail": GuardrailTripped,
}
"""By outcome; for those that failed, by code."""
_PROVIDER_CODES = ("provider_", "context_", "content_", "reply_")
_MILDER: tuple[StopMode, ...] = ("after_turn", "after_tools", "now")
"""A cancel may be followed by one that is further to the right."""


class Run(Generic[O_co]):
    """One run. Who holds it may watch, await, steer and cancel it; losing it cancels nothing."""

    def __init__(
        self,
        order: Order,
        ports: Ports,
        past: Past,
        taken: Taken | None = None,
    ) -> None:
        self.run_id = order.run_id
        self._order = order
        self._ports = ports
        self._past = past
        self._taken = taken
        self._record = Record(order.run_id, ports.journal, ports.now, self._failed)
        if taken is not None:
            self._record.go_on(taken.epoch, taken.facts)
        self._interrupted = self.state.started
        roles = Roles(order, ports)
        role = roles.at_first(self.state.speaker or self.state.agent or order.agent.name)
        order.ledger.open(order.budget, lambda: self.state.usage)
        self._control = Control(self._record, order.ledger)
        self._run = Carried(order, ports, self._record, self._control, roles, role)
        self._begun = False
        self._asked: list[Fact] = []  # what was said before it has begun
        for decision in taken.decisions if taken is not None else ():
            self._asked.append(decided(fold(self._asked, self.state), decision))
        self._carrier: Task[End | Rest] | None = None
        self._cancelled: str | None = None
        self._suspended = False
        self._rests = False
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

    # ---- what may be said to it ------------------------------------------------------------------

    def cancel(self, reason: str = "", *, mode: StopMode = "now") -> None:
        """Stop. Returns at once; see `wait`. May be called from any thread.

        `now` closes the provider's connection and cancels the tools; `after_tools` lets the tools return that run,
        and asks the model no more; `after_turn` also lets the model finish its reply, and runs the calls in it. A
        run whose model then has answered is a success. What was said first counts, but for what stops it sooner.
        """
        as_mode(mode, reason)
        if self._elsewhere(lambda: self.cancel(reason, mode=mode)) or self._over:
            return
        if not self._begun:
            mode = "now"  # there is nothing to be let through
        before = "now" if self._cancelled is not None else self.state.stop and self.state.stop.mode
        if before is not None and _MILDER.index(mode) <= _MILDER.index(before):
            return
        if mode == "now":
            self._cancelled = reason or "asked"
            if self._carrier is not None:
                self._carrier.cancel()
        if self._begun:
            self._say(CancelAsked(mode=mode, reason=reason or "asked"))
        if mode == "after_tools":
            self._control.cut_reply()
        self._control.changed()

    def cancel_call(self, call_id: str, reason: str = "") -> None:
        """Stop one tool call; it has the result "cancelled", and the run goes on. May be called from any thread.

        Raises:
            SettingInvalid: the run has no such call, or it has a result already. Not from another thread.
        """
        as_mode("now", reason)
        if self._elsewhere(lambda: self.cancel_call(call_id, reason)):
            return
        if self._over or not any(call.id == call_id for call in self.state.open_calls):
            running = ", ".join(call.id for call in self.state.open_calls) or "none"
            raise SettingInvalid(f'no call "{call_id}" runs; calls without a result: {running}')
        self._stop_call(call_id, reason)

    def steer(self, message: str | UserMessage, *, when: When = "next_step") -> None:
        """Say something into the run: the model hears it with its next turn, and the run goes on until it has answered.

        `now` stops the reply that is arriving and the calls that run; what is shown of it stays, as do their results.

        Raises:
            SettingInvalid: the message is empty, or the run has ended, rests, or is being cancelled.
        """
        said = as_said(message, when)
        closing = self._over or self._control.closing
        if closing or self._cancelled is not None or self.state.stop is not None:
            raise SettingInvalid(f"run {self.run_id} is over or about to be: there is nobody to hear that")
        self._say(Steered(message=said, when=when))
        if when == "now":
            self._control.cut_reply()
            for call in self.state.open_calls:
                self._stop_call(call.id, "the user said something new")

    def decide(self, decision: Decision, *, by: str | None = None) -> None:
        """Approve of a call that waits for it, deny it, or give the result of one that the client ran.

        Raises:
            SettingInvalid: no such call waits for that, or the run rests: then `Runtime.resume` takes decisions.
        """
        if self._over or self._control.closing:
            raise SettingInvalid(f"run {self.run_id} does not go on here; if it rests: Runtime.resume(decisions=[...])")
        self._say(decided(fold(self._asked, self.state) if not self._begun else self.state, decision, by))
        self._control.changed()

    def attend(self) -> AbstractContextManager[None]:
        """Be there to decide: in this block the run waits for decisions where it is. Otherwise it rests instead."""
        return self._control.attend()

    def suspend(self) -> None:
        """Stop now, and leave the run without an end: whoever resumes it goes on from its facts. See `wait`."""
        if self._cancelled is None:
            self._suspended = True
            if self._carrier is not None:
                self._carrier.cancel()

    @property
    def _over(self) -> bool:
        """Whether nothing that is said can change anything any more."""
        return self._record.failure is not None or (self._carrier is not None and self._carrier.done())

    def _failed(self) -> None:
        """A fact could not be kept: nothing more may happen, whoever waits for what."""
        if self._carrier is not None and not self._carrier.done():
            self._carrier.cancel()

    def _elsewhere(self, say: Callable[[], None]) -> bool:
        """Whether this is another thread; then it is said in the right one."""
        elsewhere = threading.get_ident() != self._thread
        if elsewhere:
            self._loop.call_soon_threadsafe(say)
        return elsewhere

    def _say(self, fact: Fact) -> None:
        """Let it happen, as soon as the run has begun."""
        if not self._begun:
            self._asked.append(fact)
        elif self._record.failure is None:
            self._record.happened(fact)

    def _stop_call(self, call_id: str, reason: str) -> None:
        if self.state.stop_of(call_id) is None:
            self._say(CancelAsked(reason=reason, call_id=call_id))
            self._control.stop_call(call_id)

    # ---- waiting for it ----------------------------------------------------------------------------

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

    async def answer(self) -> Answer[O_co]:
        """The answer, once there is one; of a run that rests, what there is, and in `waiting` the calls it waits for.

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
        if ended is None and self.state.resting:
            return cast("Answer[O_co]", answer)
        if ended is None:
            raise JournalFailed(f"run {self.run_id} was given up before its end could be kept")
        if ended.outcome == "success":
            if self._order.agent.form is not None:
                answer = replace(answer, output=self._run.output)
            return cast("Answer[O_co]", answer)
        failure = _FAILURES.get(ended.code or "" if ended.outcome == "failed" else ended.outcome, RunFailed)
        if ended.outcome == "failed" and (ended.code or "").startswith(_PROVIDER_CODES):
            failure = ProviderFailed
        if failure is GuardrailTripped:
            answer = replace(answer, output="")
        raise failure(ended.message, answer=answer, reason=ended.code) from self._error

    # ---- the owner's own task ----------------------------------------------------------------------

    async def live(self) -> None:
        """Carry the run to its end. What goes wrong becomes its `RunEnded`; only a cancel is raised."""
        left = True
        end: End | None = None
        try:
            async with asyncio.TaskGroup() as group:
                self._carrier = group.create_task(self._carried(), name=f"run {self.run_id}")
                if self._cancelled is not None or self._suspended:
                    self._carrier.cancel()
            end = self._end_of(self._carrier)
            left = False
        finally:
            if left and not self._suspended:
                end = End("cancelled", "cancelled", "the runtime closed")
            try:
                await (self._leave() if end is None else self._close(end))
            except Exception as error:  # noqa: BLE001 - a run never raises into the Runtime's group
                self._record.fail(error)

    def gone(self) -> None:
        """The owner's task has ended, however it did; nothing more will come."""
        self._order.ledger.close()
        self._record.feed.close(self._record.failure)
        self._ended.set_result(None)

    def _end_of(self, carrier: Task[End | Rest]) -> End | None:
        """How the run ends; None if it does not."""
        if carrier.cancelled():
            if self._suspended or self._record.failure is not None:
                return None
            if self._cancelled is None:
                return End("failed", "internal", "something the run called was cancelled, and nobody asked for that")
            return End("cancelled", "cancelled", self._cancelled)
        move = carrier.result()
        if isinstance(move, End):
            return move
        self._rests = True
        return None

    async def _carried(self) -> End | Rest:
        # A run that was resumed may be at its end already, or at rest; then it has only to say so, however late it is.
        move = next_move(self.state, self._order.budget, self._ports.now())
        limit = asyncio.timeout_at(None if isinstance(move, End | Rest) else self._loop_time(self._order.ends_at))
        try:
            async with limit:
                await self._begin(*await self._history())
                if isinstance(move, Rest) and not self.state.resting:
                    limit.reschedule(self._record.deadline)
                with self._control.limited_by(limit):
                    return await carry(self._run)
        except (ProviderError, GateTimeout, AgentFailed, MiddlewareFailed, Tripped) as error:
            if isinstance(error, AgentFailed | MiddlewareFailed):
                logger.warning("run %s failed", self.run_id, exc_info=error)
            self._error = error
            return End("failed", error.code, str(error))
        except Exception as error:
            if isinstance(error, TimeoutError) and limit.expired():
                return End("deadline", "run_timeout", "the run's deadline passed")
            logger.warning("run %s failed", self.run_id, exc_info=error)
            self._error = error
            return End("failed", "internal", f"internal error; the log of run {self.run_id} says more")

    async def _history(self) -> tuple[str | None, RunState]:
        """The run before and what was said up to here, once the thread is free."""
        try:
            return await self._past.history()
        except SettingInvalid as error:  # it was to go on from a run that is none: it never begins
            self._record.fail(error)
            raise

    def _loop_time(self, at: float) -> float:
        return at - self._ports.now() + self._loop.time()

    async def _begin(self, previous: str | None, before: RunState) -> None:
        first = await begin(self._run, self._taken, previous, before)
        self._begun = True
        kept = self._record.happened(first)
        for fact in self._asked:
            self._record.happened(fact)
        await self._record.acknowledged(kept)

    async def _leave(self) -> None:
        """Write no end. A run that was still to begin does so, or nobody could resume it."""
        if self._rests:
            await self._record.settled()
            self._record.tell(RunRested(call_ids=tuple(call.id for call in self.state.open_calls)))
        if self._record.failure is None and not self._begun and self._taken is None:
            await self._begin(await self._past.previous(), RunState())

    async def _close(self, end: End) -> None:
        if self._record.failure is not None:
            return
        if not self._begun:
            await self._begin(await self._past.previous(), RunState())
        await close(self._run, end, self._interrupted)
