"""Ending a run before its time: whatever is cut short, its conversation stays valid and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agentrt import Agent, Runtime, run, stream, tool
from agentrt.errors import JournalFailed, RunCancelled, RunFailed
from agentrt.events import CancelAsked, Fact, ModelReplied, RunEnded, RunStarted, TextDelta, ToolReturned, ToolStarted
from agentrt.journal.memory import MemoryJournal
from agentrt.messages import AssistantMessage, Message, ToolMessage
from agentrt.testing import ScriptedModel, assert_no_leaks, call, reply, run_virtual

LONG = reply("a long story", pieces=12, pause=1.0)


@tool
async def wait(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return f"waited {seconds}"


CLERK: Agent[Any] = Agent(name="clerk", model="openai:scripted", tools=[wait])


@asynccontextmanager
async def world(model: ScriptedModel, **settings: Any) -> AsyncIterator[Runtime]:
    async with assert_no_leaks(), Runtime(providers=[model.provider("openai")], **settings) as runtime:
        async with assert_no_leaks(runtime):
            yield runtime


def assert_valid(messages: tuple[Message, ...]) -> None:
    """Each call has exactly one result, behind it and before the next reply."""
    open_calls: list[str] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            open_calls.remove(message.call_id)
        else:
            assert not open_calls
            if isinstance(message, AssistantMessage):
                open_calls = [wanted.id for wanted in message.tool_calls]
    assert not open_calls


@pytest.mark.smoke
def test_a_cancel_in_mid_answer_keeps_the_text_that_was_shown() -> None:
    model = ScriptedModel([LONG, reply("Go on with what?")])

    async def main() -> None:
        async with world(model):
            shown = ""
            async with stream(CLERK, "Tell.", thread="t1") as running:
                async for event in running:
                    if isinstance(event, TextDelta):
                        shown += event.text
                        if len(shown) >= 5:
                            running.cancel("enough")
                with pytest.raises(RunCancelled, match="enough") as failed:
                    await running.answer()
            assert failed.value.answer.output == shown
            assert model.cut == 1
            answer = await run(CLERK, "Go on.", thread="t1")
        assert [m.content for m in answer.messages] == ["Tell.", shown, "Go on.", "Go on with what?"]

    run_virtual(main())


def test_a_cancel_while_tools_run_gives_every_call_a_result() -> None:
    model = ScriptedModel([reply(calls=[call("wait", seconds=1), call("wait", seconds=60), call("wait", seconds=90)])])

    async def main() -> None:
        async with world(model) as runtime:
            running = runtime.start(CLERK, "Wait.")
            await asyncio.sleep(5)
            await running.stop("enough")
            with pytest.raises(RunCancelled) as failed:
                await running.answer()
            messages = failed.value.answer.messages
            assert_valid(messages)
            assert [m.content for m in messages if isinstance(m, ToolMessage)] == [
                "waited 1.0",
                "The call was stopped: enough.",
                "The call was stopped: enough.",
            ]
            facts = [event async for event in running.events() if not isinstance(event, TextDelta)]
            assert len([fact for fact in facts if isinstance(fact, RunEnded)]) == 1
            assert isinstance(facts[-1], RunEnded)

    run_virtual(main())


def test_a_run_may_be_cancelled_before_its_first_step() -> None:
    model = ScriptedModel([])

    async def main() -> None:
        async with world(model) as runtime:
            running = runtime.start(CLERK, "Wait.")
            running.cancel("never mind")
            with pytest.raises(RunCancelled, match="never mind"):
                await running.answer()
            facts = [type(event) async for event in running.events()]
        assert facts == [RunStarted, RunEnded]
        assert model.requests == []

    run_virtual(main())


def test_cancelling_who_awaits_run_cancels_the_run_and_sees_it_end() -> None:
    model = ScriptedModel([LONG])

    async def main() -> None:
        async with world(model):
            task = asyncio.get_running_loop().create_task(run(CLERK, "Tell."))
            await asyncio.sleep(3.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert model.cut == 1

    run_virtual(main())


def test_leaving_a_stream_early_cancels_its_run() -> None:
    model = ScriptedModel([LONG])

    async def main() -> None:
        async with world(model) as runtime:
            async with stream(CLERK, "Tell.") as running:
                async for event in running:
                    if isinstance(event, TextDelta):
                        break
            assert model.cut == 1
            with pytest.raises(RunCancelled):
                await running.answer()
            assert runtime.statistics()["openai"].in_flight == 0

    run_virtual(main())


def test_closing_the_runtime_ends_its_runs_in_order() -> None:
    model = ScriptedModel([LONG, LONG])

    async def main() -> None:
        journal = MemoryJournal()
        async with assert_no_leaks():
            async with Runtime(providers=[model.provider("openai")], journal=journal) as runtime:
                runs = [runtime.start(CLERK, "Tell.") for _ in range(2)]
                await asyncio.sleep(3.5)
            for one in runs:
                facts = await journal.read(one.run_id)
                assert [type(fact) for fact in facts] == [RunStarted, CancelAsked, ModelReplied, RunEnded]
                with pytest.raises(RunCancelled, match="the runtime closed"):
                    await one.answer()

    run_virtual(main())


def test_an_error_in_the_runtimes_block_is_raised_as_it_is() -> None:
    async def main() -> None:
        with pytest.raises(KeyError, match="mine"):  # noqa: PT012 - the block is what is tested
            async with Runtime(providers=[ScriptedModel([LONG]).provider("openai")]) as runtime:
                runtime.start(CLERK, "Tell.")
                await asyncio.sleep(2)
                raise KeyError("mine")

    run_virtual(main())


def test_a_tool_that_will_not_stop_is_named_and_holds_nobody() -> None:
    let_go = asyncio.Event()

    @tool
    async def stubborn() -> str:
        """Does not listen."""
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return "at last"

    agent: Agent[Any] = Agent(name="clerk", model="openai:scripted", tools=[stubborn])
    model = ScriptedModel([reply(calls=[call("stubborn")])])

    async def main() -> None:
        async with Runtime(providers=[model.provider("openai")], grace=0.5) as runtime:
            running = runtime.start(agent, "Try.")
            await asyncio.sleep(1)
            before = asyncio.get_running_loop().time()
            await running.stop()
            assert asyncio.get_running_loop().time() - before == pytest.approx(0.5, abs=1e-3)
            with pytest.raises(RunCancelled) as failed:
                await running.answer()
            assert_valid(failed.value.answer.messages)
            ended = [event async for event in running.events()][-1]
            assert isinstance(ended, RunEnded)
            assert ended.stragglers == ("stubborn",)
            assert list(runtime.stragglers) == ["stubborn"]
            let_go.set()
            await asyncio.sleep(0.1)
            assert not runtime.stragglers

    run_virtual(main())


class FailingJournal(MemoryJournal):
    """Cannot keep facts of one kind."""

    def __init__(self, kind: type[Any]) -> None:
        super().__init__()
        self._kind = kind

    def append(self, run_id: str, epoch: int, fact: Fact) -> asyncio.Future[None]:
        if isinstance(fact, self._kind):
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            failed.set_exception(JournalFailed("disk full"))
            return failed
        return super().append(run_id, epoch, fact)


@pytest.mark.parametrize("kind", [RunStarted, ModelReplied, ToolStarted, ToolReturned, RunEnded])
def test_nothing_is_done_upon_a_fact_that_could_not_be_kept(kind: type[Any]) -> None:
    called: list[str] = []

    @tool
    async def pay() -> str:
        """Pay."""
        called.append("paid")
        return "paid"

    agent: Agent[Any] = Agent(name="clerk", model="openai:scripted", tools=[pay])
    model = ScriptedModel([reply(calls=[call("pay")]), reply("done")])

    async def main() -> None:
        journal = FailingJournal(kind)
        async with world(model, journal=journal) as runtime:
            running = runtime.start(agent, "Pay.")
            with pytest.raises(JournalFailed, match="disk full"):
                await running.answer()
            with pytest.raises(JournalFailed, match="disk full"):
                [event async for event in running.events()]
        kept = [type(fact) for fact in await journal.read(running.run_id)]
        order: list[type[Any]] = [RunStarted, ModelReplied, ToolStarted, ToolReturned, ModelReplied, RunEnded]
        assert kept == order[: order.index(kind)]
        assert called == (["paid"] if kind in (ToolReturned, RunEnded) else [])

    run_virtual(main())


@pytest.mark.parametrize("steps", range(60))
def test_a_cancel_at_any_step_leaves_a_valid_conversation_and_nothing_else(steps: int) -> None:
    model = ScriptedModel([
        reply("Let me see.", calls=[call("wait", seconds=0.01), call("wait", seconds=0.02)], pieces=2, pause=0.01),
        reply("It is done.", pieces=3, pause=0.01),
    ])  # fmt: skip

    async def main() -> None:
        async with world(model) as runtime:
            running = runtime.start(CLERK, "Wait.")
            for _ in range(steps):
                await asyncio.sleep(0)
            running.cancel()
            try:
                answer = await running.answer()
            except RunFailed as failed:
                answer = failed.answer
            assert_valid(answer.messages)
            ended = [event async for event in running.events() if isinstance(event, RunEnded)]
            assert len(ended) == 1

    run_virtual(main())
