"""Runs whose journal is slow, loses facts or falls ill: nobody hangs, nothing is done or written upon a lost fact."""

from __future__ import annotations

import asyncio
import re
from asyncio import Future
from collections.abc import Callable
from typing import Any

import pytest

from agentrt import Agent, Runtime, run, stream, tool
from agentrt.errors import AgentrtError, JournalFailed
from agentrt.events import (
    AnyEvent,
    CancelAsked,
    Fact,
    ModelReplied,
    RunEnded,
    RunStarted,
    ToolProgress,
    ToolReturned,
    ToolStarted,
)
from agentrt.journal.memory import MemoryJournal
from agentrt.runs.owner import Run
from agentrt.testing import ScriptedModel, assert_no_leaks, call, reply, run_virtual
from agentrt.toolbox.context import Context
from tests.runs.world import CLERK, IllJournal, LateJournal, clerk, kinds, lets_go, says, says_nothing, wait, world

WHOLE: list[type[Any]] = [RunStarted, ModelReplied, ToolStarted, ToolReturned, ModelReplied, RunEnded]


def full() -> Future[None]:
    return says(JournalFailed("disk full"))


def broken() -> Future[None]:
    return says(OSError("disk on fire"))


def raises() -> Future[None]:
    raise ValueError("cannot be encoded")


async def shown(running: Run) -> tuple[list[AnyEvent], Exception | None]:
    """All that a reader sees, and the error in which that ends."""
    seen: list[AnyEvent] = []
    try:
        async for event in running.events():
            seen.append(event)  # noqa: PERF401 - what came before the error counts
    except (JournalFailed, OSError) as error:
        return seen, error
    return seen, None


@pytest.mark.parametrize("loses", [full, broken, lets_go])
@pytest.mark.parametrize("kind", [RunStarted, ModelReplied, ToolStarted, ToolReturned, RunEnded])
def test_nothing_is_done_upon_a_fact_that_could_not_be_kept(kind: type[Any], loses: Callable[[], Future[None]]) -> None:
    called: list[str] = []

    @tool
    async def pay() -> str:
        """Pay."""
        called.append("paid")
        return "paid"

    agent: Agent[Any] = clerk(pay)
    model = ScriptedModel([reply(calls=[call("pay")]), reply("done")])
    why = "disk full|disk on fire|the journal let go of a fact"

    async def main() -> None:
        journal = IllJournal(kind, loses)
        async with world(model, journal=journal) as runtime:
            running = runtime.start(agent, "Pay.")
            with pytest.raises(JournalFailed, match=why):
                await running.answer()
            seen, error = await shown(running)
            assert re.search(why, str(error))
        kept = kinds(await journal.read(running.run_id))
        assert kept == WHOLE[: WHOLE.index(kind)]
        assert kinds(event for event in seen if isinstance(event, Fact)) == kept
        assert called == (["paid"] if kind in (ToolReturned, RunEnded) else [])

    run_virtual(main())


@pytest.mark.parametrize("loses", [full, broken, lets_go, raises])
@pytest.mark.parametrize("kind", [RunStarted, ModelReplied, ToolStarted, ToolReturned, RunEnded])
def test_a_journal_that_loses_a_fact_of_one_run_ends_no_other(
    kind: type[Any], loses: Callable[[], Future[None]]
) -> None:
    def script(asked: dict[str, Any]) -> Any:
        return reply("done", pause=1.0) if len(asked["messages"]) > 1 else reply(calls=[call("wait", seconds=1)])

    async def main() -> None:
        async with world(ScriptedModel(script), journal=IllJournal(kind, loses)) as runtime:
            victim, other = [runtime.start(CLERK, "Wait.") for _ in range(2)]
            with pytest.raises(AgentrtError):
                await victim.answer()
            assert (await other.answer()).output == "done"
            assert (await run(CLERK, "Wait.")).output == "done"

    run_virtual(main())


def test_a_cancel_that_cannot_be_kept_stops_the_run_all_the_same() -> None:
    model = ScriptedModel([reply("a long story", pieces=12, pause=1.0)])

    async def main() -> None:
        journal = IllJournal(CancelAsked, broken)
        async with world(model, journal=journal) as runtime:
            running = runtime.start(CLERK, "Tell.")
            await asyncio.sleep(3.5)
            await running.stop()
            assert model.cut == 1
            with pytest.raises(JournalFailed, match="disk on fire"):
                await running.answer()
        assert kinds(await journal.read(running.run_id)) == [RunStarted]

    run_virtual(main())


def test_a_run_that_the_journal_does_not_take_has_no_answer_not_an_empty_one() -> None:
    class Locked(MemoryJournal):
        async def take(self, run_id: str) -> int:
            raise JournalFailed("the file is locked")

    async def main() -> None:
        async with world(ScriptedModel([reply("done")]), journal=Locked()):
            with pytest.raises(JournalFailed, match="the file is locked"):
                await run(CLERK, "Try.")

    run_virtual(main())


def test_nothing_is_written_after_a_fact_whose_loss_nobody_waited_to_hear() -> None:
    @tool
    async def slow_to_stop() -> str:
        """Takes a while to clean up."""
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1.5)
        return "never"

    model = ScriptedModel([reply(calls=[call("wait", seconds=1), call("slow_to_stop")])])

    async def main() -> None:
        journal = LateJournal(1.0, loses=ToolReturned)
        async with world(model, journal=journal) as runtime:
            running = runtime.start(clerk(wait, slow_to_stop), "Wait.")
            await asyncio.sleep(4.5)  # three facts are kept, a second each; the result of `wait`, due at 4, is not yet
            assert len(running.state.landed) == 1
            running.cancel()
            with pytest.raises(JournalFailed, match="disk full"):
                await running.answer()
        order: list[type[Any]] = [RunStarted, ModelReplied, ToolStarted, ToolStarted, CancelAsked]
        assert kinds(await journal.read(running.run_id)) == order

    run_virtual(main())


def test_what_a_tool_says_behind_a_lost_fact_is_not_shown() -> None:
    @tool
    async def chatty(ctx: Context[None]) -> str:
        """Talks while it cleans up."""
        try:
            await asyncio.sleep(100)
        finally:
            await ctx.emit("cleaning up")
        return "never"

    model = ScriptedModel([reply(calls=[call("wait", seconds=1), call("chatty")])])

    async def main() -> None:
        async with world(model, journal=IllJournal(ToolReturned, full)) as runtime:
            running = runtime.start(clerk(wait, chatty), "Wait.")
            await running.wait()
            seen, error = await shown(running)
            assert isinstance(error, JournalFailed)
        assert [event for event in seen if isinstance(event, ToolProgress | ToolReturned)] == []

    run_virtual(main())


def test_a_cancel_after_the_end_writes_nothing_though_the_end_is_not_yet_kept() -> None:
    async def main() -> None:
        journal = LateJournal(1.0)
        async with world(ScriptedModel([reply("done")]), journal=journal) as runtime:
            running = runtime.start(CLERK, "Try.")
            await asyncio.sleep(2.5)  # two facts are kept, a second each; the last is not yet
            assert running.state.ended is not None
            running.cancel("too late")
            assert (await running.answer()).output == "done"
        assert kinds(await journal.read(running.run_id)) == [RunStarted, ModelReplied, RunEnded]

    run_virtual(main())


def test_leaving_a_stream_at_its_last_fact_writes_nothing_more() -> None:
    async def main() -> None:
        journal = LateJournal(1.0)
        async with world(ScriptedModel([reply("done")]), journal=journal):
            async with stream(CLERK, "Try.") as running:
                async for event in running:
                    if isinstance(event, RunEnded):
                        break
        assert kinds(await journal.read(running.run_id)) == [RunStarted, ModelReplied, RunEnded]

    run_virtual(main())


@pytest.mark.parametrize(
    "journal", [lambda: LateJournal(100.0), lambda: IllJournal(RunEnded, says_nothing)], ids=["slow", "silent"]
)
def test_who_awaits_the_answer_of_a_run_given_up_while_its_end_was_kept_does_not_hang(
    journal: Callable[[], MemoryJournal],
) -> None:
    model = ScriptedModel([reply("a long story", pieces=12, pause=1.0)])

    async def main() -> None:
        runs: list[Any] = []

        async def life() -> None:
            async with Runtime(providers=[model.provider("openai")], journal=journal()) as runtime:
                runs.append(runtime.start(CLERK, "Tell."))
                await asyncio.sleep(3.5)

        async with assert_no_leaks():
            living = asyncio.get_running_loop().create_task(life())
            await asyncio.sleep(5)  # it is leaving, and its run's last fact is on its way
            assert not living.done()
            living.cancel()
            with pytest.raises(asyncio.CancelledError):
                await living
            async with asyncio.timeout(1):
                with pytest.raises(AgentrtError):
                    await runs[0].answer()

    run_virtual(main())


def test_an_owner_that_is_cancelled_before_its_first_step_keeps_nobody_waiting() -> None:
    async def main() -> None:
        async with world(ScriptedModel([reply("done")])) as runtime:
            running = runtime.start(CLERK, "Try.", thread="t1")
            (owner,) = [task for task in asyncio.all_tasks() if task.get_name() == f"owner {running.run_id}"]
            owner.cancel()
            with pytest.raises(JournalFailed, match="given up before its end could be kept"):
                await running.answer()
            assert [event async for event in running.events()] == []
            assert (await run(CLERK, "Again.", thread="t1")).output == "done"

    run_virtual(main())
