"""`agentrt runs replay` and `resume`: a run as its view shows it, from the facts in the journal."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

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
from agentrt.events import AnyEvent, Fact, ModelReplied, RunResumed, RunStarted, TextDelta
from agentrt.journal.journal import Journal
from agentrt.messages import Answer
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
    """The facts as they would have been seen: with the text of each reply, and without the time in which nobody had
    the run, before it was taken over."""
    pause = sum(after.at - fact.at for fact, after in _taken_over(facts))
    for number, fact in enumerate(facts):
        if number and isinstance(fact, RunResumed):
            pause -= fact.at - facts[number - 1].at
        if isinstance(fact, ModelReplied) and fact.message.content:
            yield TextDelta(message_id=fact.message_id, text=fact.message.content, at=fact.at + pause)
        yield replace(fact, at=fact.at + pause)


def _taken_over(facts: Sequence[Fact]) -> Iterator[tuple[Fact, Fact]]:
    return (two for two in zip(facts, facts[1:], strict=False) if isinstance(two[1], RunResumed))


async def replay(arguments: argparse.Namespace, journal: Journal, run_id: str) -> int:
    """Show a run again, or check it; returns the exit code."""
    facts = await journal.read(run_id)
    if arguments.check is not None:
        return await _checked(arguments, journal, facts)
    clock = Clock(facts[0].at)
    loop = asyncio.get_running_loop()
    console = Console(get_time=clock)
    with RunView(console) as view:
        began = None
        for event in retold(facts):
            if arguments.speed is not None:
                if began is None:
                    began, first = loop.time(), event.at
                    clock.goes = lambda: first + (loop.time() - began) * arguments.speed
                await asyncio.sleep(began + (event.at - first) / arguments.speed - loop.time())
            clock.at = event.at
            view.show(event)
        view.interrupt()
    return 0


async def _checked(arguments: argparse.Namespace, journal: Journal, facts: Sequence[Fact]) -> int:
    """Print the move that follows from each fact, up to the first that does not follow itself."""
    started = facts[0]
    if not isinstance(started, RunStarted):
        raise SettingInvalid("the run has no beginning in this journal")
    agent = _agent(arguments.check, started, debug=arguments.debug)
    budget = agent.budget if started.budget is None else convert(started.budget, Budget)
    before = RunState() if started.previous is None else (await Chain(journal).upto(started.previous)).state
    lines: list[str] = []
    for step in retraced(facts, budget, before):
        if step.doubt is not None:
            print_lines(lines)
            told = f"fact {step.fact.seq}, {type(step.fact).__name__}, does not follow: {step.doubt}"
            print(f"agentrt: {on_one_line(told)}", file=sys.stderr)
            return 1
        move = "" if step.move is None else f"-> {named(step.move)}"
        lines.append(on_one_line(f"{step.fact.seq:5} {type(step.fact).__name__:14} {move}"))
    print_lines(lines)
    return 0


async def resume(arguments: argparse.Namespace, address: str, found: Callable[[Journal], Any]) -> int:
    """Take a run over, carry it on and show it; returns the exit code."""
    stragglers: list[str] = []
    configuration = Configuration.read(arguments.config)
    runtime = Runtime(**runtime_options(configuration, address))
    async with runtime:
        run_id = await found(runtime.journal)
        facts = await runtime.journal.read(run_id)
        agent = _agent(arguments.agent, facts[0], debug=arguments.debug)
        return await _show(runtime, await runtime.resume(run_id, agent))
