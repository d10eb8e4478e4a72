"""What people do with a runtime that it was not made for: it says so, or bears it; it never hangs."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import replace
from typing import Any

import pytest

from agentrt import Agent, Runtime, ToolError, run, stream, tool
from agentrt.errors import ProviderFailed, ProviderRefused, RunCancelled, RunFailed, SettingInvalid
from agentrt.events import TextDelta
from agentrt.messages import ToolMessage
from agentrt.testing import ScriptedModel, call, faults, reply, run_virtual


def agent(*tools: Any) -> Agent[Any]:
    return Agent(name="clerk", model="openai:scripted", tools=tools)


def results(messages: tuple[Any, ...]) -> list[str]:
    return [message.content for message in messages if isinstance(message, ToolMessage)]


def test_a_run_may_be_cancelled_from_another_thread() -> None:
    model = ScriptedModel([reply("a long story " * 100, pieces=1000, pause=0.05)])

    async def main() -> None:
        async with Runtime(providers=[model.provider("openai")]):
            async with stream(agent(), "Tell.") as running:
                async for event in running:
                    if isinstance(event, TextDelta):
                        threading.Thread(target=running.cancel, args=("enough",)).start()
                with pytest.raises(RunCancelled, match="enough"):
                    await running.answer()

    asyncio.run(main())
    assert model.cut == 1


def test_a_runtime_is_not_shared_between_event_loops() -> None:
    outer: list[Runtime] = []

    @tool
    def elsewhere() -> str:
        """Begins a loop of its own, as a plain function may."""

        async def inner() -> str:
            assert Runtime.current() is None
            with pytest.raises(SettingInvalid, match="another event loop"):
                await run(agent(), "Hello?", runtime=outer[0])
            return "refused"

        return asyncio.run(inner())

    model = ScriptedModel([reply(calls=[call("elsewhere")]), "done"])

    async def main() -> list[str]:
        async with Runtime(providers=[model.provider("openai")]) as runtime:
            outer.append(runtime)
            return results((await run(agent(elsewhere), "Try.")).messages)

    assert asyncio.run(main()) == ["refused"]


def test_a_run_inside_a_thread_may_not_wait_for_that_thread() -> None:
    @tool
    async def again(thread: str) -> str:
        """Asks once more."""
        return (await run(agent(), "Inside.", thread=thread)).output

    calls = [call("again", thread="t1"), call("again", thread="t2")]
    model = ScriptedModel([reply(calls=calls), "from another thread", "done"])

    async def main() -> list[str]:
        async with Runtime(providers=[model.provider("openai")]):
            return results((await run(agent(again), "Try.", thread="t1")).messages)

    refused, answered = run_virtual(main())
    assert 'inside of thread "t1" would wait for itself' in refused
    assert answered == "from another thread"


def test_a_tool_that_needs_a_thread_says_so_on_a_virtual_clock() -> None:
    @tool
    def plain() -> str:
        """A plain function."""
        return "never"

    model = ScriptedModel([reply(calls=[call("plain")]), "done"])

    async def main() -> None:
        async with Runtime(providers=[model.provider("openai")]):
            await run(agent(plain), "Try.")

    with pytest.raises(RunFailed) as failed:
        run_virtual(main())
    assert "virtual clock cannot wait for the thread" in _causes(failed.value)


def test_what_failed_is_the_cause_of_the_runs_failure() -> None:
    model = ScriptedModel([])
    model.faults.afterwards(faults.status(404, message="no such model"))

    async def main() -> None:
        async with Runtime(providers=[model.provider("openai")]):
            await run(agent(), "Try.")

    with pytest.raises(ProviderFailed) as failed:
        run_virtual(main())
    assert isinstance(failed.value.__cause__, ProviderRefused)
    assert failed.value.__cause__.status == 404


def test_a_tools_bug_leaves_its_traceback_in_the_log_and_a_tools_answer_does_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @tool
    async def buggy() -> str:
        """Has a bug."""
        raise KeyError("boom")

    @tool
    async def honest() -> str:
        """Says no."""
        raise ToolError("not today")

    model = ScriptedModel([reply(calls=[call("buggy"), call("honest")]), "done"])

    async def main() -> None:
        async with Runtime(providers=[model.provider("openai")]):
            await run(agent(buggy, honest), "Try.")

    with caplog.at_level(logging.WARNING, logger="agentrt"):
        run_virtual(main())
    logged = [record.exc_info[1] for record in caplog.records if record.exc_info]
    assert [repr(error) for error in logged] == ["KeyError('boom')"]


def test_a_key_that_a_provider_echoes_is_not_repeated() -> None:
    model = ScriptedModel([])
    model.faults.afterwards(faults.status(401, message="Incorrect key provided: hush-hush-hush"))
    provider = model.provider("openai")

    async def main() -> None:
        async with Runtime(providers=[replace(provider, api_key="hush-hush-hush")]):
            await run(agent(), "Try.")

    with pytest.raises(ProviderFailed, match=r"Incorrect key provided: \*\*\*"):
        run_virtual(main())


def _causes(error: BaseException | None) -> str:
    said = ""
    while error is not None:
        said += f"{error!r} "
        error = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
    return said
