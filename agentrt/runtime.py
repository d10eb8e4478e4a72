"""Runtime: owns everything that is alive.

What it holds is let go in one order, the reverse of how it is needed: runs first (cancelled, their
clean-up awaited for a grace), then the models' connections, the threads, and last the journal, which
must hear of every end. Nothing here is global; two event loops in one process do not meet.
"""

from __future__ import annotations

import asyncio
import os
import time
import warnings
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from contextvars import ContextVar, Token
from math import inf
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from msgspec import convert
from typing_extensions import TypeVar

from agentrt.agent import Agent, Budget
from agentrt.errors import SettingInvalid
from agentrt.events import Priority, RunStarted
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Statistics
from agentrt.gate.leases import Leases
from agentrt.journal.address import open_journal
from agentrt.journal.journal import Journal
from agentrt.messages import Message
from agentrt.model.embeddings import OpenAIEmbeddings
from agentrt.prices import Price
from agentrt.providers import Provider
from agentrt.runs.asked import RunOptions, as_order, as_priority
from agentrt.runs.conversations import Conversations
from agentrt.runs.decisions import Decision
from agentrt.runs.order import ENCLOSING, Order, Ports
from agentrt.runs.owner import Run
from agentrt.runs.state import fold
from agentrt.runs.takeover import Left, Taken, left_in, take_over
from agentrt.runs.threads import Threads
from agentrt.services import Services
from agentrt.supplies import Supplies
from agentrt.toolbox.call import Caller
from agentrt.toolbox.processes import Processes
from agentrt.toolbox.threads import Threads as ToolThreads
from agentrt.toolbox.watchdog import Watchdog
from agentrt.trace import CORRELATION, Correlation, child

if TYPE_CHECKING:
    from agentrt.pipeline.embedding import GateEmbedder

_current: ContextVar[Runtime | None] = ContextVar("agentrt_runtime", default=None)
_inside: ContextVar[frozenset[tuple[Runtime, str]]] = ContextVar("agentrt_threads", default=frozenset())
"""The threads whose runs enclose the caller, a tool."""

D = TypeVar("D")
Out = TypeVar("Out", default=str)


class Runtime:
    """An async context manager; inside of it, `run` and `stream` use it without being told.

    Args:
        providers: Services by name. Those of `PROFILES` need no description: their keys are in the environment.
        journal: Where facts are kept: "memory", or a file as in "sqlite:chat.db"; or a `Journal` of your own,
            which is closed with the Runtime.
        grace: Seconds that cancelled tools have to clean up.
        threads: Where tools that are plain functions run; by default up to 64 daemon threads.
        random: Source of ids and jitter; seed it to repeat a run, with a journal that has not seen the first.
        environ: Where keys and addresses are looked up, such as OPENAI_API_KEY.
        on_exit: What becomes of the runs that have not ended when the Runtime is left: "cancel" ends them, "suspend"
            stops them and leaves them unfinished in the journal, to be resumed.
        leases: Hands out limits that are shared with other processes, e.g. `RedisLeases("redis://...")`; closed with
            the Runtime. Without, each process keeps to the limits by itself.
        prices: Of models, by "provider:model", where `agentrt.prices` has none or others.

    Raises:
        SettingInvalid: two different providers of one name, or a journal that is none.
    """

    def __init__(  # noqa: PLR0913
        self,
        *,
        providers: Sequence[Provider] = (),
        journal: Journal | str = "memory",
        grace: float = 2.0,
        threads: ToolThreads | None = None,
        random: Random | None = None,
        environ: Mapping[str, str] = os.environ,
        on_exit: Literal["cancel", "suspend"] = "cancel",
        leases: Leases | None = None,
        prices: Mapping[str, Price] | None = None,
    ) -> None:
        if grace < 0:
            raise SettingInvalid(f"Runtime(grace={grace}): expected 0 or more seconds")
        self._journal = open_journal(journal) if isinstance(journal, str) else journal
        self._random = random or Random()  # noqa: S311 - jitter and ids, no secrets
        self._on_exit = on_exit
        self._processes = Processes()
        self._caller = Caller(
            threads=threads, processes=self._processes, watchdog=Watchdog(), grace=grace, random=self._random
        )
        self._leases = leases
        self._services = Services(providers, environ, self._random, self.now, leases, self._tend)
        self._supplies = Supplies(self._services, self._journal, self._caller, self.now, self._beside, prices or {})
        self._runs: dict[str, Run] = {}
        self._taking: set[str] = set()  # being resumed: theirs is no `Run` yet
        self._conversations = Conversations(self._journal)
        self._aside: list[asyncio.Task[None]] = []
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

    @property
    def journal(self) -> Journal:
        """The journal, to read in. Nobody but the runs may write there."""
        return self._journal

    @property
    def threads(self) -> Threads:
        """The conversations in the journal."""
        return Threads(self._journal, self._conversations, self.find)

    def statistics(self) -> dict[str, Statistics]:
        """How each provider's gate stands now, by the provider's name."""
        return {name: service.gate.statistics() for name, service in self._services}

    def now(self) -> float:
        """Seconds since 1970, on the loop's clock: it never jumps, and follows a virtual loop."""
        return self._epoch + asyncio.get_running_loop().time()

    def check(self, agent: Agent[Any]) -> None:
        """See at once whether the agent's models and its tools' providers can be asked, before anything is set up.

        Raises:
            ProviderUnknown, KeyMissing: one of them cannot.
            SettingInvalid: a tool brings a provider along that differs from another of its name.
        """
        self._supplies.ports(agent, agent.budget)

    def embedder(self, model: str, *, dims: int | None = None, priority: Priority = "background") -> GateEmbedder:
        """Vectors by a provider's model, "provider:model", through the gate that runs of that provider use.

        It lives as long as this Runtime. `dims` may be left out for OpenAI's own models; `priority` is "interactive"
        for who embeds the questions of people; see `GateEmbedder`.

        Raises:
            SettingInvalid: `dims` is missing or less than 1, or `model` is no such name.
            ProviderUnknown, KeyMissing: the provider cannot be asked.
        """
        from agentrt.pipeline.embedding import GateEmbedder  # noqa: PLC0415 - who chats loads no pipeline

        service = self._supplies.service(model)
        as_priority(priority)
        embeddings, name = OpenAIEmbeddings(service.model), model.partition(":")[2]
        return GateEmbedder(embeddings, service.gate, name, dims=dims, priority=priority)

    async def __aenter__(self) -> Self:
        if self._group is not None:
            raise SettingInvalid("this Runtime was entered before; make a new one")
        self._loop = asyncio.get_running_loop()
        self._epoch = time.time() - self._loop.time()
        self._group = await asyncio.TaskGroup().__aenter__()
        self._token = _current.set(self)
        for _, service in self._services:
            self._tend(service.gate)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._group is not None and self._token is not None
        self._closed = True
        with suppress(ValueError):  # left in another context than entered: what is current there is not ours
            _current.reset(self._token)
        for run in tuple(self._runs.values()):
            if self._on_exit == "suspend":
                run.suspend()
            else:
                run.cancel("the runtime closed")
        for task in self._aside:
            task.cancel()
        async with AsyncExitStack() as held:
            if self._leases is not None:
                held.push_async_callback(self._leases.close)
            held.push_async_callback(self._journal.aclose)
            held.push_async_callback(self._processes.aclose)
            held.callback(self._caller.close)
            for _, service in self._services:
                held.push_async_callback(service.model.aclose)
            await self._group.__aexit__(None, None, None)
        if self.stragglers:
            warnings.warn(f"left behind, still running: {', '.join(self.stragglers)}", ResourceWarning, stacklevel=2)

    @overload
    def start(
        self, agent: Agent[None, Out], input: str | Sequence[Message], **options: Unpack[RunOptions]
    ) -> Run[Out]: ...
    @overload
    def start(
        self, agent: Agent[D, Out], input: str | Sequence[Message], *, deps: D, **options: Unpack[RunOptions]
    ) -> Run[Out]: ...
    def start(
        self, agent: Agent[Any, Any], input: str | Sequence[Message], *, deps: Any = None, **options: Unpack[RunOptions]
    ) -> Run[Any]:
        """Begin a run and return a handle to it; losing the handle cancels nothing.

        A second run in a busy thread waits for the first.

        Args:
            input: What is asked: a text, or messages.
            deps: What the agent's tools get as `Context.deps`.
            options: See `RunOptions`.

        Raises:
            SettingInvalid: an empty or invalid conversation, options that make no sense, a `run_id` that lives here, or
                a Runtime that is not entered.
            ProviderUnknown, KeyMissing: the agent's model cannot be asked.
        """
        self._admit(options.get("thread"), options.get("run_id"))
        order = as_order(agent, input, deps, options, now=self.now(), random=self._random)
        ports = self._supplies.ports(agent, order.budget)
        whole = ENCLOSING.get()
        if whole is not None and whole.run_id in self._runs:
            bounded = options.get("deadline") is None
            order = order.within(whole, ends_at=self._runs[whole.run_id].state.ends_at if bounded else inf)
        return self._carry(order, ports)

    def find(self, run_id: str) -> Run | None:
        """The run of that id, if it lives here."""
        return self._runs.get(run_id)

    async def unfinished(self) -> Sequence[RunStarted]:
        """How the journal's runs began that were cut off and do not live here, in the order in which they did.

        Those that rest, because they wait for a person, are not among them; see `waiting`. A run that another process
        carries right now is: a journal cannot tell whether its owner lives.
        A run whose facts cannot be read is left out, and a warning is logged.

        Raises:
            JournalFailed: the journal cannot be read at all.
        """
        return [left.started for left in await self._left() if not left.calls]

    async def waiting(self) -> Sequence[Left]:
        """The journal's runs that rest until somebody decides about their `calls`, and do not live here.

        `resume` takes the decisions. Raises as `unfinished` does.
        """
        return [left for left in await self._left() if left.calls]

    async def _left(self) -> list[Left]:
        return [left for left in await left_in(self._journal) if left.started.run_id not in self._runs]

    @overload
    async def resume(self, run_id: str, agent: Agent[None, Out], *, decisions: Sequence[Decision] = ()) -> Run[Out]: ...
    @overload
    async def resume(
        self, run_id: str, agent: Agent[D, Out], *, deps: D, decisions: Sequence[Decision] = ()
    ) -> Run[Out]: ...
    async def resume(
        self, run_id: str, agent: Agent[Any, Any], *, deps: Any = None, decisions: Sequence[Decision] = ()
    ) -> Run[Any]:
        """Take over a run that was cut off by the death of its process, or rests, and carry it on.

        It keeps its thread, deadline, budget, metadata and principal. Calls that have a result are not run again;
        of those that were running, only the ones whose tool is `effect="read"` or `idempotent` are, and the model
        is told of the others. If the process that had the run still lives, the run fails there. Resume the runs of
        one thread in the order of `unfinished`, for they wait for one another in the order in which they came.

        Args:
            agent: The agent that the run was of, by its name.
            deps: What the agent's tools get as `Context.deps`.
            decisions: `Approved`, `Denied` or `Returned`, about the calls for which the run waits. Where some are left
                it rests again, once there is nothing else to do.

        Raises:
            SettingInvalid: the journal has no such run, it has ended, lives here or is another agent's; a decision
                that nobody waits for; or a Runtime that is not entered.
            ProviderUnknown, KeyMissing: the agent's model cannot be asked.
            JournalFailed: the run cannot be read or taken.
        """
        self._admit(None, run_id)
        ports = self._supplies.ports(agent, agent.budget)
        self._taking.add(run_id)
        try:
            taken = await take_over(self._journal, run_id, agent.name, decisions)
        finally:
            self._taking.remove(run_id)
        started = taken.started
        self._admit(started.thread, run_id)  # it may have been left meanwhile
        order = Order(
            run_id=run_id,
            agent=agent,
            messages=started.messages,
            deps=deps,
            thread=started.thread,
            budget=agent.budget if started.budget is None else convert(started.budget, Budget),
            ends_at=fold(taken.facts).ends_at,
            metadata=started.metadata,
            principal=started.principal,
            priority=started.priority,
            parent=started.parent,
            trace=started.trace or child(None, self._random),
        )
        return self._carry(order, ports, taken)

    def _admit(self, thread: str | None, run_id: str | None) -> None:
        """See that a run may begin here and now."""
        if self._group is None or self._closed:
            raise SettingInvalid("this Runtime is not entered, or left; write `async with Runtime() as runtime:`")
        if self._loop is not asyncio.get_running_loop():
            raise SettingInvalid("this Runtime lives on another event loop; enter one of its own on this loop")
        if thread is not None and (self, thread) in _inside.get():
            raise SettingInvalid(
                f'a run inside of thread "{thread}" would wait for itself; give it a thread of its own'
            )
        if run_id == "":
            raise SettingInvalid('run_id="": expected a name of at least one character, or None for a random one')
        if run_id in self._runs or run_id in self._taking:
            raise SettingInvalid(f'run_id="{run_id}": a run of this id lives in this Runtime; see `Runtime.find`')

    def _tend(self, gate: Gate) -> None:
        """Fetch for a gate what it needs of limits that are shared, from when this Runtime is entered."""
        if self._leases is not None:
            self._beside(gate.tend(), f"leases of {gate.key}")

    def _beside(self, work: Coroutine[Any, Any, None], name: str) -> bool:
        """Let something go on beside the runs for as long as this Runtime is entered; False if it is not."""
        if self._group is None:
            work.close()
            return False
        self._aside.append(self._group.create_task(work, name=name))
        return True

    def _carry(self, order: Order, ports: Ports, taken: Taken | None = None) -> Run[Any]:
        assert self._group is not None
        began = None if taken is None else taken.started
        past = self._conversations.past(order.thread, order.run_id, fork=order.fork, taken=began)
        run = Run(order, ports, past, taken)
        self._runs[run.run_id] = run
        self._conversations.join(order.thread, run)
        owner = self._group.create_task(self._live(run, order), name=f"owner {run.run_id}")
        owner.add_done_callback(lambda _: self._gone(run, order.thread))
        return run

    async def _live(self, run: Run, order: Order) -> None:
        _current.set(self)  # a tool that runs an agent does so here, wherever its own run was started
        ENCLOSING.set(order)
        CORRELATION.set(
            Correlation(
                run_id=order.run_id,
                traceparent=order.trace,
                thread=order.thread,
                principal=order.principal,
                parent=order.parent,
                metadata=order.metadata,
            )
        )
        if order.thread is not None:
            _inside.set(_inside.get() | {(self, order.thread)})
        await run.live()

    def _gone(self, run: Run, thread: str | None) -> None:
        """The owner's task has ended, even if it was cancelled before its first step."""
        run.gone()
        del self._runs[run.run_id]
        self._conversations.leave(thread, run)
