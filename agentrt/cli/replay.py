"""`agentrt runs replay` and `resume`: a run as its view shows it, from the facts in the journal."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any, cast

from msgspec import convert
from msgspec.structs import replace
from rich.console import Console

from agentrt.agent import Agent, Budget
from agentrt.cli.configured import runtime_options
from agentrt.cli.printing import on_one_line, print_lines
from agentrt.cli.serve import imported
from agentrt.cli.view import RunView
from agentrt.configuration.config import Configuration
from agentrt.errors import RunFailed, SettingInvalid
from agentrt.events import AnyEvent, Fact, ModelReplied, RunResumed, RunStarted, TextDelta, ToolReturned, ToolStarted
from agentrt.journal.journal import Journal
from agentrt.runs.chain import Chain
from agentrt.runs.owner import Run
from agentrt.runs.retrace import named, retraced
from agentrt.runs.state import RunState
from agentrt.runtime import Runtime


@dataclass
class Clock:
    """What the view takes for the time: that of the fact which is shown, or the one `goes` tells."""

    at: float = 0.0
    goes: Callable[[], float] | None = None

    def __call__(self) -> float:
        return self.at if self.goes is None else self.goes()


def retold(facts: Sequence[Fact]) -> Iterator[AnyEvent]:
    """The facts as they would have been seen by somebody who never looked away: with the text of each reply, without
    the time in which nobody had the run, and without the calls that were cut off and had to begin again."""
    pause = sum(after.at - fact.at for fact, after in pairwise(facts) if isinstance(after, RunResumed))
    lost = _cut_off(facts)
    for number, fact in enumerate(facts):
        if number and isinstance(fact, RunResumed):
            pause -= fact.at - facts[number - 1].at
        if isinstance(fact, ModelReplied) and fact.message.content:
            yield TextDelta(message_id=fact.message_id, text=fact.message.content, at=fact.at + pause)
        if number not in lost:
            yield replace(fact, at=fact.at + pause)


def _cut_off(facts: Sequence[Fact]) -> set[int]:
    """The places of intents whose process died before the call returned."""
    lost: set[int] = set()
    running: dict[str, int] = {}
    for number, fact in enumerate(facts):
        if isinstance(fact, ToolStarted):
            running[fact.call_id] = number
        elif isinstance(fact, ToolReturned):
            running.pop(fact.call_id, None)
        elif isinstance(fact, RunResumed):
            lost.update(running.values())
            running.clear()
    return lost


async def replay(arguments: argparse.Namespace, journal: Journal, run_id: str) -> int:
    """Show a run again, or check it; returns the exit code."""
    facts = await journal.read(run_id)
    if arguments.check is not None:
        return await _checked(arguments, journal, facts)
    clock = Clock(facts[0].at)
    pace = None if arguments.speed is None else Pace(arguments.speed)
    with RunView(Console(get_time=clock)) as view:
        for event in retold(facts):
            if pace is not None:
                clock.goes = pace.now
                await pace.until(event.at)
            clock.at = event.at
            view.show(event)
    return 0


class Pace:
    """Time that goes `speed` times as fast as the loop's, from the first moment that is waited for."""

    def __init__(self, speed: float) -> None:
        if not 0 < speed < inf:
            raise SettingInvalid(f"--speed {speed:g}: expected more than 0 times as fast as it was")
        self._speed = speed
        self._loop = asyncio.get_running_loop()
        self._began: tuple[float, float] | None = None

    def now(self) -> float:
        assert self._began is not None
        first, began = self._began
        return first + (self._loop.time() - began) * self._speed

    async def until(self, at: float) -> None:
        self._began = self._began or (at, self._loop.time())
        await asyncio.sleep((at - self.now()) / self._speed)


async def _checked(arguments: argparse.Namespace, journal: Journal, facts: Sequence[Fact]) -> int:
    """Print the move that follows from each fact, up to the first fact that does not follow."""
    agent, started = _agent_of(facts, arguments.check, debug=arguments.debug)
    budget = agent.budget if started.budget is None else convert(started.budget, Budget)
    before = RunState() if started.previous is None else (await Chain(journal).upto(started.previous)).state
    code = 0
    for step in retraced(facts, budget, before):
        if step.doubt is not None:
            print(f"agentrt: fact {step.fact.seq} does not follow: {on_one_line(step.doubt)}", file=sys.stderr)
            code = 1
            break
        move = "" if step.move is None else f"-> {named(step.move)}"
        print_lines([f"{step.fact.seq:5}  {type(step.fact).__name__:14} {on_one_line(move)}".rstrip()])
    return code


async def resume(
    arguments: argparse.Namespace, address: str, found: Callable[[Journal], Awaitable[str]], stragglers: list[str]
) -> int:
    """Take a run over, carry it on and show it; returns the exit code. Interrupted, it is left to be resumed again."""
    configuration = Configuration.read(arguments.config)
    runtime = Runtime(**runtime_options(configuration, address))
    try:
        async with runtime:
            run_id = await found(runtime.journal)
            agent, _ = _agent_of(await runtime.journal.read(run_id), arguments.agent, debug=arguments.debug)
            return await _shown(runtime, await runtime.resume(run_id, agent))
    finally:
        stragglers += runtime.stragglers


async def _shown(runtime: Runtime, run: Run) -> int:
    clock = Clock()
    before: list[Fact] = []
    with RunView(Console(get_time=clock)) as view:
        async for event in run.events():
            if clock.goes is not None:
                view.show(event)
            elif isinstance(event, RunResumed) and event.epoch == run.epoch:
                for one in retold([*before, event]):
                    clock.at = one.at
                    view.show(one)
                clock.goes = runtime.now
            else:
                before.append(cast("Fact", event))
        try:
            answer = await run.answer()
        except RunFailed as failed:
            print(f"agentrt: {failed}", file=sys.stderr)
            return 1
    if answer.waiting:
        names = ", ".join(call.name for call in answer.waiting)
        print(f"agentrt: the run rests until somebody decides about {on_one_line(names)}", file=sys.stderr)
    return 0


def _agent_of(facts: Sequence[Fact], name: str, *, debug: bool) -> tuple[Agent[Any], RunStarted]:
    """The agent that the run was of, among those that "module:attribute" names."""
    started = facts[0]
    assert isinstance(started, RunStarted)  # only runs that began are listed
    agents = {agent.name: agent for agent in imported(name, debug=debug)}
    if started.agent not in agents:
        there = ", ".join(f'"{one}"' for one in agents)
        raise SettingInvalid(f'the run is of agent "{started.agent}"; "{name}" has {there}')
    return agents[started.agent], started
