"""What the tests of runs share: an agent whose tool waits, a world to run it in, and journals that are slow or ill."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from agentrt import Agent, Budget, Limits, Runtime, tool
from agentrt.errors import JournalFailed
from agentrt.events import Fact, RunEnded, RunStarted
from agentrt.journal.memory import MemoryJournal
from agentrt.messages import AssistantMessage, Message, ToolMessage
from agentrt.testing import ScriptedModel, VirtualLoop, assert_no_leaks


@tool
async def wait(seconds: float) -> str:
    """Wait."""
    await asyncio.sleep(seconds)
    return f"waited {seconds}"


def clerk(*tools: Any, budget: Budget | None = None) -> Agent[Any]:
    return Agent(name="clerk", model="openai:scripted", tools=tools, budget=budget or Budget())


CLERK = clerk(wait)


@asynccontextmanager
async def world(model: ScriptedModel, limits: Limits | None = None, **settings: Any) -> AsyncIterator[Runtime]:
    """A Runtime that asks this model; on leaving, nothing may be left of what went on in it."""
    providers = [model.provider("openai", limits=limits)]
    async with assert_no_leaks(), Runtime(providers=providers, **settings) as runtime:
        async with assert_no_leaks(runtime):
            yield runtime


def now() -> float:
    return asyncio.get_running_loop().time()


def virtual_loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def results(messages: Iterable[Message]) -> list[str]:
    return [message.content for message in messages if isinstance(message, ToolMessage)]


def kinds(events: Iterable[object]) -> list[type[Any]]:
    return [type(event) for event in events]


def assert_valid(messages: Iterable[Message]) -> None:
    """Each call has exactly one result, behind it and before the next reply; no two calls have one id."""
    open_calls: list[str] = []
    seen: list[str] = []
    for message in messages:
        if isinstance(message, ToolMessage):
            open_calls.remove(message.call_id)
        else:
            assert not open_calls
            if isinstance(message, AssistantMessage):
                open_calls = [wanted.id for wanted in message.tool_calls]
                seen += open_calls
    assert not open_calls
    assert len(set(seen)) == len(seen)


def assert_whole(facts: Sequence[Fact]) -> None:
    """What the journal of a run that ended may look like: one beginning, one end, in order."""
    assert [fact.seq for fact in facts] == sorted({fact.seq for fact in facts})
    assert [n for n, fact in enumerate(facts) if isinstance(fact, RunStarted)] == [0]
    assert [n for n, fact in enumerate(facts) if isinstance(fact, RunEnded)] == [len(facts) - 1]


async def left_behind(*runs: Sequence[Fact], journal: MemoryJournal | None = None) -> MemoryJournal:
    """A journal in which the facts of these runs stand. Who wrote them has died."""
    journal = journal or MemoryJournal()
    for facts in runs:
        assert isinstance(facts[0], RunStarted)
        run_id, epoch = facts[0].run_id, 0
        for fact in facts:
            while epoch < fact.epoch:
                epoch = await journal.take(run_id)
            await journal.append(run_id, epoch, fact)
    return journal


class LateJournal(MemoryJournal):
    """Keeps facts in order, and says so `delay` seconds later. The first fact of the kind `loses` it loses."""

    def __init__(self, delay: float, *, loses: type[Fact] | None = None) -> None:
        super().__init__()
        self._delay = delay
        self._loses = loses

    def append(self, run_id: str, epoch: int, fact: Fact) -> Future[None]:
        said: Future[None] = asyncio.get_running_loop().create_future()
        if self._loses is not None and isinstance(fact, self._loses):
            self._loses = None
            kept = says(JournalFailed("disk full"))
        else:
            kept = super().append(run_id, epoch, fact)

        def say() -> None:
            error = kept.exception()
            if not said.done():
                said.set_exception(error) if error else said.set_result(None)

        asyncio.get_running_loop().call_later(self._delay, say)
        return said


class IllJournal(MemoryJournal):
    """Loses, of the first run it sees, all facts of one kind, in the way it is told."""

    def __init__(self, kind: type[Any], loses: Callable[[], Future[None]]) -> None:
        super().__init__()
        self._kind = kind
        self._loses = loses
        self._victim: str | None = None

    def append(self, run_id: str, epoch: int, fact: Fact) -> Future[None]:
        self._victim = self._victim or run_id
        if run_id == self._victim and isinstance(fact, self._kind):
            return self._loses()
        return super().append(run_id, epoch, fact)


def says(error: BaseException) -> Future[None]:
    """An answer of the journal: it could not be done."""
    failed: Future[None] = asyncio.get_running_loop().create_future()
    failed.set_exception(error)
    return failed


def says_nothing() -> Future[None]:
    """An answer of the journal: none, ever."""
    return asyncio.get_running_loop().create_future()


def lets_go() -> Future[None]:
    """An answer of the journal: the future is cancelled."""
    silent = says_nothing()
    silent.cancel()
    return silent
