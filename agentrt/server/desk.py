"""The desk: takes what clients ask for to the Runtime, and knows which runs are shown.

Theory: a run belongs to the Runtime; the desk holds a `Show` of each that was begun or taken over here, until a while
after its end, or until those that ended later need the room. What is not held any more stands in the journal, and is
shown from there; who looks at the same run then looks at the same `Show`. A client's ids become the runtime's by
`scoped`, here and nowhere else, so another principal's run is looked for under a name it does not have.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self
from weakref import WeakValueDictionary

from agentrt.agent import Agent
from agentrt.errors import AgentrtError, JournalFailed, SettingInvalid
from agentrt.events import Fact, RunEnded, RunStarted
from agentrt.messages import Message, UserMessage
from agentrt.runs.owner import Run
from agentrt.runs.state import RunState, fold
from agentrt.runtime import Runtime
from agentrt.server.attendance import Attendance
from agentrt.server.auth import scoped, unscoped
from agentrt.server.commands import RunStart
from agentrt.server.inputs import conversation
from agentrt.server.log import Log
from agentrt.server.protocol import Refused
from agentrt.server.settings import ServeSettings
from agentrt.server.shows import Show, at_rest, broken_off

logger = logging.getLogger(__name__)

Deps = Callable[[str | None, Mapping[str, str]], Awaitable[Any]]
"""Given the principal and a run's metadata: what the agent's tools get as `Context.deps`."""

_THREAD_ID = "thread_id"
"""In a run's metadata: what a client that keeps the history itself calls the thread."""

_RETRY = 5.0
"""Seconds after which a full server may be asked again."""

_SHOW = 16_384
"""Bytes that a run counts for besides its log."""


class Desk:
    """Runs by what their clients call them.

    Attributes:
        draining: Whether no new runs are taken.
    """

    def __init__(
        self, runtime: Runtime, agents: Sequence[Agent[Any]], deps: Deps | None, settings: ServeSettings
    ) -> None:
        self.agents = {agent.name: agent for agent in agents}
        self.draining = False
        self._runtime = runtime
        self._deps = deps
        self._settings = settings
        self._shows: dict[str, Show] = {}
        self._ended: dict[str, tuple[int, asyncio.TimerHandle]] = {}  # of those: what they weigh, and until when
        self._weight = 0
        self._reread = WeakValueDictionary[str, Show]()  # from the journal, as long as somebody looks
        self._alone = WeakValueDictionary[str, asyncio.Lock]()
        self._active: Counter[str | None] = Counter()
        self._idle = asyncio.Event()
        self._idle.set()
        self._group: asyncio.TaskGroup | None = None
        self._keepers: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._group = await asyncio.TaskGroup().__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Show no more. The runs are the Runtime's, and go on as it says."""
        assert self._group is not None
        for keeper in self._keepers:
            keeper.cancel()
        await self._group.__aexit__(None, None, None)
        for _weight, timer in self._ended.values():
            timer.cancel()
        self._leave_alone()

    async def take_over(self) -> None:
        """Go on with the runs that the journal knows no end of, if their agents are served here.

        Those that rest go on when somebody decides: see `resume`.

        Raises:
            JournalFailed: the journal cannot be read.
        """
        for started in await self._runtime.unfinished():
            await self._take_over(started)

    def drain(self) -> None:
        """Take no new runs, and have those rest that wait for people."""
        self.draining = True
        self._leave_alone()

    def _leave_alone(self) -> None:
        for show in self._shows.values():
            if show.attendance is not None:
                show.attendance.close()

    @property
    def active(self) -> int:
        """Runs that go on."""
        return self._active.total()

    async def idle(self) -> None:
        """Return once no run is active."""
        await self._idle.wait()

    # ---- what clients ask for ----------------------------------------------------------------------

    async def start(self, principal: str | None, asked: RunStart, holder: object) -> tuple[Show, bool]:
        """The run of that id, or the one that the turn was said into, and whether it was there before.

        `holder` stands for the connection that asks, if the run is to be cancelled when it is gone.

        Raises:
            Refused: it cannot be begun.
        """
        show = await self._find(principal, asked.input.run_id)
        existing = show is not None
        if show is None and (steered := self._steered(principal, asked)):
            return steered, True
        if show is None:
            show, existing = await self._begin(principal, asked)
        if asked.options.on_disconnect == "cancel" and not show.over:
            show.holders.add(holder)
        return show, existing

    async def find(self, principal: str | None, run_id: str) -> Show:
        """The run that this principal calls so.

        Raises:
            Refused: it has none.
        """
        show = await self._find(principal, run_id)
        if show is None:
            raise Refused("no_such_run", "there is no such run")
        return show

    def alone(self, principal: str | None, run_id: str) -> asyncio.Lock:
        """Held by who says something to a run."""
        return self._alone.setdefault(scoped(principal, run_id), asyncio.Lock())

    async def state_of(self, show: Show) -> RunState:
        """Where a run stands; of one that goes on no more here, by the journal.

        Raises:
            Refused: the journal cannot be read.
        """
        if show.run is not None and not show.over:
            return show.run.state
        return fold(await self._facts(scoped(show.principal, show.log.run_id)))

    async def resume(self, show: Show) -> Show:
        """Go on with a run that rests; it is shown anew. What it is told before the next `await` is told first.

        Raises:
            Refused: it cannot go on here and now.
        """
        key = scoped(show.principal, show.log.run_id)
        started = (await self._facts(key))[0]
        assert isinstance(started, RunStarted)
        agent = self._agent(started.agent)
        deps = await self._deps_for(started.principal, started.metadata)
        self._admit(show.principal, None, "queue")
        try:
            return await self._go_on(started, agent, deps)
        except AgentrtError:
            logger.exception("run %s could not be resumed", key)
            raise Refused("internal", "the run could not be resumed; the server's log says more") from None

    def gone(self, holder: object) -> None:
        """A connection is gone: runs that were to end with it do."""
        for show in self._shows.values():
            if holder in show.holders:
                show.holders.remove(holder)
                if not show.holders and show.run is not None:
                    show.run.cancel("its client left")

    # ---- runs --------------------------------------------------------------------------------------

    async def _find(self, principal: str | None, run_id: str) -> Show | None:
        key = scoped(principal, run_id)
        show = self._shows.get(key) or self._reread.get(key) or await self._from_journal(key, run_id)
        return show if show is not None and show.principal == principal else None

    async def _from_journal(self, key: str, run_id: str) -> Show | None:
        facts = await self._facts(key)
        if key in self._shows:  # begun meanwhile
            return self._shows[key]
        if not facts or not isinstance(started := facts[0], RunStarted):
            return None
        log, last = self._log(started, run_id), facts[-1]
        log.take(facts)
        show = Show(log, None, principal=started.principal, thread=started.thread)
        if isinstance(last, RunEnded):
            self._reread[key] = show
        elif (state := fold(facts)).resting:
            log.take([at_rest(log, last.at, state.open_calls)])
        else:  # nobody here carries it on
            log.take([broken_off(log, log.epoch, last.at)])
        return show

    async def _facts(self, key: str) -> Sequence[Fact]:
        try:
            return await self._runtime.journal.read(key)
        except JournalFailed:
            logger.exception("run %s cannot be read", key)
            raise Refused("internal", "the run cannot be read; the server's log says more") from None

    def _steered(self, principal: str | None, asked: RunStart) -> Show | None:
        """The newest run of the thread that hears the turn, or has heard it, if it is to be said into one."""
        if asked.options.if_busy != "steer" or asked.options.history != "server":
            return None
        thread = scoped(principal, asked.input.thread_id)
        turn = [one for one in conversation(asked.input, "server") if isinstance(one, UserMessage)]
        shows = (show for show in reversed(self._shows.values()) if show.thread == thread)
        return next((show for show in shows if show.steer(asked.input.run_id, turn)), None)

    async def _begin(self, principal: str | None, asked: RunStart) -> tuple[Show, bool]:
        agent = self._agent(asked.agent)
        messages = conversation(asked.input, asked.options.history)
        remembered = asked.options.history == "server"
        thread = scoped(principal, asked.input.thread_id) if remembered else None
        metadata = {} if remembered else {_THREAD_ID: asked.input.thread_id}
        self._admit(principal, thread, asked.options.if_busy)
        deps = await self._deps_for(principal, metadata)
        key = scoped(principal, asked.input.run_id)
        if key in self._shows:  # another connection was faster
            return self._shows[key], True
        self._admit(principal, thread, asked.options.if_busy)
        run = self._run(agent, messages, deps=deps, thread=thread, metadata=metadata, run_id=key, principal=principal)
        log = Log(asked.input.run_id, asked.input.thread_id, max_bytes=self._settings.replay_max_bytes)
        return self._open(log, run, principal, thread), False

    def _run(self, agent: Agent[Any], messages: Sequence[Message], **options: Any) -> Run:
        try:
            return self._runtime.start(agent, messages, **options)
        except AgentrtError:
            logger.exception("run %s could not be begun", options["run_id"])
            raise Refused("internal", "the run could not be begun; the server's log says more") from None

    def _agent(self, name: str | None) -> Agent[Any]:
        if name is None:
            return next(iter(self.agents.values()))
        if name not in self.agents:
            raise Refused("no_such_agent", f'no agent is called "{name[:80]}"; there are {", ".join(self.agents)}')
        return self.agents[name]

    def _admit(self, principal: str | None, thread: str | None, if_busy: str) -> None:
        """Whether one more run may begin now."""
        settings = self._settings
        if self.draining:
            raise Refused("draining", "the server is about to stop; ask again after connecting anew", wait=_RETRY)
        if self._active[principal] >= settings.runs:
            text = f"{settings.runs} of your runs are active, which is as many as may be"
            raise Refused("too_many_runs", text, wait=_RETRY)
        if self.active >= settings.all_runs:
            raise Refused("too_many_runs", "the server has as many runs as it can carry", wait=_RETRY)
        if if_busy == "reject" and thread is not None and self._busy(thread):
            raise Refused("run_conflict", "a run of this thread is active")

    def _busy(self, thread: str) -> bool:
        return any(show.thread == thread and not show.over for show in self._shows.values())

    async def _deps_for(self, principal: str | None, metadata: Mapping[str, str]) -> Any:
        if self._deps is None:
            return None
        try:
            return await self._deps(principal, metadata)
        except Exception:  # the user's own code
            logger.exception("deps=... failed for principal %r", principal)
            raise Refused("internal", "the run could not be prepared; the server's log says more") from None

    async def _take_over(self, started: RunStarted) -> None:
        agent = self.agents.get(started.agent)
        if agent is None:
            logger.warning(
                'run %s is left unfinished: its agent "%s" is not served here', started.run_id, started.agent
            )
            return
        try:
            deps = await self._deps_for(started.principal, started.metadata)
            await self._go_on(started, agent, deps)
        except (AgentrtError, Refused):
            logger.warning("run %s is left unfinished", started.run_id, exc_info=True)

    async def _go_on(self, started: RunStarted, agent: Agent[Any], deps: Any) -> Show:
        run = await self._runtime.resume(started.run_id, agent, deps=deps)
        log = self._log(started, unscoped(started.principal, started.run_id))
        return self._open(log, run, started.principal, started.thread)

    def _log(self, started: RunStarted, run_id: str) -> Log:
        thread = started.metadata.get(_THREAD_ID) or unscoped(started.principal, started.thread or "")
        return Log(run_id, thread, max_bytes=self._settings.replay_max_bytes)

    def _open(self, log: Log, run: Run, principal: str | None, thread: str | None) -> Show:
        """Show a run that has just been begun, or taken up."""
        assert self._group is not None
        settings = self._settings
        attendance = Attendance(run, linger=settings.approval_linger, timeout=settings.approval_timeout)
        show = Show(log, run, principal=principal, thread=thread, attendance=attendance)
        if run.run_id in self._ended:  # it had come to rest
            self._let_go(run.run_id)
        self._shows[run.run_id] = show
        self._active[show.principal] += 1
        self._idle.clear()
        keeper = self._group.create_task(self._keep(show, run.run_id), name=f"show {run.run_id}")
        self._keepers.add(keeper)
        keeper.add_done_callback(self._keepers.discard)
        return show

    async def _keep(self, show: Show, key: str) -> None:
        """Show the run as it goes."""
        await show.feed(self._settings.tick)
        self._active[show.principal] -= 1
        if not self._active[show.principal]:
            del self._active[show.principal]
        if not self._active:
            self._idle.set()
        self._put_by(key, show.log.size + _SHOW)

    def _put_by(self, key: str, weight: int) -> None:
        """Hold a run that has ended for a while; those that ended first make room for it."""
        timer = asyncio.get_running_loop().call_later(self._settings.replay_ttl, self._let_go, key)
        self._ended[key] = weight, timer
        self._weight += weight
        while self._weight > self._settings.replay_all_bytes:
            self._let_go(next(iter(self._ended)))

    def _let_go(self, key: str) -> None:
        weight, timer = self._ended.pop(key)
        timer.cancel()
        self._weight -= weight
        del self._shows[key]


def by_name(agents: Agent[Any] | Sequence[Agent[Any]]) -> list[Agent[Any]]:
    """The agents to be served.

    Raises:
        SettingInvalid: none, something that is no agent, or two of one name.
    """
    served = [agents] if isinstance(agents, Agent) else list(agents)
    for agent in served:
        if not isinstance(agent, Agent):  # pyright: ignore[reportUnnecessaryIsInstance] - annotations bind nobody
            raise SettingInvalid(f"serve({agent!r:.80}): expected an Agent, or several")
    if not served:
        raise SettingInvalid("serve([]): expected at least one Agent")
    if len({agent.name for agent in served}) < len(served):
        raise SettingInvalid("serve(...): two agents have the same name; give each its own")
    return served
