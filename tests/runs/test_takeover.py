"""Who may take a run over, what that does to its owner, and what a resumed run shows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from agentrt import Agent, Runtime
from agentrt.errors import JournalFailed, KeyMissing, RunCancelled, SettingInvalid
from agentrt.events import Fact, ModelReplied, RunEnded, RunResumed, RunStarted, TextDelta, ToolReturned, ToolStarted
from agentrt.journal.journal import RunRow
from agentrt.journal.memory import MemoryJournal
from agentrt.testing import ScriptedModel, call, reply, run_virtual
from tests.runs.world import CLERK, assert_whole, kinds, left_behind, world

TEXT = reply("a long story", pieces=12, pause=1.0)
CALLS = reply(calls=[call("wait", seconds=1), call("wait", seconds=60)])


class Slow(MemoryJournal):
    """Takes a second to read, and one to take."""

    async def read(self, run_id: str, after: int = 0) -> Sequence[Fact]:
        facts = await super().read(run_id, after)
        await asyncio.sleep(1)
        return facts

    async def take(self, run_id: str) -> int:
        await asyncio.sleep(1)
        return await super().take(run_id)


async def cut_off(at: float, *turns: object, thread: str | None = None, run_id: str = "r1") -> Sequence[Fact]:
    """What is left of a run whose process died at that second."""
    journal = MemoryJournal()
    async with world(ScriptedModel(list(turns)), journal=journal) as runtime:  # type: ignore[arg-type]
        run = runtime.start(CLERK, "Go.", run_id=run_id, thread=thread)
        await asyncio.sleep(at)
        left = await journal.read(run_id)
        await run.stop()
    return left


def test_the_feed_of_a_resumed_run_begins_with_its_old_facts() -> None:
    async def main() -> None:
        left = await cut_off(3.5, reply("Let me see.", calls=[call("wait", seconds=60)], pieces=2), TEXT)
        assert kinds(left) == [RunStarted, ModelReplied, ToolStarted]
        assert [fact.seq for fact in left][1] > 2  # in between there were passing events
        async with world(ScriptedModel([TEXT]), journal=await left_behind(left)) as runtime:
            assert runtime.find("r1") is None
            run = await runtime.resume("r1", CLERK)
            assert runtime.find("r1") is run
            assert run.events().ready() == left
            assert (run.epoch, run.head) == (2, left[-1].seq)
            assert run.state.calls == left[1].message.tool_calls  # type: ignore[union-attr]
            await run.answer()
            assert runtime.find("r1") is None
            events = [event async for event in run.events()]
            assert events[:3] == left
            assert [(event.epoch, event.seq) for event in events[3:]] == [
                (2, left[-1].seq + 1 + place) for place in range(len(events) - 3)
            ]
            assert isinstance(events[3], RunResumed)
            assert run.head == events[-1].seq
            gap = left[1].seq - 1  # the number of a passing event that went with its process
            for after in (gap, left[1].seq, left[2].seq, run.head):
                assert [event async for event in run.events(after)] == [one for one in events if one.seq > after]

    run_virtual(main())


def test_an_owner_whose_run_is_taken_over_fails_and_writes_nothing_more() -> None:
    model = ScriptedModel([CALLS, reply("done")])

    async def main() -> None:
        journal = MemoryJournal()
        async with world(model, journal=journal) as old, world(model, journal=journal) as new:
            run = old.start(CLERK, "Go.", thread="t1")
            await asyncio.sleep(0.5)
            (started,) = await new.unfinished()
            assert await old.unfinished() == []
            again = await new.resume(started.run_id, CLERK)
            assert again.run_id == run.run_id
            answer = await again.answer()
            with pytest.raises(JournalFailed, match="belongs to epoch 2, not 1: it was taken over"):
                await run.answer()
            with pytest.raises(JournalFailed, match="taken over"):
                [event async for event in run.events()]
        facts = await journal.read(run.run_id)
        assert_whole(facts)
        assert answer.output == "done"
        assert {fact.epoch for fact in facts[facts.index(again.events().ready()[4]) :] if isinstance(fact, Fact)} == {2}

    run_virtual(main())


@pytest.mark.parametrize("when", ["it is not there", "it has ended", "it lives here", "it is another agent's"])
def test_a_run_that_cannot_be_resumed_stays_with_its_owner(when: str) -> None:
    model = ScriptedModel([CALLS, reply("done"), reply("done")])

    async def main() -> None:
        journal = MemoryJournal()
        async with world(model, journal=journal) as runtime, world(model, journal=journal) as other:
            run = runtime.start(CLERK, "Go.")
            await asyncio.sleep(0.5)
            agent, at = CLERK, other
            if when == "it is not there":
                complaint, run_id = 'the journal has no run "nobody"', "nobody"
            elif when == "it has ended":
                await run.answer()
                complaint, run_id = r"has ended \(success\): there is nothing to resume", run.run_id
            elif when == "it lives here":
                complaint, run_id, at = "lives in this Runtime", run.run_id, runtime
            else:
                agent = Agent(name="boss", model="openai:scripted")
                complaint, run_id = 'is of agent "clerk"; the agent given is "boss"', run.run_id
            with pytest.raises(SettingInvalid, match=complaint):
                await at.resume(run_id, agent)
            assert (await run.answer()).output == "done"
            assert (await other.start(CLERK, "Go.", run_id="nobody").answer()).output == "done"  # it was not taken

    run_virtual(main())


def test_two_who_resume_a_run_at_once_do_not_take_it_from_each_other() -> None:
    async def main() -> None:
        left = await cut_off(0.5, CALLS)
        journal = await left_behind(left, journal=Slow())
        async with world(ScriptedModel([reply("done")]), journal=journal) as runtime:
            async with asyncio.TaskGroup() as group:
                first = group.create_task(runtime.resume("r1", CLERK))
                await asyncio.sleep(0.5)
                with pytest.raises(SettingInvalid, match="lives in this Runtime"):
                    await runtime.resume("r1", CLERK)
                with pytest.raises(SettingInvalid, match="lives in this Runtime"):
                    runtime.start(CLERK, "Go.", run_id="r1")
            run = first.result()
            assert (await run.answer()).output == "done"
            assert run.epoch == 2

    run_virtual(main())


def test_a_run_that_ends_while_it_is_being_taken_is_not_resumed() -> None:
    async def main() -> None:
        journal = await left_behind(await cut_off(0.5, CALLS), journal=Slow())
        async with world(ScriptedModel([]), journal=journal) as runtime:
            async with asyncio.TaskGroup() as group:
                resuming = group.create_task(refused(runtime, "has ended"))
                await asyncio.sleep(1.5)
                await journal.append("r1", 1, RunEnded(outcome="success", epoch=1, seq=99))
            assert resuming.done()
        assert kinds(await journal.read("r1"))[-1] is RunEnded

    async def refused(runtime: Runtime, why: str) -> None:
        with pytest.raises(SettingInvalid, match=why):
            await runtime.resume("r1", CLERK)

    run_virtual(main())


def test_nothing_is_resumed_in_a_runtime_that_is_left_or_cannot_ask_the_agents_model() -> None:
    async def main() -> None:
        left = await cut_off(0.5, CALLS)
        journal = await left_behind(left, journal=Slow())
        runtime = Runtime(providers=[ScriptedModel([]).provider("openai")], journal=journal, environ={})
        with pytest.raises(SettingInvalid, match="not entered"):
            await runtime.resume("r1", CLERK)
        async with Runtime(journal=journal, environ={}) as without:
            with pytest.raises(KeyMissing):
                await without.resume("r1", CLERK)

        async def too_late() -> None:
            with pytest.raises(SettingInvalid, match="left"):
                await runtime.resume("r1", CLERK)

        async with asyncio.TaskGroup() as group:
            async with runtime:
                group.create_task(too_late())
                await asyncio.sleep(1.5)
        async with world(ScriptedModel([reply("done")]), journal=journal) as later:
            assert (await (await later.resume("r1", CLERK)).answer()).output == "done"

    run_virtual(main())


def test_a_resumed_run_that_is_cancelled_before_its_first_step_is_closed_all_the_same() -> None:
    async def main() -> None:
        journal = await left_behind(await cut_off(1.5, CALLS))
        async with world(ScriptedModel([]), journal=journal) as runtime:
            run = await runtime.resume("r1", CLERK)
            run.cancel("never mind")
            with pytest.raises(RunCancelled, match="never mind"):
                await run.answer()
        facts = await journal.read("r1")
        assert kinds(facts)[-3:] == [RunResumed, ToolReturned, RunEnded]
        assert isinstance(facts[-2], ToolReturned)
        assert facts[-2].code == "outcome_unknown"  # that it was stopped is not known of a call nobody saw end

    run_virtual(main())


def test_unfinished_runs_are_told_in_the_order_of_their_start_and_without_those_that_live_here_or_ended(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Torn(MemoryJournal):
        async def read(self, run_id: str, after: int = 0) -> Sequence[Fact]:
            if run_id == "torn":
                raise JournalFailed("fact 2 of run torn cannot be read")
            return await super().read(run_id, after)

        async def runs(self, *, thread: str | None = None, unfinished: bool = False) -> Sequence[RunRow]:
            return await super().runs(thread=thread)  # as it was when some had not ended yet

    async def main() -> None:
        runs = [await cut_off(0.5, CALLS, run_id=run_id) for run_id in ("z", "torn", "a", "m")]
        ended = [*await cut_off(5, reply("done"), run_id="b")]
        journal = await left_behind(*runs, ended, journal=Torn())
        async with world(ScriptedModel([TEXT, reply("done")]), journal=journal) as runtime:
            run = await runtime.resume("m", CLERK)
            fresh = runtime.start(CLERK, "Go.")
            assert [(one.run_id, one.agent) for one in await runtime.unfinished()] == [("z", "clerk"), ("a", "clerk")]
            await run.stop()
            await fresh.answer()
            assert [one.run_id for one in await runtime.unfinished()] == ["z", "a"]

    with caplog.at_level(logging.WARNING):
        run_virtual(main())
    assert "run torn is unfinished and cannot be read" in caplog.text


def test_who_watches_a_resumed_run_from_its_head_misses_nothing_and_sees_nothing_twice() -> None:
    async def main() -> None:
        left = await cut_off(5.5, TEXT)
        async with world(ScriptedModel([TEXT]), journal=await left_behind(left)) as runtime:
            run = await runtime.resume("r1", CLERK)
            events = [event async for event in run.events(run.head)]
            assert isinstance(events[0], RunResumed)
            text = "".join(event.text for event in events if isinstance(event, TextDelta))
            assert text == (await run.answer()).output == "a long story"

    run_virtual(main())
