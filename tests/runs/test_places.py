"""Tools that ask again at the gate in which they are do not wait for one another for ever."""

from __future__ import annotations

from typing import Any

import pytest

from agentrt import Agent, Limits, Runtime, run, tool
from agentrt.messages import Answer
from agentrt.testing import ScriptedModel, assert_no_leaks, call, reply, run_virtual
from tests.runs.world import now, results

SUB = Agent(name="sub", model="openai:sub")
REFUSED = "expected a place for a call that a tool makes inside of its own"


def asking(calls: int) -> Any:
    """The model calls the tool so often at once, then it is done; as `sub` it answers after a second."""

    def script(body: dict[str, Any]) -> Any:
        if body["model"] == "sub":
            return reply("there it is", pieces=2, pause=1.0)
        done = body["messages"][-1]["role"] == "tool"
        return reply("Here.") if done else reply(calls=[call("ask") for _ in range(calls)])

    return script


@tool(provider="openai")
async def ask() -> str:
    """Ask another, through the gate in which this call has a place."""
    return (await run(SUB, "Where?")).output


def answers(calls: int, concurrency: int, *, others: int = 0) -> tuple[list[str], float]:
    """What the calls came to, and when all was over; `others` are runs that ask without a tool."""

    async def main() -> tuple[list[str], float]:
        provider = ScriptedModel(asking(calls)).provider("openai", limits=Limits(concurrency=concurrency))
        agent = Agent(name="clerk", model="openai:main", tools=[ask])
        async with assert_no_leaks(), Runtime(providers=[provider]) as runtime:
            beside = [runtime.start(SUB, "Who?") for _ in range(others)]
            answer: Answer = await runtime.start(agent, "Where?").answer()
            for one in beside:
                await one.answer()
            (now_free,) = runtime.statistics().values()
            assert (now_free.in_flight, now_free.waiting) == (0, 0)
            assert not any(runtime._supplies._places._stuck.values())
            return results(answer.messages), now()

    return run_virtual(main())


@pytest.mark.parametrize(("calls", "concurrency"), [(1, 1), (2, 2), (20, 20), (7, 3)])
def test_the_last_that_would_wait_is_told_and_the_others_have_its_place(calls: int, concurrency: int) -> None:
    came, over = answers(calls, concurrency)
    told = [text for text in came if REFUSED in text]
    assert 1 <= len(told) <= calls
    assert came.count("there it is") == calls - len(told)
    assert len(told) < calls or concurrency == 1
    assert over < 60, "no tool waits for its timeout"


def test_who_can_be_served_in_time_just_waits() -> None:
    assert answers(1, 2, others=5)[0] == ["there it is"]
    assert answers(3, 4)[0] == ["there it is"] * 3
