"""The verbs: what is done with an agent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar, Unpack, overload

from agentrt.agent import Agent
from agentrt.errors import SettingInvalid
from agentrt.messages import Answer, Message
from agentrt.runs.asked import RunOptions
from agentrt.runs.feed import FeedReader
from agentrt.runs.owner import Run
from agentrt.runtime import Runtime

D = TypeVar("D")


class VerbOptions(RunOptions, total=False):
    """What `run` and `stream` take besides agent, input and deps: the Runtime to use, and its options."""

    runtime: Runtime | None


class Running:
    """A run that is being watched: iterate over it for its events, then ask for its `answer`."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.run_id = run.run_id

    def __aiter__(self) -> FeedReader:
        """The run's events, from the first; every iteration reads them anew."""
        return self._run.events()

    async def answer(self) -> Answer:
        """The answer; raises as `run` does."""
        return await self._run.answer()

    def cancel(self, reason: str = "") -> None:
        """Stop the run now; its last events still come."""
        self._run.cancel(reason)


@overload
async def run(agent: Agent[None], input: str | Sequence[Message], **options: Unpack[VerbOptions]) -> Answer: ...
@overload
async def run(
    agent: Agent[D], input: str | Sequence[Message], *, deps: D, **options: Unpack[VerbOptions]
) -> Answer: ...
async def run(agent: Agent[Any], input: str | Sequence[Message], *, deps: Any = None, **options: Any) -> Answer:
    """Ask an agent and wait for its answer. Cancelling the wait cancels the run and sees it end.

    Options are those of `Runtime.start`, and `runtime=`: the Runtime to use. Without, it is the one
    whose `async with` encloses the call, or one opened for this call.

    Raises:
        RunFailed: there is no answer; its subclass says why, and it carries the partial one.
        JournalFailed: a fact could not be kept, so the run went no further.
        ConfigurationError: something cannot work as written.
    """
    async with stream(agent, input, deps=deps, **options) as running:
        return await running.answer()


@overload
def stream(
    agent: Agent[None], input: str | Sequence[Message], **options: Unpack[VerbOptions]
) -> AbstractAsyncContextManager[Running]: ...
@overload
def stream(
    agent: Agent[D], input: str | Sequence[Message], *, deps: D, **options: Unpack[VerbOptions]
) -> AbstractAsyncContextManager[Running]: ...
@asynccontextmanager
async def stream(
    agent: Agent[Any], input: str | Sequence[Message], *, deps: Any = None, **options: Any
) -> AsyncGenerator[Running, None]:
    """Ask an agent and watch it answer. Leaving the block early cancels the run and sees it end.

    Takes what `run` takes; raises ConfigurationError on entering.
    """
    async with _runtime(options) as runtime:
        started = runtime.start(agent, input, deps=deps, **options)
        try:
            yield Running(started)
        finally:
            await started.stop("its reader left")


@asynccontextmanager
async def _runtime(options: dict[str, Any]) -> AsyncGenerator[Runtime, None]:
    given: Runtime | None = options.pop("runtime", None) or Runtime.current()
    if given is not None:
        yield given
        return
    if options.get("thread") is not None:
        raise SettingInvalid(
            "thread= needs a Runtime that outlives the call; write `async with Runtime():` around the conversation"
        )
    async with Runtime() as own:
        yield own
