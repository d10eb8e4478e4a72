from __future__ import annotations

import asyncio

import pytest

from agentrt.errors import JournalFailed
from agentrt.events import Fact, RunEnded, RunStarted
from agentrt.journal.memory import MemoryJournal
from agentrt.messages import UserMessage


def started(run_id: str, thread: str | None = None) -> RunStarted:
    return RunStarted(
        run_id=run_id, agent="a", model="p:m", messages=(UserMessage("?"),), ends_at=1.0, thread=thread, seq=1, at=5.0
    )


def test_facts_are_read_in_order_and_after_a_number() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        epoch = await journal.take("r1")
        facts: list[Fact] = [started("r1"), RunEnded(outcome="success", seq=4)]
        for fact in facts:
            await journal.append("r1", epoch, fact)
        assert list(await journal.read("r1")) == facts
        assert list(await journal.read("r1", after=1)) == facts[1:]
        assert list(await journal.read("unknown")) == []

    asyncio.run(main())


def test_a_writer_that_lost_its_run_is_told_and_writes_nothing() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        old = await journal.take("r1")
        await journal.append("r1", old, started("r1"))
        new = await journal.take("r1")
        assert new == old + 1
        with pytest.raises(JournalFailed, match="epoch 2, not 1"):
            await journal.append("r1", old, RunEnded(outcome="success", seq=2))
        assert len(await journal.read("r1")) == 1

    asyncio.run(main())


def test_runs_are_listed_by_thread_and_by_whether_they_ended() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        for run_id, thread in (("r1", "t1"), ("r2", "t2"), ("r3", "t1")):
            await journal.take(run_id)
            await journal.append(run_id, 1, started(run_id, thread))
        await journal.append("r1", 1, RunEnded(outcome="success", seq=2))
        assert [row.run_id for row in await journal.runs()] == ["r1", "r2", "r3"]
        assert [(row.run_id, row.ended) for row in await journal.runs(thread="t1")] == [("r1", "success"), ("r3", None)]
        assert [row.run_id for row in await journal.runs(unfinished=True)] == ["r2", "r3"]
        assert await journal.runs(thread="nobody's") == []

    asyncio.run(main())
