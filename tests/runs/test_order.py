"""A run that a tool starts is part of the run whose tool that is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentrt import Agent, Runtime, run, tool
from agentrt.events import Priority, RunStarted
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Knock
from agentrt.runs.owner import Run
from agentrt.testing import ScriptedModel, call, reply, run_virtual

SUB = Agent(name="sub", model="openai:sub")


def script(body: dict[str, Any]) -> Any:
    if body["model"] == "sub":
        return reply("There.")
    done = body["messages"][-1]["role"] == "tool"
    return reply("Here.") if done else reply(calls=[call("ask")])


def knocks(monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, Knock]:
    """What a run and the one that its tool starts bring to the gate, by their models."""
    brought: dict[str, Knock] = {}
    passes = Gate.call

    async def call_and_note(gate: Gate, work: Any, knock: Knock) -> Any:
        brought[knock.model] = knock
        return await passes(gate, work, knock)

    monkeypatch.setattr(Gate, "call", call_and_note)

    @tool
    async def ask() -> str:
        """Ask another."""
        return (await run(SUB, "Where?")).output

    async def main() -> None:
        async with Runtime(providers=[ScriptedModel(script).provider("openai")]) as runtime:
            await asyncio.sleep(100)
            agent = Agent(name="clerk", model="openai:main", tools=[ask])
            await runtime.start(agent, "Where?", **options).answer()
            await run(SUB, "Who?", principal="bob")
            assert (brought["sub"].tenant, brought["sub"].deadline) == ("bob", 700), "nothing encloses it"
            await runtime.start(agent, "Where?", **options).answer()

    run_virtual(main())
    return brought


@pytest.mark.parametrize("priority", ["interactive", "background"])
def test_it_is_served_in_the_name_and_class_of_the_whole_and_ends_no_later(
    monkeypatch: pytest.MonkeyPatch, priority: Priority
) -> None:
    brought = knocks(monkeypatch, principal="alice", priority=priority, deadline=5)
    assert (brought["sub"].tenant, brought["sub"].priority, brought["sub"].deadline) == ("alice", priority, 105)
    assert brought["main"].deadline == 105


def test_the_longer_deadline_of_the_whole_gives_it_no_more_time_than_it_has_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert knocks(monkeypatch, deadline=5000)["sub"].deadline == 700


def test_what_it_asks_for_itself_stands_and_who_comes_after_the_whole_is_on_its_own() -> None:
    started: list[Run] = []
    late = asyncio.Event()

    async def main() -> None:
        async with Runtime(providers=[ScriptedModel(script).provider("openai")]) as runtime, asyncio.TaskGroup() as own:

            async def later() -> None:
                await late.wait()
                started.append(runtime.start(SUB, "Who?"))

            @tool
            async def ask() -> str:
                """Start another and wait for nothing."""
                own.create_task(later())
                started.append(runtime.start(SUB, "Where?", deadline=3000, principal="bob"))
                return "started"

            agent = Agent(name="clerk", model="openai:main", tools=[ask])
            await runtime.start(agent, "Where?", deadline=5, principal="alice", priority="background").answer()
            await asyncio.sleep(100)
            late.set()
            await asyncio.sleep(1)
            facts = [await anext(aiter(one.events())) for one in started]
            begun = [fact for fact in facts if isinstance(fact, RunStarted)]
            epoch = runtime.now() - asyncio.get_running_loop().time()
            told = [(fact.principal, fact.priority, round(fact.ends_at - epoch)) for fact in begun]
            assert told == [("bob", "background", 3000), (None, "interactive", 700)]

    run_virtual(main())
