"""A process that is killed in the middle of its runs; the next one carries them on from the file."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from agentrt import Agent, Context, Runtime, tool
from agentrt.events import RunResumed, ToolReturned, ToolStarted
from agentrt.runs.state import fold
from agentrt.testing import ScriptedModel, assert_no_leaks, call, reply
from tests.runs.world import assert_valid, assert_whole

RUNS = 6


def shop(ledger: Path) -> Agent[Any]:
    """An agent whose tools write down what they did where a death of the process cannot undo it."""

    def note(ctx: Context[None], name: str) -> None:
        with ledger.open("a") as file:
            file.write(json.dumps([name, ctx.run_id, ctx.idempotency_key]) + "\n")

    @tool(effect="read")
    async def look(ctx: Context[None]) -> str:
        """Read something."""
        await asyncio.sleep(0.02)
        note(ctx, "look")
        return "seen"

    @tool
    async def pay(ctx: Context[None]) -> str:
        """Write something."""
        note(ctx, "pay")
        await asyncio.sleep(0.02)
        return "paid"

    return Agent(name="clerk", model="openai:scripted", tools=[look, pay])


def model() -> ScriptedModel:
    """Four turns of calls and an answer, in small pieces."""

    def script(asked: dict[str, Any]) -> Any:
        turn = sum(message["role"] == "assistant" for message in asked["messages"])
        if turn == 4:
            return reply("It is done.", pieces=4, pause=0.005)
        return reply(f"Turn {turn}.", calls=[call("look"), call("pay"), call("look")], pieces=2, pause=0.005)

    return ScriptedModel(script)


async def carry(folder: Path, *, aloud: bool = False) -> None:
    """Carry on what is unfinished and begin what is not there, up to six runs; all of them to their end.

    With `aloud` the events are told, a line each, one run after the other.
    """
    agent = shop(folder / "ledger")
    async with Runtime(providers=[model().provider("openai")], journal=f"sqlite:{folder}/j.db") as runtime:
        known = {row.run_id for row in await runtime.journal.runs()}
        runs = [await runtime.resume(one.run_id, agent) for one in await runtime.unfinished()]
        runs += [runtime.start(agent, "Go.", run_id=f"r{n}") for n in range(RUNS) if f"r{n}" not in known]
        for run in runs:
            if aloud:
                async for event in run.events():
                    print(type(event).__name__, flush=True)
            assert (await run.answer()).output == "It is done."


CHILD = """
import asyncio, sys
from pathlib import Path
from tests.runs.test_resume_processes import carry
asyncio.run(carry(Path(sys.argv[1]), aloud=True))
"""


def test_runs_go_on_after_kill_9_and_what_writes_is_not_done_twice(tmp_path: Path) -> None:
    random, kills = Random(7), 0
    root = Path(__file__).parents[2]
    for _ in range(5):
        command = [sys.executable, "-c", CHILD, str(tmp_path)]
        with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(random.randrange(1, 45)):
                process.stdout.readline()
            kills += process.poll() is None
            process.kill()
    resumed = asyncio.run(finish(tmp_path))
    assert kills > 0 and resumed > 0
    did = [json.loads(line) for line in (tmp_path / "ledger").read_text().splitlines()]
    paid = Counter(key for name, _, key in did if name == "pay")
    assert set(paid.values()) == {1}
    print(f"{kills} kills, {resumed} resumptions, {len(paid)} payments, none twice")


async def finish(folder: Path) -> int:
    """Carry all runs to their end; look at every journal; how often a run was resumed."""
    resumed = 0
    async with assert_no_leaks():
        await carry(folder)
    async with Runtime(journal=f"sqlite:{folder}/j.db") as runtime:
        assert await runtime.unfinished() == []
        rows = await runtime.journal.runs()
        assert sorted(row.run_id for row in rows) == [f"r{n}" for n in range(RUNS)]
        for row in rows:
            facts = await runtime.journal.read(row.run_id)
            assert_whole(facts)
            assert_valid(fold(facts).messages)
            resumed += sum(isinstance(fact, RunResumed) for fact in facts)
            results = Counter(fact.call_id for fact in facts if isinstance(fact, ToolReturned))
            assert set(results.values()) == {1}
            assert len(results) == 12
            keys = {(fact.call_id, fact.idempotency_key) for fact in facts if isinstance(fact, ToolStarted)}
            assert len(keys) == 12  # a call that ran again did so under its old key
    return resumed
