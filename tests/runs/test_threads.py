"""Threads are chains of runs: they go on, branch off, go back, are listed, read and deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agentrt import Agent, Runtime
from agentrt.errors import JournalFailed, RunCancelled, SettingInvalid
from agentrt.events import Fact, RunStarted
from agentrt.journal.memory import MemoryJournal
from agentrt.messages import Answer, Message, text_of
from agentrt.testing import ScriptedModel, call, reply, run_virtual
from tests.runs.world import CLERK, assert_valid, world

ANSWERING = Agent(name="clerk", model="openai:scripted")


def echo(pause: float = 0.0) -> ScriptedModel:
    """Answers each question with itself in capitals."""

    def answer(request: dict[str, Any]) -> Any:
        asked = str(request["messages"][-1]["content"])
        return reply(asked.upper(), pieces=2, pause=pause) if pause else reply(asked.upper())

    return ScriptedModel(answer)


def said(messages: Sequence[Message]) -> str:
    return " ".join(text_of(message) for message in messages)


async def ask(runtime: Runtime, question: str, **options: Any) -> str:
    """The conversation as it is then. The run has the id "r_QUESTION"."""
    answer = await runtime.start(ANSWERING, question, run_id=f"r_{question}", **options).answer()
    return said(answer.messages)


async def previous(runtime: Runtime, run_id: str) -> str | None:
    started = (await runtime.journal.read(run_id))[0]
    assert isinstance(started, RunStarted)
    return started.previous


# ---- branches --------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_a_thread_may_begin_behind_a_run_of_another_and_neither_knows_what_the_other_says() -> None:
    async def main() -> None:
        async with world(echo()) as runtime:
            for question in ("a", "b", "c"):
                await ask(runtime, question, thread="t1")
            assert await ask(runtime, "x", thread="t2", after="r_b") == "a A b B x X"
            assert await previous(runtime, "r_x") == "r_b"
            assert await ask(runtime, "y", thread="t2") == "a A b B x X y Y"
            assert await ask(runtime, "d", thread="t1") == "a A b B c C d D"
            assert await ask(runtime, "z", thread="t3", after="r_x") == "a A b B x X z Z"

    run_virtual(main())


def test_a_run_may_begin_before_another_to_ask_again_or_something_else() -> None:
    async def main() -> None:
        async with world(echo()) as runtime:
            for question in ("a", "b"):
                await ask(runtime, question, thread="t1")
            assert await ask(runtime, "x", thread="t2", before="r_b") == "a A x X"
            assert await previous(runtime, "r_x") == "r_a"
            assert await ask(runtime, "y", thread="t3", before="r_a") == "y Y"
            assert await ask(runtime, "z", thread="t3") == "y Y z Z"

    run_virtual(main())


def test_a_thread_may_go_back_and_goes_on_from_there() -> None:
    async def main() -> None:
        async with world(echo()) as runtime:
            for question in ("a", "b", "c"):
                await ask(runtime, question, thread="t1")
            assert await ask(runtime, "d", thread="t1", before="r_c") == "a A b B d D"
            assert await ask(runtime, "e", thread="t1") == "a A b B d D e E"
            assert await ask(runtime, "f", thread="t1", after="r_a") == "a A f F"
            assert await ask(runtime, "g", thread="t1") == "a A f F g G"
            assert said(await runtime.threads.messages("t1")) == "a A f F g G"
            assert len(await runtime.journal.runs(thread="t1")) == 7  # what it went back behind is kept

    run_virtual(main())


def test_a_run_without_a_thread_may_go_on_from_another_by_its_id() -> None:
    async def main() -> None:
        async with world(echo()) as runtime:
            await ask(runtime, "a")
            assert await ask(runtime, "b", after="r_a") == "a A b B"
            assert await ask(runtime, "c", after="r_b") == "a A b B c C"
            assert await ask(runtime, "d", thread="t1", after="r_a") == "a A d D"
            assert await ask(runtime, "e") == "e E"

    run_virtual(main())


@pytest.mark.parametrize("place", ["after", "before"])
def test_a_run_that_is_to_go_on_from_none_never_begins_and_its_thread_goes_on(place: str) -> None:
    async def main() -> None:
        async with world(echo()) as runtime:
            await ask(runtime, "a", thread="t1")
            nowhere = runtime.start(ANSWERING, "x", run_id="r_x", thread="t1", **{place: "r_nobody's"})  # type: ignore[call-overload]
            behind = runtime.start(ANSWERING, "b", thread="t1")
            with pytest.raises(SettingInvalid, match=f'{place}="r_nobody\'s": the journal has no run'):
                await nowhere.answer()
            assert said((await behind.answer()).messages) == "a A b B"
            assert list(await runtime.journal.read("r_x")) == []

    run_virtual(main())


def test_a_run_goes_on_only_from_one_that_has_ended_and_may_begin_before_one_that_has_not() -> None:
    async def main() -> None:
        async with world(echo(pause=5.0)) as runtime:
            await ask(runtime, "a", thread="t1")
            lives = runtime.start(ANSWERING, "b", thread="t1", run_id="r_b")
            await asyncio.sleep(1)
            with pytest.raises(SettingInvalid, match='after="r_b": that run has not ended'):
                await ask(runtime, "x", thread="t2", after="r_b")
            assert await ask(runtime, "y", thread="t2", before="r_b") == "a A y Y"
            waits = runtime.start(ANSWERING, "z", thread="t1", after="r_b")  # in its own thread it comes in its turn
            assert said((await waits.answer()).messages) == "a A b B z Z"
            await lives.answer()

    run_virtual(main())


def test_branches_outlive_the_process(tmp_path: Path) -> None:
    async def session(*questions: tuple[str, dict[str, str]]) -> list[str]:
        journal = f"sqlite:{tmp_path / 'j.db'}"
        async with Runtime(providers=[echo().provider("openai")], journal=journal) as runtime:
            return [await ask(runtime, question, **options) for question, options in questions]

    asyncio.run(session(("a", {"thread": "t1"}), ("b", {"thread": "t1"})))
    asyncio.run(session(("x", {"thread": "t2", "before": "r_b"}), ("c", {"thread": "t1", "after": "r_a"})))
    assert asyncio.run(session(("y", {"thread": "t2"}), ("d", {"thread": "t1"}))) == ["a A x X y Y", "a A c C d D"]


# ---- what a turn costs -----------------------------------------------------------------------------


class Counting(MemoryJournal):
    """Counts the runs that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read_runs: list[str] = []

    async def read(self, run_id: str, after: int = 0) -> Sequence[Fact]:
        facts = await super().read(run_id, after)
        if facts:  # each run looks first whether its own id is taken
            self.read_runs.append(run_id)
        return facts


def test_a_turn_reads_the_run_before_it_and_no_other() -> None:
    async def main() -> None:
        journal = Counting()
        async with world(echo(), journal=journal) as runtime:
            for number in range(100):
                answer = await runtime.start(ANSWERING, str(number), thread="t1", run_id=f"r{number}").answer()
            assert len(answer.messages) == 200
            assert journal.read_runs == [f"r{number}" for number in range(99)]
        async with world(echo(), journal=journal) as runtime:
            journal.read_runs.clear()
            await runtime.start(ANSWERING, "and", thread="t1").answer()
            await runtime.start(ANSWERING, "and", thread="t1").answer()
            assert len(journal.read_runs) == 101

    run_virtual(main())


# ---- runs that leave the line ----------------------------------------------------------------------


def test_runs_that_are_left_in_line_are_resumed_as_the_chain_they_stood_in() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        async with Runtime(
            providers=[echo(pause=5.0).provider("openai")], journal=journal, on_exit="suspend"
        ) as runtime:
            for question in ("a", "b", "c"):
                runtime.start(ANSWERING, question, thread="t1", run_id=f"r_{question}")
            await asyncio.sleep(1)
        async with world(echo(), journal=journal) as runtime:
            assert [await previous(runtime, f"r_{one}") for one in "abc"] == [None, "r_a", "r_b"]
            runs = [await runtime.resume(one.run_id, ANSWERING) for one in await runtime.unfinished()]
            answers = [said((await run.answer()).messages) for run in runs]
            assert answers == ["a A", "a A b B", "a A b B c C"]
            assert await ask(runtime, "d", thread="t1") == "a A b B c C d D"

    run_virtual(main())


def test_a_run_that_is_cancelled_in_line_cuts_nobody_off_from_what_was_before() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        async with world(echo(pause=5.0), journal=journal) as runtime:
            await ask(runtime, "a", thread="t1")
            second, third, fourth = [runtime.start(ANSWERING, one, thread="t1", run_id=f"r_{one}") for one in "bcd"]
            await asyncio.sleep(1)
            await fourth.stop()
            await third.answer()
            assert said((await second.answer()).messages) == "a A b B"
        async with world(echo(), journal=journal) as runtime:
            assert await ask(runtime, "e", thread="t1") == "a A b B c C e E"
            assert [await previous(runtime, f"r_{one}") for one in "abcde"] == [None, "r_a", "r_b", "r_b", "r_c"]

    run_virtual(main())


def test_a_run_that_leaves_its_line_names_one_that_has_begun() -> None:
    async def main() -> None:
        async with world(echo(pause=5.0)) as runtime:
            await ask(runtime, "a", thread="t1")
            runtime.start(ANSWERING, "b", thread="t1", run_id="r_b")
            nowhere = runtime.start(ANSWERING, "x", thread="t1", run_id="r_x", after="r_nobody's")
            cancelled = runtime.start(ANSWERING, "c", thread="t1", run_id="r_c")
            await asyncio.sleep(1)
            await cancelled.stop()  # it stands behind r_x, which cannot begin but does not know that yet
            assert await previous(runtime, "r_c") == "r_b"
            with pytest.raises(SettingInvalid):
                await nowhere.answer()
            assert await ask(runtime, "d", thread="t1") == "a A b B c d D"

    run_virtual(main())


def test_a_run_whose_id_is_taken_is_nobody_s_past() -> None:
    async def main() -> None:
        async with world(echo(pause=5.0)) as runtime:
            await ask(runtime, "secret", thread="t2")
            runtime.start(ANSWERING, "a", thread="t1", run_id="r_a")
            taken = runtime.start(ANSWERING, "b", thread="t1", run_id="r_secret")
            cancelled = runtime.start(ANSWERING, "c", thread="t1", run_id="r_c")
            await asyncio.sleep(1)
            await cancelled.stop()
            with pytest.raises(SettingInvalid, match="has a run of this id"):
                await taken.answer()
            assert await ask(runtime, "d", thread="t1") == "a A c d D"

    run_virtual(main())


# ---- lists -----------------------------------------------------------------------------------------


def test_threads_are_listed_and_read() -> None:
    async def main() -> None:
        calls = reply(calls=[call("wait", call_id="c1", seconds=60)])
        async with world(ScriptedModel([reply("One."), reply("Two."), calls])) as runtime:
            await runtime.start(CLERK, "How many?", thread="t1", principal="ada").answer()
            await runtime.start(CLERK, "And now?", thread="t2", principal="bob").answer()
            lives = runtime.start(CLERK, "Wait.", thread="t1", principal="ada")
            await asyncio.sleep(1)
            rows = await runtime.threads.list()
            assert [(row.thread, row.principal, row.runs, row.unfinished, row.asked) for row in rows] == [
                ("t1", "ada", 2, 1, "How many?"),
                ("t2", "bob", 1, 0, "And now?"),
            ]
            assert rows[0].last == lives.run_id
            assert [row.thread for row in await runtime.threads.list(principal="bob")] == ["t2"]
            assert [row.thread for row in await runtime.threads.list(limit=1)] == ["t1"]
            with pytest.raises(SettingInvalid, match="limit=-1"):
                await runtime.threads.list(limit=-1)
            messages = await runtime.threads.messages("t1")
            assert_valid(messages)
            assert said(messages[:3]) == "How many? One. Wait."
            assert await runtime.threads.messages("nobody's") == ()
            await lives.stop()

    run_virtual(main())


# ---- deleting --------------------------------------------------------------------------------------


def test_a_thread_that_is_deleted_is_forgotten_and_its_name_is_free() -> None:
    async def main() -> None:
        async with world(echo()) as runtime:
            for question, thread in (("a", "t1"), ("x", "t2"), ("b", "t1")):
                await ask(runtime, question, thread=thread)
            assert await runtime.threads.delete("t1") == 2
            assert [row.thread for row in await runtime.threads.list()] == ["t2"]
            assert list(await runtime.journal.read("r_a")) == []
            with pytest.raises(SettingInvalid, match='after="r_a": the journal has no run'):
                await ask(runtime, "y", after="r_a")
            await runtime.start(ANSWERING, "c", thread="t1", run_id="r_a").answer()
            assert await ask(runtime, "d", thread="t1") == "c C d D"
            assert await runtime.threads.delete("nobody's") == 0

    run_virtual(main())


def test_a_thread_is_not_deleted_while_a_run_of_it_lives_or_another_thread_goes_on_from_it() -> None:
    async def main() -> None:
        async with world(echo(pause=5.0)) as runtime:
            await ask(runtime, "a", thread="t1")
            await ask(runtime, "x", thread="t2", after="r_a")
            await ask(runtime, "n", after="r_x")
            with pytest.raises(SettingInvalid, match='"r_a" cannot be deleted: run "r_x" of thread "t2"'):
                await runtime.threads.delete("t1")
            with pytest.raises(SettingInvalid, match='"r_x" cannot be deleted: run "r_n" without a thread'):
                await runtime.threads.delete("t1", "t2")
            lives = runtime.start(ANSWERING, "b", thread="t1", run_id="r_b")
            alone = runtime.start(ANSWERING, "m", run_id="r_m")
            with pytest.raises(SettingInvalid, match='"r_b" cannot be deleted: it lives here; cancel it first'):
                await runtime.threads.delete("t1", "t2", runs=["r_n"])
            with pytest.raises(SettingInvalid, match='"r_m" cannot be deleted: it lives here'):
                await runtime.threads.delete(runs=["r_n", "r_m"])
            await lives.answer()
            await alone.answer()
            assert await runtime.threads.delete("t1", "t2", runs=["r_n"]) == 4
            assert [row.run_id for row in await runtime.journal.runs()] == ["r_m"]

    run_virtual(main())


class Slow(MemoryJournal):
    """Takes a second to delete."""

    async def delete(self, run_ids: Any) -> None:
        await asyncio.sleep(1)
        await super().delete(run_ids)


def test_a_run_that_comes_while_its_thread_is_deleted_begins_behind_that_and_knows_nothing() -> None:
    async def main() -> None:
        async with world(echo(), journal=Slow()) as runtime:
            await ask(runtime, "a", thread="t1")

            async def come() -> Answer:
                await asyncio.sleep(0.5)
                return await runtime.start(ANSWERING, "b", thread="t1").answer()

            async with asyncio.TaskGroup() as group:
                deleting = group.create_task(runtime.threads.delete("t1"))
                comes = group.create_task(come())
            assert deleting.result() == 1
            assert said(comes.result().messages) == "b B"

    run_virtual(main())


def test_a_delete_that_fails_leaves_the_thread_as_it_was() -> None:
    class Full(MemoryJournal):
        async def delete(self, run_ids: Any) -> None:
            raise JournalFailed("disk full")

    async def main() -> None:
        async with world(echo(), journal=Full()) as runtime:
            await ask(runtime, "a", thread="t1")
            with pytest.raises(JournalFailed, match="disk full"):
                await runtime.threads.delete("t1")
            assert await ask(runtime, "b", thread="t1") == "a A b B"

    run_virtual(main())


def test_a_run_that_another_process_carries_fails_there_when_its_thread_is_deleted() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        async with world(echo(pause=5.0), journal=journal) as runtime, Runtime(journal=journal) as other:
            lives = runtime.start(ANSWERING, "a", thread="t1")
            await asyncio.sleep(1)
            assert await other.threads.delete("t1") == 1
            with pytest.raises(JournalFailed, match="was deleted since"):
                await lives.answer()
            assert list(await journal.runs()) == []

    run_virtual(main())


def test_a_tool_cannot_branch_off_from_the_run_that_it_is_called_by() -> None:
    async def main() -> None:
        async with world(ScriptedModel([reply(calls=[call("wait", seconds=5)]), reply("done")])) as runtime:
            outer = runtime.start(CLERK, "go", thread="t1", run_id="r_outer")
            await asyncio.sleep(1)
            with pytest.raises(SettingInvalid, match="has not ended"):
                await runtime.start(CLERK, "inner", after="r_outer").answer()
            await outer.stop()
            with pytest.raises(RunCancelled):
                await outer.answer()

    run_virtual(main())
