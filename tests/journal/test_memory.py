"""What only a journal in memory has to prove: that it forgets what nobody needs, and only that."""

from __future__ import annotations

import asyncio

import pytest

from agentrt.events import RunEnded, RunStarted
from agentrt.journal.memory import MemoryJournal
from agentrt.messages import UserMessage


async def lived(
    journal: MemoryJournal, run_id: str, *, thread: str | None = None, previous: str | None = None, ends: bool = True
) -> None:
    messages = (UserMessage("?"),)
    epoch = await journal.take(run_id)
    await journal.append(
        run_id,
        epoch,
        RunStarted(
            run_id=run_id, agent="a", model="p:m", messages=messages, ends_at=1, thread=thread, previous=previous, seq=1
        ),
    )
    if ends:
        await journal.append(run_id, epoch, RunEnded(outcome="success", seq=2))


async def remembered(journal: MemoryJournal) -> list[str]:
    return [row.run_id for row in await journal.runs()]


def test_of_the_runs_that_nobody_needs_the_newest_stay() -> None:
    async def main() -> None:
        journal = MemoryJournal(loose=2)
        await lived(journal, "lives", ends=False)
        await lived(journal, "of a thread", thread="t1")
        for number in range(5):
            await lived(journal, f"r{number}")
        assert await remembered(journal) == ["lives", "of a thread", "r3", "r4"]
        assert await journal.take("r0") == 1  # it is as if it had never been
        await journal.append("lives", 1, RunEnded(outcome="success", seq=2))
        assert await remembered(journal) == ["lives", "of a thread", "r4"]

    asyncio.run(main())


def test_a_run_stays_as_long_as_another_goes_on_from_it() -> None:
    async def main() -> None:
        journal = MemoryJournal(loose=1)
        await lived(journal, "r1")
        await lived(journal, "r2", previous="r1", thread="t1")
        for number in range(5):
            await lived(journal, f"x{number}")
        assert await remembered(journal) == ["r1", "r2", "x4"]
        await journal.delete(["r2"])
        assert await remembered(journal) == ["r1"]  # it is the newest of those that nobody needs
        await lived(journal, "x5")
        assert await remembered(journal) == ["x5"]

    asyncio.run(main())


def test_a_run_stays_that_another_went_on_from_before_it_had_ended() -> None:
    async def main() -> None:
        journal = MemoryJournal(loose=0)
        await lived(journal, "r1", ends=False)
        await lived(journal, "r2", previous="r1", thread="t1")
        await journal.append("r1", 1, RunEnded(outcome="success", seq=2))
        assert await remembered(journal) == ["r1", "r2"]

    asyncio.run(main())


def test_a_chain_that_nobody_needs_is_forgotten_from_its_end() -> None:
    async def main() -> None:
        journal = MemoryJournal(loose=1)
        for number in range(4):
            await lived(journal, f"r{number}", previous=f"r{number - 1}" if number else None)
        assert await remembered(journal) == ["r0", "r1", "r2", "r3"]
        for number in range(3):
            await lived(journal, f"x{number}")
        assert len(await remembered(journal)) == 1

    asyncio.run(main())


@pytest.mark.parametrize("runs", [10_000])
def test_many_short_runs_leave_nothing_behind(runs: int) -> None:
    async def main() -> None:
        journal = MemoryJournal()
        for number in range(runs):
            await lived(journal, str(number))
        assert len(await remembered(journal)) == 1_000
        for kept in (journal._facts, journal._epochs, journal._loose):
            assert len(kept) == 1_000
        assert not journal._followers and not journal._threads

    asyncio.run(main())
