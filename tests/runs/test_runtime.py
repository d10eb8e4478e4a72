"""Entering and leaving a Runtime, in whatever order, context and haste."""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import Any

import pytest

from agentrt import Agent, Provider, Runtime, run, tool
from agentrt.errors import RunCancelled, SettingInvalid
from agentrt.journal.memory import MemoryJournal
from agentrt.testing import InMemoryTransport, ScriptedModel, assert_no_leaks, call, reply, run_virtual
from tests.runs.world import CLERK, clerk, results, world


def test_a_runtime_may_be_left_in_another_context_than_it_was_entered_in() -> None:
    async def main() -> None:
        runtime = Runtime(providers=[ScriptedModel([reply("long", pieces=4, pause=5.0)]).provider("openai")])
        async with assert_no_leaks():
            await asyncio.get_running_loop().create_task(runtime.__aenter__(), context=copy_context())
            running = runtime.start(CLERK, "Tell.")
            await asyncio.sleep(1)
            await runtime.__aexit__(None, None, None)
            with pytest.raises(RunCancelled, match="the runtime closed"):
                await running.answer()

    run_virtual(main())


def test_no_run_starts_in_a_runtime_that_was_left() -> None:
    async def main() -> None:
        runtime = Runtime(providers=[ScriptedModel([reply("done")]).provider("openai")])
        with pytest.raises(SettingInvalid, match="not entered"):
            runtime.start(CLERK, "Try.")
        async with runtime:
            await run(CLERK, "Try.")
        with pytest.raises(SettingInvalid, match="left"):
            runtime.start(CLERK, "Try.")

    run_virtual(main())


def test_no_run_starts_while_a_runtime_closes() -> None:
    refused: list[SettingInvalid] = []

    @tool
    async def tidy() -> str:
        """Asks for a summary when it is stopped."""
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            try:
                await run(CLERK, "Sum up.")
            except SettingInvalid as error:
                refused.append(error)
            raise
        return "never"

    model = ScriptedModel([reply(calls=[call("tidy")]), reply("a long summary", pause=1000.0)])

    async def main() -> None:
        async with assert_no_leaks(), Runtime(providers=[model.provider("openai")]) as runtime:
            runtime.start(clerk(tidy), "Go.")
            await asyncio.sleep(1)
        assert len(refused) == 1
        assert asyncio.get_running_loop().time() < 2

    run_virtual(main())


class Noting(MemoryJournal):
    """Notes that it was closed."""

    closed = False

    async def aclose(self) -> None:
        self.closed = True


def test_a_cancel_while_connections_close_still_closes_the_journal() -> None:
    class SlowToClose(InMemoryTransport):
        async def aclose(self) -> None:
            await asyncio.sleep(10)

    async def main() -> None:
        journal = Noting()
        transport = SlowToClose(ScriptedModel([reply("done")]).faults)
        provider = Provider(name="openai", base_url="http://slow.invalid/v1", transport=transport)

        async def life() -> None:
            async with Runtime(providers=[provider], journal=journal):
                await run(CLERK, "Try.")

        living = asyncio.get_running_loop().create_task(life())
        await asyncio.sleep(1)
        assert not journal.closed
        living.cancel()
        with pytest.raises(asyncio.CancelledError):
            await living
        assert journal.closed

    run_virtual(main())


def test_an_agent_run_by_a_tool_runs_where_the_tools_own_run_does() -> None:
    @tool
    async def delegate() -> str:
        """Asks a colleague."""
        return (await run(CLERK, "Well?")).output

    agent: Agent[Any] = clerk(delegate)
    model = ScriptedModel([reply(calls=[call("delegate")]), reply("inner"), reply("outer")])

    async def main() -> None:
        asked: asyncio.Queue[Runtime] = asyncio.Queue()

        async def worker() -> list[str]:
            return results((await run(agent, "Ask.", runtime=await asked.get())).messages)

        working = asyncio.get_running_loop().create_task(worker())
        await asyncio.sleep(0)  # it has begun, and knows of no Runtime
        async with world(model) as runtime:
            asked.put_nowait(runtime)
            assert await working == ["inner"]

    run_virtual(main())


def test_a_journal_that_is_empty_is_still_the_one_that_was_given() -> None:
    class Counting(MemoryJournal):
        entries = 0

        def __len__(self) -> int:
            return self.entries

        async def take(self, run_id: str) -> int:
            self.entries += 1
            return await super().take(run_id)

    async def main() -> None:
        journal = Counting()
        async with world(ScriptedModel([reply("done")]), journal=journal):
            await run(CLERK, "Try.")
        assert len(journal) == 1

    run_virtual(main())
