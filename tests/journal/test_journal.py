"""What every journal promises, asked of each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from agentrt.errors import JournalFailed
from agentrt.events import (
    CancelAsked,
    Fact,
    ModelReplied,
    RunEnded,
    RunResumed,
    RunStarted,
    ToolReturned,
    ToolStarted,
)
from agentrt.journal.journal import Journal, RunRow
from agentrt.journal.memory import MemoryJournal
from agentrt.journal.sqlite import SqliteJournal
from agentrt.messages import AssistantMessage, SystemMessage, ToolCall, ToolMessage, Usage, UserMessage

Check = Callable[[Callable[[Journal], Awaitable[None]]], None]


@pytest.fixture(params=["memory", "sqlite"])
def check(request: pytest.FixtureRequest, tmp_path: Path) -> Check:
    """Runs a check against a new journal, on a real loop."""

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Journal, None]:
        journal: Journal = MemoryJournal() if request.param == "memory" else SqliteJournal(tmp_path / "j.db")
        yield journal
        await journal.aclose()

    def run(body: Callable[[Journal], Awaitable[None]]) -> None:
        async def main() -> None:
            async with opened() as journal:
                await body(journal)

        asyncio.run(main())

    return run


def started(run_id: str, thread: str | None = None) -> RunStarted:
    return RunStarted(
        run_id=run_id, agent="a", model="p:m", messages=(UserMessage("?"),), ends_at=1.0, thread=thread, seq=1, at=5.0
    )


def test_facts_are_read_in_order_and_after_a_number(check: Check) -> None:
    async def body(journal: Journal) -> None:
        epoch = await journal.take("r1")
        facts: list[Fact] = [started("r1"), RunEnded(outcome="success", seq=4)]
        for fact in facts:
            await journal.append("r1", epoch, fact)
        assert list(await journal.read("r1")) == facts
        assert list(await journal.read("r1", after=1)) == facts[1:]
        assert list(await journal.read("r1", after=4)) == []
        assert list(await journal.read("unknown")) == []

    check(body)


def test_every_kind_of_fact_is_read_as_it_was_written(check: Check) -> None:
    calls = (ToolCall("c1", "stock", '{"sku": "ä"}'), ToolCall("c2", "stock", "not JSON"))
    facts: list[Fact] = [
        RunStarted(
            run_id="r1",
            agent="clerk",
            model="openai:m",
            messages=(SystemMessage("brief\0"), UserMessage("雪?"), ToolMessage("c0", "stock", "")),
            ends_at=1e9 + 0.125,
            thread="t",
            previous="r0",
            metadata={"user": "u\n1"},
            principal="ada",
            budget={"turns": 3, "tokens": None},
        ),
        RunResumed(),
        ModelReplied(
            message_id="m1",
            message=AssistantMessage("", calls, '{"x": 1}'),
            finish="tool_calls",
            usage=Usage(1, 2, 3, 1, True),
            model="m",
        ),
        ToolStarted(call_id="c1", name="stock", arguments="{}", idempotency_key="r1c1"),
        ToolReturned(call_id="c1", name="stock", status="timeout", content="x" * 200_000, code="late", seconds=0.1),
        CancelAsked(reason="enough"),
        RunEnded(outcome="cancelled", code="cancelled", message="enough", usage=Usage(9), stragglers=("stock",)),
    ]

    async def body(journal: Journal) -> None:
        epoch = await journal.take("r1")
        stamped = [replace(fact, epoch=1, seq=seq) for seq, fact in enumerate(facts, 1)]
        for fact in stamped:
            await journal.append("r1", epoch, fact)
        assert list(await journal.read("r1")) == stamped

    check(body)


def test_a_writer_that_lost_its_run_is_told_and_writes_nothing(check: Check) -> None:
    async def body(journal: Journal) -> None:
        old = await journal.take("r1")
        await journal.append("r1", old, started("r1"))
        new = await journal.take("r1")
        assert (old, new) == (1, 2)
        with pytest.raises(JournalFailed, match="epoch 2, not 1"):
            await journal.append("r1", old, RunEnded(outcome="success", seq=2))
        assert len(await journal.read("r1")) == 1
        await journal.append("r1", new, RunEnded(outcome="failed", seq=2))
        assert len(await journal.read("r1")) == 2

    check(body)


def test_a_number_is_given_once(check: Check) -> None:
    async def body(journal: Journal) -> None:
        await journal.take("r1")
        await journal.append("r1", 1, started("r1"))
        with pytest.raises(JournalFailed, match="fact 1 of run r1 is there already"):
            await journal.append("r1", 1, RunEnded(outcome="success", seq=1))
        assert list(await journal.read("r1")) == [started("r1")]

    check(body)


def test_a_run_is_listed_once_it_has_started_and_by_what_it_said_then(check: Check) -> None:
    async def body(journal: Journal) -> None:
        await journal.take("r1")
        assert list(await journal.runs()) == []
        await journal.append("r1", 1, started("r1", "t"))
        assert list(await journal.runs()) == [RunRow("r1", "a", "t", 5.0, None)]
        await journal.append("r1", 1, RunEnded(outcome="budget", seq=2, at=9.0))
        assert list(await journal.runs()) == [RunRow("r1", "a", "t", 5.0, "budget")]

    check(body)


def test_runs_are_listed_by_thread_and_by_whether_they_ended(check: Check) -> None:
    async def body(journal: Journal) -> None:
        threads = {"r3": "t1", "r1": "t2", "r2": "t1", "r0": None}
        for run_id in sorted(threads):  # taken in another order than started
            await journal.take(run_id)
        for run_id, thread in threads.items():
            await journal.append(run_id, 1, started(run_id, thread))
        await journal.append("r3", 1, RunEnded(outcome="success", seq=2))
        assert [row.run_id for row in await journal.runs()] == ["r3", "r1", "r2", "r0"]
        assert [(row.run_id, row.ended) for row in await journal.runs(thread="t1")] == [("r3", "success"), ("r2", None)]
        assert [row.run_id for row in await journal.runs(unfinished=True)] == ["r1", "r2", "r0"]
        assert [row.run_id for row in await journal.runs(thread="t1", unfinished=True)] == ["r2"]
        assert list(await journal.runs(thread="nobody's")) == []
        assert list(await journal.runs(thread="")) == []

    check(body)


def test_a_waiter_that_is_cancelled_does_not_take_the_fact_back(check: Check) -> None:
    async def body(journal: Journal) -> None:
        await journal.take("r1")

        async def wait() -> None:
            await journal.append("r1", 1, started("r1"))

        waiter = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.wait([waiter])
        kept = journal.append("r1", 1, RunEnded(outcome="success", seq=2))
        await kept
        assert [fact.seq for fact in await journal.read("r1")] == [1, 2]

    check(body)
