"""What outlives the processes: the disk, the book of deeds, the provider; and the complaints about all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from random import Random
from typing import TYPE_CHECKING, Any

from agentrt import Limits, Provider
from agentrt.events import (
    ApprovalAsked,
    ClientAsked,
    Fact,
    ModelReplied,
    RunEnded,
    RunResumed,
    RunStarted,
)
from agentrt.messages import call_ids
from agentrt.runs.chain import apart
from agentrt.runs.owner import Run
from agentrt.runs.state import RunState, fold
from agentrt.testing import (
    InMemoryTransport,
    Limited,
    ScriptedModel,
    call,
    reply,
)
from agentrt.testing.faults import none
from tests.simulation import invariants
from tests.simulation.journal import Disk
from tests.simulation.plan import Plan
from tests.simulation.provider import FAULTS, drawn
from tests.simulation.shop import READS, REPEATABLE, STRAGGLERS, Book

if TYPE_CHECKING:
    from tests.simulation.simulation import Process

GRACE = 2.0
"""Seconds that tools have to clean up."""

SLACK = 0.5
"""Seconds that the journal may need on top, to be told of all ends."""

WALL = 1_700_000_000.0
"""Seconds since 1970 when the loop's clock shows 0: the wall's clock goes with it, from one process to the next."""

HAND = (reply("Well.", calls=[call("look"), call("pay", seconds=0.01)], pieces=2), reply("Handed over."))
"""What the model says to an agent that a tool asked."""


class World:
    """What outlives the processes, and the complaints about all of them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.disk = Disk()
        self.book = Book()
        self.complaints: list[str] = []
        self.log: list[str] = []
        self.done: Counter[str] = Counter()
        self.cancelled: set[str] = set()
        self.never: set[str] = set()  # cancelled before they began
        self.asked = {one.name: one for one in plan.asked}
        self.model = ScriptedModel(self.script)
        chance = Random(f"{plan.seed}: faults")
        for name in plan.first:
            self.model.faults.then(FAULTS[name](chance) if name else none)
        self.model.faults.afterwards(drawn(chance, plan.faults, lambda name: self.done.update((f"fault {name}",))))

    def script(self, asked: dict[str, Any]) -> Any:
        """The turn that follows from the conversation: by who asked last, and what was answered since."""
        turns, answered = HAND, 0
        for message in reversed(asked["messages"]):
            if message["role"] == "assistant":
                answered += 1
            elif message["role"] == "user":
                asked_for = self.asked.get(message["content"])
                turns = asked_for.turns if asked_for else HAND
                break
        return turns[min(answered, len(turns) - 1)]

    def providers(self) -> list[Provider]:
        handler = Limited(self.model.faults, *self.plan.windows) if self.plan.windows else self.model.faults
        transport = InMemoryTransport(handler)

        def provider(name: str, limits: Limits) -> Provider:
            return Provider(
                name=name, base_url="http://m.invalid/v1", limits=limits, profile="openai", transport=transport
            )

        return [
            provider("model", self.plan.limits),
            provider("backup", Limits()),
            provider("crm", Limits(concurrency=2)),
        ]

    def cut(self, in_time: bool) -> None:
        """A run or a process was told to end; in time, if it had not ended."""
        self.done["cuts" if in_time else "cuts that came too late"] += 1

    def complain(self, complaints: Iterable[str], of: str = "") -> None:
        self.complaints += (f"{of}: {complaint}" if of else complaint for complaint in complaints)

    def facts(self, run_id: str) -> list[Fact]:
        return list(self.disk._facts.get(run_id, {}).values())

    def agent_of(self, run_id: str) -> str:
        """The name of the agent that the run is of."""
        started = self.facts(run_id)[0]
        return started.agent if isinstance(started, RunStarted) else ""

    def chain(self, run_id: str) -> list[str]:
        """A run, the one that it goes on from, and so on."""
        chain = [run_id]
        while (facts := self.facts(chain[-1])) and isinstance(facts[0], RunStarted) and facts[0].previous:
            if facts[0].previous in chain:
                self.complain([f"its conversation bites its tail: {chain}"], run_id)
                break
            chain.append(facts[0].previous)
        return chain

    def before(self, run_id: str) -> RunState:
        """The state in which a run began: what its conversation had come to."""
        said = RunState()
        for previous in reversed(self.chain(run_id)[1:]):
            state = fold(self.facts(previous), said)
            own = apart(state.transcript[len(said.messages) :], call_ids(said.messages))
            said = RunState(messages=(*said.messages, *own), summary=state.summary)
        mine = call_ids(fold(self.facts(run_id)).messages)
        return RunState(messages=apart(said.messages, mine), summary=said.summary)

    # ---- when a process is over, and when all is ------------------------------------------------------------

    def after_life(self, process: Process) -> None:
        """Look at what the process left, and at what its clients saw of it."""
        for run_id, acknowledged in self.disk.acknowledged.items():
            self.complain(invariants.kept(acknowledged, self.facts(run_id)), run_id)
        self.complain(invariants.all_back(process.runtime.statistics()))
        for run in process.runs:
            facts = self.facts(run.run_id)
            if facts and not process.desk.dead and isinstance(facts[-1], RunEnded) and run.epoch == facts[-1].epoch:
                self.complain(self._folds(facts, run), run.run_id)
                self.complain(invariants.valid(run.state.messages), run.run_id)
        for run, after, events in process.seen:
            acknowledged = [fact for fact in self.disk.acknowledged.get(run.run_id, ()) if fact.epoch <= run.epoch]
            self.complain(invariants.watched(events, acknowledged, after=after), run.run_id)
            if after == 0:
                self.complain(invariants.redrawn(events), run.run_id)

    async def in_the_end(self) -> None:
        """Every run that was asked for has ended, once and well."""
        rows = await self.disk.runs()
        for missing in {one.name for one in self.plan.asked} - {row.run_id for row in rows} - self.never:
            self.complain([f"{missing} never began"])
        for row in rows:
            facts = self.facts(row.run_id)
            for check in (
                invariants.numbered,
                invariants.ended_once,
                invariants.in_turn,
                invariants.never_internal,
            ):
                self.complain(check(facts), row.run_id)
            self.complain(invariants.prompt(facts, GRACE + SLACK), row.run_id)
            self.complain(self._rightly_ended(facts), row.run_id)
            self.complain(invariants.valid(fold(facts, self.before(row.run_id)).messages), row.run_id)
            self.done["runs"] += 1
            self.done["facts"] += len(facts)
            self.done["resumptions"] += sum(isinstance(fact, RunResumed) for fact in facts)
            if isinstance(facts[-1], RunEnded):
                self.done[f"ended as {facts[-1].outcome}"] += 1
        self.complain(invariants.facts_before_deeds(self.book.deeds, READS))
        self.complain(invariants.once(self.book.deeds, REPEATABLE))
        self.done["deeds"] += len(self.book.deeds)

    def _folds(self, facts: list[Fact], run: Run) -> Iterator[str]:
        """`invariants.folds`, as far as the conversation before can be known from the journal.

        Who ends in line never knew it; and a run before that rested has said more since, maybe.
        """
        had_turn = any(isinstance(fact, ModelReplied) for fact in facts) or len(run.state.messages) > 1
        said_before = [fact for one in self.chain(run.run_id)[1:] for fact in self.facts(one)]
        rested = any(isinstance(fact, ApprovalAsked | ClientAsked) for fact in said_before)
        if not (had_turn and rested):
            yield from invariants.folds(facts, self.before(run.run_id) if had_turn else RunState(), run.state)

    def _rightly_ended(self, facts: list[Fact]) -> Iterator[str]:
        started, ended = facts[0], facts[-1]
        if not isinstance(started, RunStarted) or not isinstance(ended, RunEnded):
            return
        if ended.outcome == "cancelled" and started.run_id in self.asked and started.run_id not in self.cancelled:
            yield "it was cancelled, and nobody asked for that"
        if ended.outcome == "deadline" and ended.at < started.ends_at - 1e-3:
            yield f"its deadline passed {started.ends_at - ended.at:g} s early"
        if not set(ended.stragglers) <= STRAGGLERS:
            yield f"stragglers {ended.stragglers}"
