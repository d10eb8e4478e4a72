"""The verbs: what is done with an agent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Any, Generic, Unpack, overload

from typing_extensions import TypeVar

from agentrt.agent import Agent
from agentrt.errors import RunFailed, SettingInvalid
from agentrt.events import StopMode, When
from agentrt.messages import Answer, Message, O_co, UserMessage
from agentrt.runs.asked import RunOptions
from agentrt.runs.decisions import Approved, Denied, Returned
from agentrt.runs.feed import FeedReader
from agentrt.runs.owner import Run
from agentrt.runtime import Runtime

D = TypeVar("D")
Out = TypeVar("Out", default=str)


class VerbOptions(RunOptions, total=False):
    """What `run` and `stream` take besides agent, input and deps: the Runtime to use, and its options."""

    runtime: Runtime | None


class StreamOptions(VerbOptions, total=False):
    """What `stream` takes. `attended`: the reader decides about calls that wait for a person; the run does not rest."""

    attended: bool


class Running(Generic[O_co]):
    """A run that is being watched: iterate over it for its events, then ask for its `answer`."""

    def __init__(self, run: Run[O_co]) -> None:
        self._run = run
        self.run_id = run.run_id

    def __aiter__(self) -> FeedReader:
        """The run's events, from the first; every iteration reads them anew."""
        return self._run.events()

    async def answer(self) -> Answer[O_co]:
        """The answer; raises as `run` does."""
        return await self._run.answer()

    def cancel(self, reason: str = "", *, mode: StopMode = "now") -> None:
        """Stop the run, as `Run.cancel` says; its last events still come."""
        self._run.cancel(reason, mode=mode)

    def cancel_call(self, call_id: str, reason: str = "") -> None:
        """Stop one call; see `Run.cancel_call`."""
        self._run.cancel_call(call_id, reason)

    def steer(self, message: str | UserMessage, *, when: When = "next_step") -> None:
        """Say something into the run; see `Run.steer`."""
        self._run.steer(message, when=when)

    def approve(self, call_id: str) -> None:
        """Let a call run that waits for that; raises as `Run.decide` does, as do the next two."""
        self._run.decide(Approved(call_id))

    def deny(self, call_id: str, reason: str = "") -> None:
        """Do not let it run."""
        self._run.decide(Denied(call_id, reason))

    def give(self, call_id: str, content: str, *, error: bool = False) -> None:
        """The result of a call that the client ran."""
        self._run.decide(Returned(call_id, content, error))


@overload
async def run(
    agent: Agent[None, Out], input: str | Sequence[Message], **options: Unpack[VerbOptions]
) -> Answer[Out]: ...
@overload
async def run(
    agent: Agent[D, Out], input: str | Sequence[Message], *, deps: D, **options: Unpack[VerbOptions]
) -> Answer[Out]: ...
async def run(
    agent: Agent[Any, Any], input: str | Sequence[Message], *, deps: Any = None, **options: Any
) -> Answer[Any]:
    """Ask an agent and wait for its answer. Cancelling the wait cancels the run and sees it end.

    If calls of the run wait for people, `Answer.waiting` names them: it rests, and `Runtime.resume` goes on with it.

    Options are those of `Runtime.start`, and `runtime=`: the Runtime to use. Without, it is the one
    whose `async with` encloses the call, or one opened for this call.

    Raises:
        RunFailed: there is no answer; its subclass says why, and it carries the partial one.
        JournalFailed: a fact could not be kept, so the run went no further.
        ConfigurationError: something cannot work as written.
    """
    own = options.get("runtime") is None and Runtime.current() is None
    async with stream(agent, input, deps=deps, **options) as running:
        answer = await running.answer()
    if own and answer.waiting:
        raise RunFailed(
            "the run waits for a person, and the Runtime that was opened for this call alone is gone with it; "
            "write `async with Runtime(journal=...)` around, and go on by `Runtime.resume`",
            answer=answer,
            reason="waiting",
        )
    return answer


@overload
def stream(
    agent: Agent[None, Out], input: str | Sequence[Message], **options: Unpack[StreamOptions]
) -> AbstractAsyncContextManager[Running[Out]]: ...
@overload
def stream(
    agent: Agent[D, Out], input: str | Sequence[Message], *, deps: D, **options: Unpack[StreamOptions]
) -> AbstractAsyncContextManager[Running[Out]]: ...
@asynccontextmanager
async def stream(
    agent: Agent[Any, Any], input: str | Sequence[Message], *, deps: Any = None, **options: Any
) -> AsyncGenerator[Running[Any], None]:
    """Ask an agent and watch it answer. Leaving the block early cancels the run and sees it end.

    Takes what `run` takes, and `attended=`: whether the reader decides about calls that wait for a person. Raises
    ConfigurationError on entering.
    """
    attended: bool = options.pop("attended", False)
    async with _runtime(options) as runtime:
        started = runtime.start(agent, input, deps=deps, **options)
        try:
            with started.attend() if attended else nullcontext():
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
