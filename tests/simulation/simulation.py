"""A plan comes true, on a virtual clock; `lived` gives the world that came of it, and what was wrong with it.

A process is a `Runtime` with its clients. One process after the other lives in the same loop, so the clock goes on;
when one dies, its journal fails whatever comes, its deeds count for nothing, and what is left of it is cleared away
before the next begins.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from random import Random
from typing import Any

from agentrt import Runtime
from agentrt.errors import JournalFailed, RunFailed, SettingInvalid
from agentrt.events import (
    AnyEvent,
    ApprovalAsked,
    ClientAsked,
    Fact,
    RunEnded,
)
from agentrt.messages import ToolCall
from agentrt.runs.decisions import Approved, Decision, Denied, Returned
from agentrt.runs.owner import Run
from agentrt.testing import (
    InlineThreads,
    assert_no_leaks,
    run_virtual,
)
from agentrt.testing.virtual import VirtualLoop
from agentrt.verbs import run as run_verb
from agentrt.verbs import stream
from tests.simulation.journal import Desk
from tests.simulation.plan import Asked, Cut, How, Life, Plan
from tests.simulation.shop import AGENTS, STRAGGLERS, Till
from tests.simulation.world import GRACE, WALL, World


class Process:
    """One life: a Runtime, and the clients that begin, resume, watch and cancel runs in it."""

    def __init__(self, world: World, life: Life, number: int) -> None:
        self.world = world
        self.life = life
        self.number = number
        self.chance = Random(f"{world.plan.seed}: process {number}")
        self.over = asyncio.Event()
        self.desk = Desk(
            world.disk,
            self.chance,
            delay=life.delay,
            dies_at=life.dies_at,
            loses=life.loses,
            on_death=self.over.set,
        )
        self.till = Till(world.book, self.desk)
        self.runtime = Runtime(
            providers=world.providers(),
            journal=self.desk,
            random=Random(f"{world.plan.seed}: ids of {number}"),
            threads=InlineThreads(),
            environ={},
            grace=GRACE,
            on_exit="suspend" if life.by == "suspend" else "cancel",
        )
        self.runs: list[Run] = []
        self.seen: list[tuple[Run, int, list[AnyEvent]]] = []
        self.leaving = False

    async def live(self) -> None:
        """Until all runs have ended, or the process does."""
        loop = asyncio.get_running_loop()
        async with assert_no_leaks():
            with _only_stragglers(self.world):
                async with self.runtime:
                    self.runtime._epoch = WALL
                    crowd, over = loop.create_task(self._crowd()), loop.create_task(self.over.wait())
                    if self.life.cut is not None:
                        _at(self.life.cut, lambda: self._end(crowd))
                    await asyncio.wait([crowd, over], return_when=asyncio.FIRST_COMPLETED)
                    over.cancel()
                    self.leaving = True
                    if self.life.by == "cancel":
                        self.world.cancelled.update(self.runtime._runs)
            await crowd
            self.world.after_life(self)

    def _end(self, crowd: asyncio.Task[None]) -> None:
        """The process ends, in time if its clients have not all been served."""
        self.world.cut(not crowd.done())
        if self.life.by == "death":
            self.desk.die()
        self.over.set()

    async def _crowd(self) -> None:
        """All clients: who resumes what is left, then who asks for what has not begun."""
        known = {row.run_id for row in await self.world.disk.runs()}
        async with asyncio.TaskGroup() as group:
            with self._until_over():
                for left in await self.runtime.waiting():
                    group.create_task(self._come_back(left.started.run_id, left.calls, group))
                for started in await self.runtime.unfinished():
                    run = await self.runtime.resume(started.run_id, AGENTS[started.agent], deps=self.till)
                    asked = self.world.asked.get(started.run_id)
                    self._cut(run, asked)
                    group.create_task(self._see_through(run, group, asked))
            for asked in self.world.plan.asked:
                if asked.name not in known:
                    group.create_task(self._client(asked, group))

    async def _client(self, asked: Asked, group: asyncio.TaskGroup) -> None:
        if asked.begins:
            await asyncio.sleep(asked.begins)
        if asked.by == "handle":
            with self._until_over():
                run = self.runtime.start(AGENTS[asked.agent], asked.name, deps=self.till, **_options(asked))
                self._cut(run, asked)
                await self._see_through(run, group, asked)
            return
        verb = group.create_task(self._by_verb(asked) if asked.by == "verb" else self._by_stream(asked))
        self._cut(verb, asked)
        while (begun := self.runtime.find(asked.name)) is None and not verb.done():  # noqa: ASYNC110 - a step or two
            await asyncio.sleep(0)
        if begun is None and verb.cancelled():
            self.world.never.add(asked.name)
        elif begun is not None:
            await self._see_through(begun, group, asked)

    async def _by_verb(self, asked: Asked) -> None:
        with self._until_over(), suppress(RunFailed):
            await run_verb(AGENTS[asked.agent], asked.name, deps=self.till, runtime=self.runtime, **_options(asked))

    async def _by_stream(self, asked: Asked) -> None:
        """Leave after some events; that cancels the run."""
        agent, left = AGENTS[asked.agent], self.chance.randrange(1, 60)
        with self._until_over():
            async with stream(agent, asked.name, deps=self.till, runtime=self.runtime, **_options(asked)) as running:
                async for _ in running:
                    left -= 1
                    if left == 0:
                        self.world.cancelled.add(asked.name)
                        break

    @contextmanager
    def _until_over(self) -> Iterator[None]:
        """A client of a process that is over, or whose journal fails, learns of that."""
        try:
            yield
        except JournalFailed:
            if not self.desk.dead and self.life.loses is None:
                raise
        except SettingInvalid:
            if not self.leaving:
                raise

    def _cut(self, run: Run | asyncio.Task[None], asked: Asked | None) -> None:
        """Do to a run what is planned for it, or cancel the task that awaits it."""
        cut = asked.cut if asked is not None else None
        if asked is None or cut is None or cut.life not in (None, self.number):
            return

        def do() -> None:
            facts = self.world.facts(asked.name)
            self.world.cut(not (facts and isinstance(facts[-1], RunEnded)))
            if cut.how in ("now", "after_tools", "after_turn"):
                self.world.cancelled.add(asked.name)
            if isinstance(run, Run):
                _do(run, cut.how)
            else:
                self.world.cancelled.add(asked.name)
                run.cancel()

        _at(cut, do)

    async def _see_through(self, run: Run, group: asyncio.TaskGroup, asked: Asked | None) -> None:
        """Watch it to its end. Where it waits for somebody he is there, or comes back once it rests."""
        self.runs.append(run)
        for after in {0, self.chance.choice((0, run.head, run.head + 3))}:
            group.create_task(self._read(run, after, asked.pause if asked else 0.0))
        if asked is not None and asked.attended:
            group.create_task(self._attend(run))
        with self._until_over():
            try:
                answer = await run.answer()
            except RunFailed as failed:
                answer = failed.answer
            if answer.messages != run.state.transcript:
                self.world.complain(["the answer is not the state's"], run.run_id)
            if answer.waiting and run.state.resting and not self.leaving:
                await self._come_back(run.run_id, answer.waiting, group)

    async def _come_back(self, run_id: str, waiting: Sequence[ToolCall], group: asyncio.TaskGroup) -> None:
        """Decide about one of the calls that a run waits for, or about all, and let it go on."""
        decided = waiting if self.chance.random() < 0.7 else waiting[:1]
        decisions = [_decision(call, self.chance) for call in decided]
        with self._until_over():
            await asyncio.sleep(self.chance.choice((0.0, 1.0, 3_000.0)))
            if self.leaving or self.desk.dead:
                return
            agent = AGENTS[self.world.agent_of(run_id)]
            run = await self.runtime.resume(run_id, agent, deps=self.till, decisions=decisions)
            self.world.done["decisions"] += len(decisions)
            await self._see_through(run, group, self.world.asked.get(run_id))

    async def _attend(self, run: Run) -> None:
        """Be there, and decide after a moment about whatever is asked."""
        with self._until_over(), run.attend():
            async for event in run.events():
                if isinstance(event, ApprovalAsked | ClientAsked):
                    await asyncio.sleep(self.chance.choice((0.0, 0.01, 2.0)))
                    with suppress(SettingInvalid):  # it has ended, or did not wait for us
                        run.decide(_decision(ToolCall(event.call_id, event.name), self.chance), by="ada")

    async def _read(self, run: Run, after: int, pause: float) -> None:
        events: list[AnyEvent] = []
        self.seen.append((run, after, events))
        acknowledged = self.world.disk.acknowledged
        with self._until_over():
            async for event in run.events(after):
                if isinstance(event, Fact) and event.seq > acknowledged[run.run_id][-1].seq:
                    self.world.complain([f"fact {event.seq} was shown before it was acknowledged"], run.run_id)
                events.append(event)
                if pause:
                    await asyncio.sleep(pause)


def _decision(call: ToolCall, chance: Random) -> Decision:
    if call.name == "pick":
        return Returned(call.id, "that one", error=chance.random() < 0.2)
    return Approved(call.id) if chance.random() < 0.7 else Denied(call.id, "no")


def _do(run: Run, how: How) -> None:
    if how in ("now", "after_tools", "after_turn"):
        run.cancel("cut", mode=how)
        return
    with suppress(SettingInvalid):  # no call runs, or nobody is there to hear
        if how == "call":
            run.cancel_call(next((call.id for call in run.state.open_calls), "none"), "cut")
        else:
            run.steer("And?", when="now" if how == "steer now" else "next_step")


def _at(moment: Cut, do: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    if moment.steps is None:
        loop.call_later(moment.seconds, do)
    else:
        loop.at_step(moment.steps, (lambda: loop.call_soon(do)) if moment.behind else do)


def _options(asked: Asked) -> dict[str, Any]:
    return {"run_id": asked.name, **asked.options}


@contextmanager
def _only_stragglers(world: World) -> Iterator[None]:
    """What a Runtime warns of when it is left are stubborn tools."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        yield
    for one in told:
        names = str(one.message).rpartition(": ")[2].split(", ")
        if not set(names) <= STRAGGLERS:
            world.complain([str(one.message)])
        world.done["stragglers"] += len(names)


class _Log(logging.Handler):
    """What is logged is told with the complaints; an error is one itself."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.WARNING)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        into = self._world.complaints if record.levelno >= logging.ERROR else self._world.log
        into.append(self.format(record))


async def _live(world: World, *, collect: bool) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, mishap: world.complain([repr(mishap)]))
    for number, life in enumerate(world.plan.lives):
        world.disk.begin()
        await Process(world, life, number).live()
        world.done["lives"] += 1
    await world.in_the_end()
    if collect:
        gc.collect()


def lived(plan: Plan, *, collect: bool = False) -> World:
    """The plan come true; `complaints` is empty if all that must hold held.

    With `collect` the garbage is looked at, too: an exception that nobody asked for shows only there.
    """
    world = World(plan)
    logger, log = logging.getLogger("agentrt"), _Log(world)
    logger.addHandler(log)
    propagates, logger.propagate = logger.propagate, False
    try:
        run_virtual(_live(world, collect=collect), order=Random(f"{plan.seed}: order"))
    finally:
        logger.removeHandler(log)
        logger.propagate = propagates
    return world
