"""What only a journal on disk has to prove: groups, disks that fill, closing, texts. Each on a real loop."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from agentrt import Agent, Runtime, run
from agentrt.errors import JournalFailed
from agentrt.events import Fact, RunStarted, ToolReturned
from agentrt.journal.journal import Journal
from agentrt.journal.memory import MemoryJournal
from agentrt.journal.sqlite import SqliteJournal
from agentrt.messages import ImagePart, TextPart, UserMessage, text_of
from agentrt.testing import ScriptedModel, assert_no_leaks, reply


@asynccontextmanager
async def opened(path: Path) -> AsyncGenerator[SqliteJournal, None]:
    async with assert_no_leaks():
        journal = SqliteJournal(path)
        try:
            yield journal
        finally:
            await journal.aclose()


def started(run_id: str = "r1", *, text: str = "?", thread: str | None = None) -> RunStarted:
    messages = (UserMessage(text),)
    return RunStarted(run_id=run_id, agent="a", model="p:m", messages=messages, ends_at=1.0, thread=thread, seq=1)


def returned(seq: int, size: int = 100) -> ToolReturned:
    return ToolReturned(call_id=f"c{seq}", name="stock", status="ok", content="x" * size, seq=seq)


async def limit(journal: SqliteJournal, pages: int) -> None:
    await journal._ask(lambda database: database.execute(f"PRAGMA max_page_count = {pages}").fetchall())


async def trace(journal: SqliteJournal) -> list[str]:
    said: list[str] = []
    await journal._ask(lambda database: database.set_trace_callback(said.append))
    return said


@contextmanager
def group(journal: SqliteJournal) -> Iterator[None]:
    """What is appended inside stands in line together: the writer is held up meanwhile."""
    go = threading.Event()
    journal._file.thread.call(go.wait)
    yield
    go.set()


async def outcome(kept: asyncio.Future[None]) -> str:
    try:
        await kept
    except JournalFailed as failed:
        return str(failed)
    return "kept"


# ---- groups ----------------------------------------------------------------------------------------


def test_what_waits_for_the_writer_is_one_transaction_acknowledged_in_order(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            for name in ("a", "b"):
                await journal.take(name)
            said = await trace(journal)
            told: list[tuple[str, int]] = []
            waiting: list[asyncio.Future[None]] = []
            writer_is_busy = threading.Event()
            journal._file.thread.call(writer_is_busy.wait)
            for seq in range(1, 501):
                for name in ("a", "b"):
                    kept = journal.append(name, 1, returned(seq))
                    kept.add_done_callback(lambda _, name=name, seq=seq: told.append((name, seq)))  # type: ignore[misc]
                    waiting.append(kept)
            writer_is_busy.set()
            for kept in waiting:
                await kept
            await asyncio.sleep(0)
            assert told == [(name, seq) for seq in range(1, 501) for name in ("a", "b")]
            assert said.count("BEGIN IMMEDIATE") == said.count("COMMIT") == 1
            assert len(await journal.read("a")) == 500

    asyncio.run(main())


def test_nothing_is_acknowledged_before_another_connection_sees_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            await journal.take("r1")
            with closing(sqlite3.connect(tmp_path / "j.db")) as other:
                for seq in range(1, 200):
                    await journal.append("r1", 1, returned(seq))
                    assert other.execute("SELECT max(seq) FROM facts").fetchone() == (seq,)

    asyncio.run(main())


def test_a_read_sees_what_was_enqueued_before_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            await journal.take("r1")
            waiting = [journal.append("r1", 1, returned(seq)) for seq in range(1, 101)]
            assert len(await journal.read("r1")) == 100
            assert all(kept.done() for kept in waiting)

    asyncio.run(main())


def test_only_the_writer_that_lost_its_run_fails_in_a_group(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            for name in ("r1", "r2", "r2"):
                await journal.take(name)
            with group(journal):
                kept = [journal.append(*one) for one in (("r1", 1, returned(1)), ("r2", 1, returned(1)))]
                kept += [journal.append(*one) for one in (("r2", 2, returned(1)), ("r1", 1, returned(2)))]
            told = [await outcome(one) for one in kept]
            assert [one == "kept" for one in told] == [True, False, True, True]
            assert "epoch 2, not 1" in told[1]
            assert await outcome(journal.append("r2", 2, returned(2))) == "kept"

    asyncio.run(main())


def test_what_stands_behind_a_fact_that_was_not_kept_is_not_kept_either(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            await journal.take("r1")
            await journal.append("r1", 1, returned(1))
            told = [await outcome(journal.append("r1", 1, returned(seq))) for seq in (1, 2)]
            assert "fact 1 of run r1 is there already" in told[0]
            assert "before this one was not kept" in told[1]
            epoch = await journal.take("r1")
            assert await outcome(journal.append("r1", epoch, returned(2))) == "kept"
            assert [fact.seq for fact in await journal.read("r1")] == [1, 2]

    asyncio.run(main())


def test_a_fact_that_could_not_be_read_back_is_not_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            await journal.take("r1")
            endless = RunStarted(run_id="r1", agent="a", model="p:m", messages=(), ends_at=float("inf"), seq=1)
            waiting = [journal.append("r1", 1, fact) for fact in (endless, returned(2))]
            told = [await outcome(one) for one in waiting]
            assert "fact 1 of run r1 cannot be kept" in told[0] and "ends_at" in told[0]
            assert "before this one was not kept" in told[1]
            huge = ToolReturned(call_id="c", name="n", status="ok", content="", seq=2**63)
            await journal.take("r2")
            assert await journal.take("r1") == 2
            with group(journal):
                waiting = [journal.append("r1", 2, huge), journal.append("r2", 1, returned(1))]
            assert [await outcome(one) == "kept" for one in waiting] == [False, True]

    asyncio.run(main())


def test_a_future_that_is_cancelled_keeps_nobody_else_of_its_group_waiting(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            await journal.take("r1")
            with group(journal):
                waiting = [journal.append("r1", 1, returned(seq)) for seq in (1, 2, 3)]
                waiting[1].cancel()
            assert [await outcome(waiting[place]) for place in (0, 2)] == ["kept", "kept"]
            assert [fact.seq for fact in await journal.read("r1")] == [1, 2, 3]

    asyncio.run(main())


# ---- a disk that is full ---------------------------------------------------------------------------


def test_a_full_disk_fails_the_whole_group_and_all_behind_it_until_the_run_is_taken_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            for name in ("r1", "r2", "r3"):
                await journal.take(name)
            await journal.append("r1", 1, returned(1))
            await limit(journal, 30)
            with group(journal):
                waiting = [journal.append("r1", 1, returned(seq, 50_000)) for seq in range(2, 9)]
                waiting.append(journal.append("r2", 1, returned(1)))
            for kept in waiting:
                assert re.search("j.db.*full", await outcome(kept))
            assert await outcome(journal.append("r3", 1, returned(1))) == "kept"  # there is room for a small one
            await limit(journal, 10_000)
            for name, seq in (("r1", 9), ("r2", 2)):
                assert "before this one was not kept" in await outcome(journal.append(name, 1, returned(seq)))
                assert len(await journal.read(name)) == (name == "r1")
                epoch = await journal.take(name)
                assert await outcome(journal.append(name, epoch, returned(seq))) == "kept"

    asyncio.run(main())


def test_a_writer_that_is_kept_waiting_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentrt.database.BUSY", 0.01)

    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            await journal.take("r1")
            with closing(sqlite3.connect(tmp_path / "j.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                assert "database is locked" in await outcome(journal.append("r1", 1, returned(1)))
                assert await journal.read("r1") == []  # readers wait for no writer
                other.execute("COMMIT")

    asyncio.run(main())


# ---- closing ---------------------------------------------------------------------------------------


def test_closing_keeps_what_was_enqueued_and_may_come_twice(tmp_path: Path) -> None:
    async def main() -> None:
        async with assert_no_leaks():
            journal = SqliteJournal(tmp_path / "j.db")
            await journal.take("r1")
            waiting = [journal.append("r1", 1, returned(seq)) for seq in range(1, 1001)]
            async with asyncio.TaskGroup() as group:
                group.create_task(journal.aclose())
                group.create_task(journal.aclose())
            await journal.aclose()
            assert [await outcome(one) for one in waiting] == ["kept"] * 1000
            assert "is closed" in await outcome(journal.append("r1", 1, returned(1001)))
            for late in (journal.read("r1"), journal.take("r1"), journal.runs()):
                with pytest.raises(JournalFailed, match="is closed"):
                    await late
        async with opened(tmp_path / "j.db") as journal:
            assert len(await journal.read("r1")) == 1000

    asyncio.run(main())
    assert [file.name for file in tmp_path.iterdir()] == ["j.db"]
    for thread in threading.enumerate():
        if thread.name == "agentrt-journal":
            thread.join(5)
            assert not thread.is_alive()


def test_a_close_that_is_cancelled_closes_all_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        async with assert_no_leaks():
            journal = SqliteJournal(tmp_path / "j.db")
            await journal.take("r1")
            kept = journal.append("r1", 1, returned(1))
            closer = asyncio.create_task(journal.aclose())
            await asyncio.sleep(0)
            closer.cancel()
            await asyncio.wait([closer])
            await journal.aclose()
            assert kept.done() and kept.exception() is None

    asyncio.run(main())


def test_a_journal_that_nobody_used_makes_no_file(tmp_path: Path) -> None:
    async def main() -> None:
        await SqliteJournal(tmp_path / "j.db").aclose()

    asyncio.run(main())
    assert list(tmp_path.iterdir()) == []


# ---- texts and shapes ------------------------------------------------------------------------------


def test_half_a_character_is_replaced_and_everything_else_is_as_it_was(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            await journal.take("r1")
            await journal.append("r1", 1, started(text='a\ud800"\\ud83d\n😀', thread="t\udfff"))
            (fact,) = await journal.read("r1")
            assert fact == started(text='a\ufffd"\\ud83d\n😀', thread="t\ufffd")
            for thread in ("t\udfff", "t\ufffd"):
                assert [row.thread for row in await journal.runs(thread=thread)] == ["t\ufffd"]
            for call in (journal.read("\ud800"), journal.take("\ud800")):
                with pytest.raises(JournalFailed):
                    await call

    asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"type": "Slept", "seq": 7}', "Slept"),
        ('{"type": "ToolReturned", "call_id": "c", "name": "n", "status": "ok", "content": 5}', "content"),
        ('{"type": "ToolReturned", "call_id": "c"}', "name"),
        ("__import__('os')", "malformed"),
        ("", "truncated"),
    ],
)
def test_a_row_that_is_no_fact_is_named_by_run_and_number(text: str, why: str, tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            await journal.take("r1")
            await journal.append("r1", 1, started())
            with closing(sqlite3.connect(tmp_path / "j.db")) as other, other:
                other.execute("INSERT INTO facts VALUES ('r1', 7, ?)", (text,))
            with pytest.raises(JournalFailed, match=f"fact 7 of run r1 cannot be read: .*{why}"):
                await journal.read("r1")
            assert len(await journal.runs()) == 1

    asyncio.run(main())


# ---- the whole -------------------------------------------------------------------------------------


def test_a_thread_continues_after_a_restart(tmp_path: Path) -> None:
    agent: Agent[None] = Agent(name="clerk", model="openai:scripted")

    async def ask(question: str, answer: str) -> tuple[str, ...]:
        model = ScriptedModel([reply(answer)])
        async with Runtime(providers=[model.provider("openai")], journal=SqliteJournal(tmp_path / "j.db")):
            done = await run(agent, question, thread="t1")
        return tuple(text_of(message) for message in done.messages)

    assert asyncio.run(ask("How many?", "Two.")) == ("How many?", "Two.")
    assert asyncio.run(ask("And now?", "One.")) == ("How many?", "Two.", "And now?", "One.")


async def _figures(name: str, journal: Journal, count: int) -> str:
    facts: list[Fact] = [returned(seq, 400) for seq in range(1, count + 1)]
    for run_id in ("together", "alone"):
        await journal.take(run_id)
    cpu, wall = time.process_time(), time.perf_counter()
    for kept in [journal.append("together", 1, fact) for fact in facts]:
        await kept
    together = time.process_time() - cpu, time.perf_counter() - wall
    cpu, wall = time.process_time(), time.perf_counter()
    for fact in facts:
        await journal.append("alone", 1, fact)
    alone = time.process_time() - cpu, time.perf_counter() - wall
    wall = time.perf_counter()
    assert len(await journal.read("alone")) == count
    read = time.perf_counter() - wall
    each = 1e6 / count
    return (
        f"{name}: {count} appends at once {together[0] * each:.1f} us CPU, {together[1] * each:.1f} us each; "
        f"one by one {alone[0] * each:.1f} us CPU, {alone[1] * each:.1f} us; read back in {read * 1e3:.0f} ms"
    )


def test_what_a_thousand_appends_cost(tmp_path: Path) -> None:
    async def main() -> None:
        async with opened(tmp_path / "j.db") as journal:
            print(await _figures("sqlite", journal, 1000))
        print(await _figures("memory", MemoryJournal(), 1000))

    asyncio.run(main())


def test_images_are_kept_byte_by_byte_and_sent_again_with_their_thread(tmp_path: Path) -> None:
    picture = ImagePart(data=bytes(range(256)), media_type="image/png", detail="low")
    asked = UserMessage((TextPart("Which?"), picture, ImagePart(url="https://x/a.png")))
    agent = Agent(name="a", model="p:m")

    async def main() -> None:
        model = ScriptedModel(["A parrot.", "Green."])
        for question in ([asked], "Which colour?"):
            journal = f"sqlite:{tmp_path / 'j.db'}"
            async with Runtime(journal=journal, providers=[model.provider("p")]):
                answer = await run(agent, question, thread="t")
        assert answer.messages[0] == asked
        first, second = (body["messages"][0]["content"] for body in model.requests)
        assert first == second
        assert [part["type"] for part in first] == ["text", "image_url", "image_url"]
        async with opened(tmp_path / "j.db") as reader:
            facts = await reader.read((await reader.runs())[0].run_id)
        assert isinstance(facts[0], RunStarted)
        assert facts[0].messages == (asked,)

    asyncio.run(main())
