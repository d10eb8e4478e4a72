"""A journal that several processes use, and one that is killed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

from agentrt.events import RunEnded, ToolReturned
from agentrt.journal.sqlite import SqliteJournal
from agentrt.testing import assert_no_leaks


@asynccontextmanager
async def opened(path: Path) -> AsyncGenerator[SqliteJournal, None]:
    async with assert_no_leaks():
        journal = SqliteJournal(path)
        try:
            yield journal
        finally:
            await journal.aclose()


CHILD = """
import asyncio, os, sys
from agentrt.errors import JournalFailed
from agentrt.events import ToolReturned
from agentrt.journal.sqlite import SqliteJournal

def say(text):
    os.write(1, (text + "\\n").encode())

def returned(seq):
    return ToolReturned(call_id=f"c{seq}", name="stock", status="ok", content="x" * (seq * 37 % 3000), seq=seq)

async def main():
    journal = SqliteJournal(sys.argv[1])
    BODY

asyncio.run(main())
"""


def child(path: Path, body: str) -> subprocess.Popen[str]:
    """A process with the journal at `path`; `body` is the rest of its main coroutine."""
    code = CHILD.replace("BODY", body.strip().replace("\n", "\n    "))
    return subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], text: str = "") -> None:
    assert process.stdin is not None
    process.stdin.write(f"{text}\n")
    process.stdin.flush()


def test_processes_that_open_a_new_file_at_once_never_get_the_same_epoch(tmp_path: Path) -> None:
    body = """
say("ready")
sys.stdin.readline()
for _ in range(50):
    say(str(await journal.take("r1")))
await journal.aclose()
"""
    children = [child(tmp_path / "j.db", body) for _ in range(4)]
    assert [line(one) for one in children] == ["ready"] * 4
    for one in children:
        tell(one)
    epochs = [[int(epoch) for epoch in one.communicate()[0].split()] for one in children]
    assert all(mine == sorted(mine) for mine in epochs)
    assert sorted(epoch for mine in epochs for epoch in mine) == list(range(1, 201))


def test_a_process_that_lost_its_run_to_another_writes_nothing_more(tmp_path: Path) -> None:
    body = """
for run in ("r1", "r2"):
    say(str(await journal.take(run)))
    await journal.append(run, 1, returned(1))
say("kept")
sys.stdin.readline()
for run in ("r1", "r2"):
    try:
        await journal.append(run, 1, returned(2))
        say("kept")
    except JournalFailed as failed:
        say(str(failed))
await journal.aclose()
"""

    async def main(other: subprocess.Popen[str]) -> None:
        async with opened(tmp_path / "j.db") as journal:
            assert [line(other) for _ in range(3)] == ["1", "1", "kept"]
            assert len(await journal.read("r1")) == 1
            assert await journal.take("r1") == 2
            tell(other)
            assert "belongs to epoch 2, not 1" in line(other)
            assert line(other) == "kept"  # the run it still has
            await journal.append("r1", 2, RunEnded(outcome="failed", seq=2))
            assert [type(fact) for fact in await journal.read("r1")] == [ToolReturned, RunEnded]
            other.communicate()

    with child(tmp_path / "j.db", body) as other:
        asyncio.run(main(other))


def test_two_processes_write_their_own_runs_at_the_same_time(tmp_path: Path) -> None:
    body = """
name = sys.stdin.readline().strip()
await journal.take(name)
for seq in range(1, 301):
    await journal.append(name, 1, returned(seq))
await journal.aclose()
"""
    children = [child(tmp_path / "j.db", body) for _ in range(2)]
    for place, one in enumerate(children):
        tell(one, f"r{place}")
    for one in children:
        one.communicate()
        assert one.returncode == 0

    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            for place in range(2):
                assert [fact.seq for fact in await journal.read(f"r{place}")] == list(range(1, 301))

    asyncio.run(main())


KILLED = """
async def carry(run):
    epoch = await journal.take(run)
    before = await journal.read(run)
    seq = before[-1].seq if before else 0
    while True:
        seq += 1
        await journal.append(run, epoch, returned(seq))
        say(f"{run} {seq}")

async with asyncio.TaskGroup() as group:
    for place in range(5):
        group.create_task(carry(f"r{place}"))
"""


def test_no_acknowledged_fact_is_lost_to_kill_9(tmp_path: Path) -> None:
    random, told = Random(12), Counter[str]()
    for _ in range(12):
        with child(tmp_path / "j.db", KILLED) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(random.randrange(1, 400))]
            process.kill()
            lines += process.stdout.readlines()
        for said in lines:
            run, _, seq = said.partition(" ")
            assert int(seq) == told[run] + 1 or int(seq) == told[run] + 2  # one may be kept and not told
            told[run] = int(seq)

    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            for name, last in told.items():
                kept = [fact.seq for fact in await journal.read(name)]
                assert kept == list(range(1, len(kept) + 1))
                assert last <= len(kept) <= last + 1
            intact = await journal._ask(lambda database: database.execute("PRAGMA integrity_check").fetchall())
            assert intact == [("ok",)]

    asyncio.run(main())
    print(f"12 kills, {told.total()} facts told, none lost")
