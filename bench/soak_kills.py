"""Processes that are killed, `kill -9`, while their runs write; then one that carries them on to their ends.

A seed is one shop: a journal in SQLite, and a second file of SQLite in which the tools write down what they did. One
process after the other is begun and killed: some events after it began, and some tenths of a millisecond. It tells
through a pipe every fact that its readers see, that is, every one that was acknowledged. In the end nothing of that may
be missing, no tool that writes may have done so twice, and every run has its one end.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from agentrt import Agent, Context, Runtime, tool
from agentrt.events import Fact, RunResumed, ToolStarted
from agentrt.runs.state import fold
from agentrt.testing import ScriptedModel, assert_no_leaks, call, reply
from tests.simulation import invariants

KILLS = 5
RUNS = 6
TURNS = 3
EVENTS = 250
"""Fewer than a process shows that is left alone, for the most part."""
WRITES = frozenset({"pay", "file_away"})

_FORK = multiprocessing.get_context("forkserver")
_FORK.set_forkserver_preload(["bench.soak_kills", "openai"])
_FACTS: msgspec.json.Decoder[Fact] = msgspec.json.Decoder(Fact)


def shop(effects: Path) -> Agent[Any]:
    """An agent whose tools write to a file of their own, on the loop and in threads."""

    def write(ctx: Context[None], name: str) -> None:
        with closing(sqlite3.connect(effects, timeout=30.0)) as database, database:
            database.execute("INSERT INTO effects VALUES (?, ?)", (name, ctx.idempotency_key))

    @tool(effect="read")
    async def look(ctx: Context[None]) -> str:
        """Read something."""
        await asyncio.sleep(0.002)
        write(ctx, "look")
        return "seen"

    @tool
    async def pay(ctx: Context[None]) -> str:
        """Write something."""
        write(ctx, "pay")
        await asyncio.sleep(0.002)
        return "paid"

    @tool
    def file_away(ctx: Context[None]) -> str:
        """Write something in a thread."""
        write(ctx, "file_away")
        return "filed"

    return Agent(name="clerk", model="openai:scripted", tools=[look, pay, file_away])


def model() -> ScriptedModel:
    """Some turns of calls and an answer, in small pieces."""

    def script(asked: dict[str, Any]) -> Any:
        turn = sum(message["role"] == "assistant" for message in asked["messages"])
        if turn == TURNS:
            return reply("It is done.", pieces=4, pause=0.001)
        calls = [call(name) for name in ("look", "pay", "file_away", "pay")]
        return reply(f"Turn {turn}.", calls=calls, pieces=2, pause=0.001)

    return ScriptedModel(script)


async def carry(folder: Path, told: Connection | None = None) -> None:
    """Carry on what is unfinished and begin what is not there; all of it to its end."""
    agent = shop(folder / "effects.db")
    async with Runtime(providers=[model().provider("openai")], journal=f"sqlite:{folder}/journal.db") as runtime:
        known = {row.run_id for row in await runtime.journal.runs()}
        runs = [await runtime.resume(one.run_id, agent) for one in await runtime.unfinished()]
        runs += [runtime.start(agent, "Go.", run_id=f"r{n}") for n in range(RUNS) if f"r{n}" not in known]

        async def tell(run_id: str, events: Any) -> None:
            async for event in events:
                if told is not None:
                    fact = msgspec.json.encode(event) if isinstance(event, Fact) else b""
                    told.send_bytes(f"{run_id} ".encode() + fact)

        async with asyncio.TaskGroup() as group:
            for run in runs:
                group.create_task(tell(run.run_id, run.events()))
        for run in runs:
            assert (await run.answer()).output == "It is done."


def _child(folder: str, told: Connection) -> None:
    asyncio.run(carry(Path(folder), told))


def kills(seed: int, times: int = KILLS) -> Counter[str]:
    """So many processes of one shop, each killed at a moment that the seed says, and one that is not.

    Raises:
        AssertionError: a fact is missing that was acknowledged, an effect is there twice, a run has no end or two.
    """
    random, done = Random(seed), Counter[str]()
    with TemporaryDirectory(prefix="agentrt-kills-") as name:
        folder = Path(name)
        with closing(sqlite3.connect(folder / "effects.db")) as database, database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("CREATE TABLE effects (name TEXT, key TEXT)")
        told: dict[str, dict[int, Fact]] = {}
        for _ in range(times):
            done["kills"] += _killed(folder, random, told)
        asyncio.run(_carried(folder))
        asyncio.run(_looked_at(folder, told, done))
    return done


def _killed(folder: Path, random: Random, told: dict[str, dict[int, Fact]]) -> bool:
    """One process; whether it still lived when it was killed. `told` takes the facts that it told."""
    ours, theirs = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_child, args=(str(folder), theirs))
    process.start()
    theirs.close()
    lives = True
    for _ in range(random.randrange(EVENTS)):
        if not (lives := _hear(ours, told)):
            break
    if lives:
        time.sleep(random.uniform(0.0, 0.0005))
        lives = process.is_alive()
        process.kill()
    while _hear(ours, told):  # what it had told before it was killed
        pass
    process.join()
    ours.close()
    return lives


def _hear(ours: Connection, told: dict[str, dict[int, Fact]]) -> bool:
    """One event; False if there will be none."""
    try:
        run_id, _, text = ours.recv_bytes().partition(b" ")
    except (EOFError, OSError):
        return False
    if text:
        fact = _FACTS.decode(text)
        told.setdefault(run_id.decode(), {})[fact.seq] = fact
    return True


async def _carried(folder: Path) -> None:
    async with assert_no_leaks():
        await carry(folder)


async def _looked_at(folder: Path, told: dict[str, dict[int, Fact]], done: Counter[str]) -> None:
    with closing(sqlite3.connect(folder / "effects.db")) as database:
        effects: Sequence[tuple[str, str]] = database.execute("SELECT name, key FROM effects").fetchall()
    written = Counter(key for name, key in effects if name in WRITES)
    twice = [key for key, times in written.items() if times > 1]
    assert not twice, f"took effect twice: {twice}"
    done["effects"] += len(written)
    complaints: list[str] = []
    intended: set[str] = set()
    async with Runtime(journal=f"sqlite:{folder}/journal.db") as runtime:
        rows = await runtime.journal.runs()
        assert sorted(row.run_id for row in rows) == [f"r{n}" for n in range(RUNS)]
        for row in rows:
            facts = await runtime.journal.read(row.run_id)
            for check in (invariants.numbered, invariants.ended_once, invariants.in_turn, invariants.never_internal):
                complaints += check(facts)
            complaints += invariants.valid(fold(facts).messages)
            kept = {fact.seq: fact for fact in facts}
            lost = [seq for seq, fact in told.get(row.run_id, {}).items() if kept.get(seq) != fact]
            complaints += [f"{row.run_id}: acknowledged and lost: {lost}"] if lost else []
            intended |= {fact.idempotency_key for fact in facts if isinstance(fact, ToolStarted)}
            done["facts"] += len(facts)
            done["facts that were acknowledged before a kill"] += len(told.get(row.run_id, {}))
            done["resumptions"] += sum(isinstance(fact, RunResumed) for fact in facts)
    complaints += [f"took effect without an intent: {key}" for key in written.keys() - intended]
    assert not complaints, "\n".join(complaints)
