"""What every journal promises, asked of each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from agentrt.errors import JournalFailed, SettingInvalid
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
from agentrt.journal.journal import ALL, Journal, RunRow, ThreadRow
from agentrt.journal.memory import MemoryJournal
from agentrt.journal.sqlite import SqliteJournal
from agentrt.messages import (
    AssistantMessage,
    ImagePart,
    Message,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)

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


def started(
    run_id: str,
    thread: str | None = None,
    *,
    previous: str | None = None,
    principal: str | None = None,
    asked: tuple[Message, ...] = (UserMessage("?"),),
    at: float = 5.0,
) -> RunStarted:
    return RunStarted(
        run_id=run_id,
        agent="a",
        model="p:m",
        messages=asked,
        ends_at=1.0,
        thread=thread,
        previous=previous,
        principal=principal,
        seq=1,
        at=at,
    )


async def begin(journal: Journal, *runs: RunStarted) -> None:
    for run in runs:
        await journal.append(run.run_id, await journal.take(run.run_id), run)


async def end(journal: Journal, *run_ids: str) -> None:
    for run_id in run_ids:
        await journal.append(run_id, 1, RunEnded(outcome="success", seq=2))


async def ids(journal: Journal) -> list[str]:
    return [row.run_id for row in await journal.runs()]


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
        await journal.append("r1", 1, started("r1", "t", previous="r0", principal="ada"))
        assert list(await journal.runs()) == [RunRow("r1", "a", "t", 5.0, None, "r0", "ada", "?")]
        await journal.append("r1", 1, RunEnded(outcome="budget", seq=2, at=9.0))
        assert list(await journal.runs()) == [RunRow("r1", "a", "t", 5.0, "budget", "r0", "ada", "?")]

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


def test_what_a_run_was_asked_is_listed_by_its_beginning(check: Check) -> None:
    picture = UserMessage((TextPart("Which bird?"), ImagePart(url="https://x/a.png")))

    async def body(journal: Journal) -> None:
        long = (SystemMessage("brief"), UserMessage("x" * 10_000))
        await begin(journal, started("r1", asked=(picture,)), started("r2", asked=long), started("r3", asked=()))
        assert [row.asked for row in await journal.runs()] == ["Which bird?", "x" * 200, ""]

    check(body)


# ---- threads ---------------------------------------------------------------------------------------


async def three_threads(journal: Journal) -> None:
    """Two of Ada's, the first of which was used again after the second, and one of nobody's."""
    await begin(
        journal,
        started("r1", "t1", principal="ada", asked=(UserMessage("How many?"),), at=1.0),
        started("r2", "t2", principal="ada", at=2.0),
        started("r3", "t3", at=3.0),
        started("r4", at=4.0),
        started("r5", "t1", previous="r1", principal="bob", at=5.0),
    )
    await end(journal, "r1", "r3")


def test_threads_are_listed_by_when_they_were_used_last(check: Check) -> None:
    async def body(journal: Journal) -> None:
        assert list(await journal.threads()) == []
        await three_threads(journal)
        assert list(await journal.threads()) == [
            ThreadRow("t1", 2, 1, 1.0, 5.0, "r5", "ada", "How many?"),
            ThreadRow("t3", 1, 0, 3.0, 3.0, "r3", None, "?"),
            ThreadRow("t2", 1, 1, 2.0, 2.0, "r2", "ada", "?"),
        ]
        assert [await journal.last(thread) for thread in ("t1", "t2", "", "nobody's")] == ["r5", "r2", None, None]

    check(body)


def test_threads_are_listed_for_who_began_them(check: Check) -> None:
    async def body(journal: Journal) -> None:
        await three_threads(journal)
        for principal, threads in ((ALL, ["t1", "t3", "t2"]), ("ada", ["t1", "t2"]), ("bob", []), (None, ["t3"])):
            assert [row.thread for row in await journal.threads(principal=principal)] == threads
        assert [row.thread for row in await journal.threads(limit=2)] == ["t1", "t3"]
        await begin(journal, started("r0", "t2", previous="r2"))
        assert await journal.last("t2") == "r0"
        assert [row.thread for row in await journal.threads(limit=2)] == ["t2", "t1"]
        assert [row.thread for row in await journal.threads(principal="ada", limit=1)] == ["t2"]
        assert list(await journal.threads(limit=0)) == []

    check(body)


# ---- deleting --------------------------------------------------------------------------------------


def test_runs_that_are_deleted_are_gone_and_the_others_stay(check: Check) -> None:
    async def body(journal: Journal) -> None:
        await three_threads(journal)
        await journal.delete(["r1", "r5", "unknown"])
        assert await ids(journal) == ["r2", "r3", "r4"]
        for run_id in ("r1", "r5"):
            assert list(await journal.read(run_id)) == []
        assert await journal.last("t1") is None
        assert [row.thread for row in await journal.threads()] == ["t3", "t2"]
        assert list(await journal.read("r3")) == [started("r3", "t3", at=3.0), RunEnded(outcome="success", seq=2)]
        await journal.delete([])

    check(body)


def test_a_run_is_not_deleted_from_which_another_goes_on(check: Check) -> None:
    async def body(journal: Journal) -> None:
        await begin(
            journal,
            started("r1", "t1"),
            started("r2", "t1", previous="r1"),
            started("r3", "t2", previous="r1"),
            started("r4", previous="r3"),
        )
        with pytest.raises(SettingInvalid, match='"r1" cannot be deleted: run "r3" of thread "t2" goes on from it'):
            await journal.delete(["r1", "r2"])
        with pytest.raises(SettingInvalid, match='"r3" cannot be deleted: run "r4" without a thread goes on from it'):
            await journal.delete(["r1", "r2", "r3"])
        assert await ids(journal) == ["r1", "r2", "r3", "r4"]
        await journal.delete(["r4"])
        await journal.delete(["r3"])
        await journal.delete(["r1", "r2"])
        assert await ids(journal) == []

    check(body)


def test_who_carries_a_run_that_is_deleted_is_told_and_its_id_is_free_again(check: Check) -> None:
    async def body(journal: Journal) -> None:
        await begin(journal, started("r1", "t1"))
        await journal.take("r1")
        await journal.delete(["r1"])
        with pytest.raises(JournalFailed, match="was not taken, or was deleted since"):
            await journal.append("r1", 2, RunEnded(outcome="success", seq=2))
        await begin(journal, started("r1", "t2"))
        assert await ids(journal) == ["r1"]
        assert await journal.last("t2") == "r1"

    check(body)


def test_a_run_that_lost_a_fact_and_was_deleted_may_begin_anew(check: Check) -> None:
    async def body(journal: Journal) -> None:
        await begin(journal, started("r1"))
        with pytest.raises(JournalFailed, match="is there already"):
            await journal.append("r1", 1, started("r1"))
        await journal.delete(["r1"])
        await begin(journal, started("r1"))
        await end(journal, "r1")
        assert [fact.seq for fact in await journal.read("r1")] == [1, 2]

    check(body)
