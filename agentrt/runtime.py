"""Runtime: owns everything that is alive.

What it holds is let go in one order, the reverse of how it is needed: runs first (cancelled, their
clean-up awaited for a grace), then the models' connections, the threads, and last the journal, which
must hear of every end. Nothing here is global; two event loops in one process do not meet.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar, Unpack, overload

from agentrt.agent import Agent, Budget
from agentrt.errors import SettingInvalid
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Statistics
from agentrt.journal.address import open_journal
from agentrt.journal.journal import Journal
from agentrt.messages import Message
from agentrt.model.model import Model
from agentrt.model.openai import OpenAIModel
from agentrt.model.tokens import warm
from agentrt.providers import NO_KEY, Provider, by_name, find
from agentrt.runs.asked import as_deadline, as_messages
from agentrt.runs.order import Order, Ports
from agentrt.runs.owner import Run
from agentrt.runs.state import RunState, fold
from agentrt.toolbox.call import Caller
from agentrt.toolbox.threads import Threads

logger = logging.getLogger(__name__)

_current: ContextVar[Runtime | None] = ContextVar("agentrt_runtime", default=None)
_inside: ContextVar[frozenset[tuple[Runtime, str]]] = ContextVar("agentrt_threads", default=frozenset())
"""The threads whose runs enclose the caller, a tool."""


D = TypeVar("D")


class RunOptions(TypedDict, total=False):
    """What every way to begin a run takes besides agent, input and deps; see `Runtime.start`."""

    thread: str | None
    messages: Sequence[Message]
    deadline: float | None
    budget: Budget | None
    metadata: Mapping[str, str] | None


@dataclass(frozen=True)
class _Service:
    """One provider as this Runtime holds it."""

    model: Model
    gate: Gate


class Runtime:
    """An async context manager; inside of it, `run` and `stream` use it without being told.

    Args:
        providers: Services by name. Without, "openai:" is found in the environment.
        journal: Where facts are kept: "memory", or a file as in "sqlite:chat.db"; or a `Journal` of your own,
            which is closed with the Runtime.
        grace: Seconds that cancelled tools have to clean up.
        threads: Where tools that are plain functions run; by default up to 64 daemon threads.
        random: Source of ids and jitter; seed it to repeat a run, with a journal that has not seen the first.
        environ: Where OPENAI_API_KEY and OPENAI_BASE_URL are looked up.

    Raises:
        SettingInvalid: two different providers of one name, or a journal that is none.
    """

    def __init__(
        self,
        *,
        providers: Sequence[Provider] = (),
        journal: Journal | str = "memory",
        grace: float = 2.0,
        threads: Threads | None = None,
        random: Random | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        if grace < 0:
            raise SettingInvalid(f"Runtime(grace={grace}): expected 0 or more seconds")
        self._providers = by_name(providers)
        self._journal = open_journal(journal) if isinstance(journal, str) else journal
        self._random = random or Random()  # noqa: S311 - jitter and ids, no secrets
        self._environ = environ
        self._caller = Caller(threads=threads, grace=grace)
        self._services: dict[str, _Service] = {}
        self._runs: dict[str, Run] = {}
        self._threads: dict[str, list[Run]] = {}
        self._warming: list[asyncio.Task[None]] = []
        self._closed = False
        self._group: asyncio.TaskGroup | None = None
        self._token: Token[Runtime | None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._epoch = 0.0

    @staticmethod
    def current() -> Runtime | None:
        """The Runtime whose `async with` encloses the caller, on the caller's event loop."""
        current = _current.get()
        return current if current is not None and current._loop is asyncio.get_running_loop() else None

    @property
    def stragglers(self) -> tuple[str, ...]:
        """Names of tools that were told to stop and have not."""
        return self._caller.stragglers.names

    def statistics(self) -> dict[str, Statistics]:
        """How each provider's gate stands now, by the provider's name."""
        return {name: service.gate.statistics() for name, service in self._services.items()}

    def now(self) -> float:
        """Seconds since 1970, on the loop's clock: it never jumps, and follows a virtual loop."""
        return self._epoch + asyncio.get_running_loop().time()

    def check(self, agent: Agent[Any]) -> None:
        """See at once whether the agent's model can be asked, before anything is set up for it.

        Raises:
            ProviderUnknown, KeyMissing: it cannot.
        """
        self._service(agent)

    async def __aenter__(self) -> Self:
        if self._group is not None:
            raise SettingInvalid("this Runtime was entered before; make a new one")
        self._loop = asyncio.get_running_loop()
        self._epoch = time.time() - self._loop.time()
        self._group = await asyncio.TaskGroup().__aenter__()
        self._token = _current.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._group is not None and self._token is not None
        self._closed = True
        with suppress(ValueError):  # left in another context than entered: what is current there is not ours
            _current.reset(self._token)
        for run in tuple(self._runs.values()):
            run.cancel("the runtime closed")
        for task in self._warming:
            task.cancel()
        async with AsyncExitStack() as held:
            held.push_async_callback(self._journal.aclose)
            held.callback(self._caller.close)
            for service in self._services.values():
                held.push_async_callback(service.model.aclose)
            await self._group.__aexit__(None, None, None)
        if self.stragglers:
            warnings.warn(f"left behind, still running: {', '.join(self.stragglers)}", ResourceWarning, stacklevel=2)

    @overload
    def start(self, agent: Agent[None], input: str | Sequence[Message], **options: Unpack[RunOptions]) -> Run: ...
    @overload
    def start(
        self, agent: Agent[D], input: str | Sequence[Message], *, deps: D, **options: Unpack[RunOptions]
    ) -> Run: ...
    def start(  # noqa: PLR0913 - the verbs' options
        self,
        agent: Agent[Any],
        input: str | Sequence[Message],
        *,
        deps: Any = None,
        thread: str | None = None,
        messages: Sequence[Message] = (),
        deadline: float | None = None,
        budget: Budget | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Run:
        """Begin a run and return a handle to it; losing the handle cancels nothing.

        A second run in a busy thread waits for the first.

        Args:
            input: What is asked: a text, or messages.
            deps: What the agent's tools get as `Context.deps`.
            thread: Name of the conversation to continue.
            messages: A conversation before this one, where the caller keeps it. Not with `thread`.
            deadline: Seconds from now; 600 by default.
            budget: In place of the agent's.
            metadata: Kept in `RunStarted`, shown to tools.

        Raises:
            SettingInvalid: an empty or invalid conversation, `thread` with `messages`, a deadline that is
                none, or a Runtime that is not entered.
            ProviderUnknown, KeyMissing: the agent's model cannot be asked.
        """
        if self._group is None or self._closed:
            raise SettingInvalid("this Runtime is not entered, or left; write `async with Runtime() as runtime:`")
        if self._loop is not asyncio.get_running_loop():
            raise SettingInvalid("this Runtime lives on another event loop; enter one of its own on this loop")
        if thread is not None and (self, thread) in _inside.get():
            raise SettingInvalid(
                f'a run inside of thread "{thread}" would wait for itself; give it a thread of its own'
            )
        if thread is not None and messages:
            raise SettingInvalid("thread= and messages= together: a thread has its history already; give one of them")
        conversation, seconds = as_messages(input, messages), as_deadline(deadline)
        service = self._service(agent)
        order = Order(
            run_id=f"{self._random.getrandbits(128):032x}",
            agent=agent,
            model=agent.model.partition(":")[2],
            messages=conversation,
            deps=deps,
            thread=thread,
            budget=budget or agent.budget,
            deadline=asyncio.get_running_loop().time() + seconds,
            ends_at=self.now() + seconds,
            metadata=dict(metadata or {}),
        )
        ports = Ports(journal=self._journal, model=service.model, gate=service.gate, caller=self._caller, now=self.now)
        return self._begin(order, ports)

    def _begin(self, order: Order, ports: Ports) -> Run:
        assert self._group is not None
        row = self._threads.setdefault(order.thread, []) if order.thread is not None else []
        before = tuple(row)

        async def history() -> tuple[str | None, RunState]:
            for one in before:
                await one.wait()
            return await self._history(order.thread)

        run = Run(order, ports, history)
        self._runs[run.run_id] = run
        row.append(run)
        owner = self._group.create_task(self._live(run, order.thread), name=f"owner {run.run_id}")
        owner.add_done_callback(lambda _: self._gone(run, order.thread))
        return run

    async def _live(self, run: Run, thread: str | None) -> None:
        _current.set(self)  # a tool that runs an agent does so here, wherever its own run was started
        if thread is not None:
            _inside.set(_inside.get() | {(self, thread)})
        await run.live()

    def _gone(self, run: Run, thread: str | None) -> None:
        """The owner's task has ended, even if it was cancelled before its first step."""
        run.gone()
        del self._runs[run.run_id]
        if thread is not None:
            self._threads[thread].remove(run)
            if not self._threads[thread]:
                del self._threads[thread]

    async def _history(self, thread: str | None) -> tuple[str | None, RunState]:
        """A thread is a chain of runs; its history is the fold of the chain."""
        previous: str | None = None
        messages: list[Message] = []
        for row in await self._journal.runs(thread=thread) if thread is not None else ():
            previous = row.run_id
            messages += fold(await self._journal.read(row.run_id)).transcript
        return previous, RunState(messages=tuple(messages))

    def _service(self, agent: Agent[Any]) -> _Service:
        name, _, model = agent.model.partition(":")
        if name not in self._services:
            provider = find(name, self._providers, self._environ)
            if self._group is not None and provider.limits.tokens is not None and provider.transport is None:
                # Until the ranks are read, in a thread, reservations are estimates.
                self._warming.append(self._group.create_task(_warmed(model), name=f"token ranks of {model}"))
            self._services[name] = _Service(
                OpenAIModel(
                    name,
                    base_url=provider.base_url,
                    api_key=provider.api_key or NO_KEY,
                    transport=provider.transport,
                    connect_timeout=provider.connect_timeout,
                    first_byte_timeout=provider.first_byte_timeout,
                    idle_timeout=provider.idle_timeout,
                    wall=self.now,
                ),
                Gate(name, provider.limits, random=self._random),
            )
        return self._services[name]


async def _warmed(model: str) -> None:
    """Without ranks, tokens are estimated: no run ends for want of them."""
    try:
        await warm(model)
    except (ImportError, OSError, ValueError):
        logger.warning("token counts of %s stay estimates", model, exc_info=True)
