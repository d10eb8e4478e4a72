"""A run whose id its starter chose: it is new, or it is not begun, and the run that has the id goes on untouched."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from agentrt.errors import JournalFailed, RunCancelled, SettingInvalid
from agentrt.events import Fact, RunStarted
from agentrt.journal.memory import MemoryJournal
from agentrt.testing import ScriptedModel, call, reply, run_virtual
from tests.runs.world import CLERK, assert_whole, world

CALLS = reply(calls=[call("wait", seconds=5)])


def test_a_run_has_the_id_and_the_principal_that_it_was_given() -> None:
    async def main() -> None:
        async with world(ScriptedModel([reply("done")])) as runtime:
            run = runtime.start(CLERK, "Go.", run_id="ada/1", principal="ada")
            assert (run.run_id, run.epoch, run.head) == ("ada/1", 0, 0)
            assert runtime.find("ada/1") is run
            assert (await run.answer()).run_id == "ada/1"
            assert (run.epoch, runtime.find("ada/1")) == (1, None)
            started = (await runtime.journal.read("ada/1"))[0]
            assert isinstance(started, RunStarted)
            assert (started.run_id, started.principal, started.budget) == ("ada/1", "ada", None)

    run_virtual(main())


def test_an_id_that_is_empty_or_lives_here_is_refused_at_once() -> None:
    async def main() -> None:
        async with world(ScriptedModel([reply("done")])) as runtime:
            with pytest.raises(SettingInvalid, match=r'run_id="": expected a name of at least one character'):
                runtime.start(CLERK, "Go.", run_id="")
            run = runtime.start(CLERK, "Go.", run_id="r1")
            with pytest.raises(SettingInvalid, match='run_id="r1": a run of this id lives in this Runtime'):
                runtime.start(CLERK, "Go.", run_id="r1")
            assert (await run.answer()).output == "done"

    run_virtual(main())


def test_an_id_that_the_journal_has_is_refused_by_the_answer_and_its_owner_goes_on() -> None:
    model = ScriptedModel([CALLS, reply("done")])

    async def main() -> None:
        journal = MemoryJournal()
        async with world(model, journal=journal) as there, world(model, journal=journal) as here:
            run = there.start(CLERK, "Go.", run_id="r1")
            await asyncio.sleep(1)
            while_it_lives = here.start(CLERK, "Mine!", run_id="r1", thread="t1")
            with pytest.raises(SettingInvalid, match="the journal has a run of this id; choose another one"):
                await while_it_lives.answer()
            assert (await run.answer()).output == "done"
            left = await journal.read("r1")
            once_it_has_ended = here.start(CLERK, "Mine!", run_id="r1")
            once_it_has_ended.cancel()
            for refused in (while_it_lives, once_it_has_ended):
                with pytest.raises(SettingInvalid, match="the journal has a run of this id"):
                    await refused.answer()
                with pytest.raises(SettingInvalid, match="the journal has a run of this id"):
                    await anext(refused.events())
        assert await journal.read("r1") == left
        assert_whole(left)

    run_virtual(main())


def test_an_id_whose_owner_died_before_its_first_fact_is_still_free() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        await journal.take("r1")
        async with world(ScriptedModel([reply("done")]), journal=journal) as runtime:
            run = runtime.start(CLERK, "Go.", run_id="r1")
            assert (await run.answer()).output == "done"
            assert run.epoch == 2

    run_virtual(main())


def test_a_run_that_is_cancelled_while_the_journal_takes_it_ends_as_cancelled() -> None:
    class Slow(MemoryJournal):
        async def take(self, run_id: str) -> int:
            epoch = await super().take(run_id)
            await asyncio.sleep(1)
            return epoch

    async def main() -> None:
        journal = Slow()
        async with world(ScriptedModel([]), journal=journal) as runtime:
            run = runtime.start(CLERK, "Go.")
            await asyncio.sleep(0.5)
            run.cancel("never mind")
            with pytest.raises(RunCancelled, match="never mind"):
                await run.answer()
            assert_whole(await journal.read(run.run_id))

    run_virtual(main())


def test_of_two_owners_who_begin_one_id_at_once_not_both_do() -> None:
    class Slow(MemoryJournal):
        async def read(self, run_id: str, after: int = 0) -> Sequence[Fact]:
            facts = await super().read(run_id, after)
            await asyncio.sleep(1)
            return facts

    model = ScriptedModel([CALLS, CALLS])

    async def main(pause: float) -> None:
        journal = Slow()
        async with world(model, journal=journal) as one, world(model, journal=journal) as other:
            runs = [one.start(CLERK, "Go.", run_id="r1")]
            await asyncio.sleep(pause)
            runs.append(other.start(CLERK, "Go.", run_id="r1"))
            with pytest.raises(JournalFailed, match="taken over"):
                await runs[0].answer()
            with pytest.raises(SettingInvalid, match="the journal has a run of this id"):
                await runs[1].answer()
            starts = [fact for fact in await journal.read("r1") if isinstance(fact, RunStarted)]
            assert len(starts) == 1

    for pause in (0.0, 0.5):
        run_virtual(main(pause))
