"""The tests of a small agent: no key, no network, no waiting.

pytest examples/testing_clerk.py
"""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path

from agentrt import Agent, Runtime, run, tool
from agentrt.providers import Provider
from agentrt.testing import (
    InMemoryTransport,
    ScriptedModel,
    VirtualLoop,
    assert_no_leaks,
    call,
    faults,
    recorded,
    reply,
    run_virtual,
)

SHELF = {"A-1207": 3, "B-33": 0}


@tool(effect="read", timeout=5)
async def stock(sku: str) -> int:
    """Units of an article in the warehouse."""
    if sku.startswith("C"):
        await asyncio.sleep(3600)  # the computer that knows about C articles does not answer
    return SHELF[sku]


clerk = Agent(name="clerk", model="openai:gpt-5-mini", instructions="Be brief.", tools=[stock])

TALK = [reply(calls=[call("stock", sku="A-1207"), call("stock", sku="B-33")]), reply("Three A-1207, no B-33.")]


def results(model: ScriptedModel) -> list[str]:
    """What the model was told by its tools in the last request."""
    return [message["content"] for message in model.requests[-1]["messages"] if message["role"] == "tool"]


def test_the_model_is_told_what_is_on_the_shelf() -> None:
    async def main() -> None:
        model = ScriptedModel(TALK)
        async with assert_no_leaks(), Runtime(providers=[model.provider("openai")]):
            assert (await run(clerk, "How many are left?")).output == "Three A-1207, no B-33."
        assert results(model) == ["3", "0"]

    run_virtual(main())


def test_a_warehouse_that_does_not_answer_is_said_to_the_model_after_five_seconds() -> None:
    async def main() -> None:
        model = ScriptedModel([reply(calls=[call("stock", sku="C-9")]), reply("I cannot tell.")])
        async with assert_no_leaks(), Runtime(providers=[model.provider("openai")]):
            await run(clerk, "How many C-9 are left?")
        assert "5" in results(model)[0]
        assert 5 <= asyncio.get_running_loop().time() < 6

    run_virtual(main())


def test_a_busy_provider_is_asked_again_when_it_said() -> None:
    async def main() -> None:
        model = ScriptedModel(TALK)
        model.faults.then(faults.status(429, retry_after=20))
        async with Runtime(providers=[model.provider("openai")]):
            assert (await run(clerk, "How many are left?")).output == "Three A-1207, no B-33."
        assert asyncio.get_running_loop().time() >= 20

    run_virtual(main())


def test_whenever_it_is_cancelled_nothing_is_left_behind() -> None:
    async def cancelled_at(step: int) -> bool:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        async with assert_no_leaks(), Runtime(providers=[ScriptedModel(TALK).provider("openai")]):
            asking = asyncio.create_task(run(clerk, "How many are left?"))
            loop.at_step(step, asking.cancel)
            await asyncio.wait([asking])
        return asking.cancelled()

    steps = next(step for step in count(1) if not run_virtual(cancelled_at(step)))
    assert steps > 10


def test_what_was_recorded_is_said_again(tmp_path: Path) -> None:
    model = ScriptedModel(TALK)  # in the place of a provider that is paid; with one, leave out `around`

    async def main() -> str:
        transport = recorded(tmp_path / "clerk.jsonl", around=InMemoryTransport(model.faults))
        openai = Provider(name="openai", base_url="http://openai.invalid/v1", transport=transport)
        async with assert_no_leaks(), Runtime(providers=[openai]):
            return (await run(clerk, "How many are left?")).output

    assert run_virtual(main()) == run_virtual(main()) == "Three A-1207, no B-33."
    assert len(model.requests) == 2  # two turns, asked once
