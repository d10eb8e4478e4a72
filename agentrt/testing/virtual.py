"""An event loop on which time passes only when nobody has anything left to do.

Theory: asyncio asks its selector to wait until the next timer is due. Here the selector does not wait;
it moves the clock by just that long. An hour of timeouts and rate limits passes in milliseconds, and a
sum of sleeps is exact to 1e-6 s. What lives outside the loop - sockets, executors, child processes -
would make the clock run away from it, so the loop refuses them. Two ways to hang become errors: nobody
will ever be woken (`Deadlock`), or somebody spins without time passing (`Runaway`).

With `order` the loop also draws lots among the tasks that are ready together. asyncio lets them go on in the order in
which they became ready and promises that to nobody, so a program must bear any order, and one seed finds it again.
What programs do rely on is kept: callbacks (those of futures, of timers, of transports) run in the order in which
they were scheduled and no task changes places with one, so who is told first still hears first; a task that is to
begin does so before whoever made it goes on; and a task is ready at most once, so its own steps keep their order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from itertools import count, groupby
from random import Random
from typing import Any, Literal, NoReturn, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

SPIN_LIMIT = 1_000_000
"""Steps of the loop at one instant after which it counts as spinning."""

_DUE_LIMIT = 10
"""Timers in a row that are due the moment they are set, with nothing else to do, after which a little time passes."""


_OUTSIDE = frozenset({
    "add_reader", "add_writer", "create_connection", "create_datagram_endpoint", "create_server", "getaddrinfo",
    "run_in_executor", "sock_connect", "sock_recv", "sock_sendall", "subprocess_exec", "subprocess_shell",
})  # fmt: skip


def _refuse(*_args: object, **_kwargs: object) -> NoReturn:
    raise RuntimeError("sockets, executors and child processes live outside the virtual clock; use a real loop")


class Deadlock(RuntimeError):
    """Every task waits and no timer is set: the program would hang for ever."""


class Runaway(RuntimeError):
    """The loop took a million steps without any time passing."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs on virtual seconds, from `start`; `order` draws lots among tasks. Use it through `run_virtual`."""

    _ready: deque[asyncio.Handle]  # asyncio's own: what runs in the next step

    virtual = True
    """Told to what would start a thread: no thread can be waited for here."""

    def __init__(self, start: float = 0.0, order: Random | None = None) -> None:
        super().__init__()
        self._now = start
        self._order = order
        self._made: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
        self._count = count()
        if order is not None:
            self.set_task_factory(self._make)
        self._spins = 0
        self._steps = 0
        self._due = 0
        self._planned: dict[int, Callable[[], object]] = {}
        # asyncio treats timers due within its resolution as due; 0 would let rounding errors spin for ever.
        self._clock_resolution = 1e-6
        self._selector = self

    def time(self) -> float:
        return self._now

    def at_step(self, n: int, do: Callable[[], object]) -> None:
        """Call `do` at the `n`-th step of the loop from now, 1 being the next, before anything that is ready runs.

        No task runs and no time passes meanwhile, so a test that cuts in at 1, 2, 3, ... meets its program in every
        state that it has between two steps. One call a step. To come behind what is ready, use `call_soon` in `do`.
        """
        self._planned[self._steps + n] = do

    def select(self, timeout: float | None) -> list[object]:
        """What asyncio calls to wait: `timeout` is None when no timer is set and nothing is ready."""
        self._steps += 1
        if self._order is not None and len(self._ready) > 1:
            self._shuffle(self._order)
        if do := self._planned.pop(self._steps, None):
            do()
            return []  # it may have made something ready; a wait is asked for anew
        if timeout is None:
            waiting = ", ".join(sorted(task.get_name() for task in asyncio.all_tasks(self)))
            raise Deadlock(f"all tasks wait for one another and no timer is set: {waiting}")
        self._spins = 0 if timeout > 0 else self._spins + 1
        # Some set a timer for now, again and again, because by a rounding error its moment has not come. Between two
        # looks at a real clock a little time passes; in that case it does so here, too.
        self._due = 0 if timeout > 0 or self._ready else self._due + 1
        if self._due == _DUE_LIMIT:
            timeout, self._due = self._clock_resolution, 0
        if self._spins > SPIN_LIMIT:
            self._spins = 0  # what spins can still be cancelled
            raise Runaway(f"{SPIN_LIMIT} steps at {self._now} s and no time passes")
        self._now += max(0.0, timeout)
        return []

    def _make(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
        self._made[task] = next(self._count)
        return task

    def _shuffle(self, order: Random) -> None:
        """Tasks of one kind that stand next to each other change places."""
        ready = [(kind, list(handles)) for kind, handles in groupby(self._ready, _kind)]
        self._ready.clear()
        for kind, handles in ready:
            if kind != "callback" and len(handles) > 1:
                handles.sort(key=lambda handle: self._made.get(_owner(handle), -1))
                order.shuffle(handles)
            self._ready.extend(handles)

    def _process_events(self, event_list: list[object]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass  # A wake-up from a thread of the program's own; the next step sees what it queued.


def _owner(handle: asyncio.Handle) -> Any:
    """What the callback is a method of, if of anything."""
    return getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]


def _kind(handle: asyncio.Handle) -> Literal["callback", "begins", "goes on"]:
    task = _owner(handle)
    # A step is a method of its task that a program cannot name; so does asyncio tell them, in its debug output.
    name = getattr(handle._callback, "__name__", "")  # type: ignore[attr-defined]
    if not isinstance(task, asyncio.Task) or hasattr(asyncio.Task, name):
        return "callback"
    coroutine: Any = task.get_coro()  # pyright: ignore[reportUnknownVariableType]
    if not iscoroutine(coroutine):
        return "callback"  # of another make: it stays where it is
    return "begins" if getcoroutinestate(coroutine) == CORO_CREATED else "goes on"


for _name in _OUTSIDE:
    setattr(VirtualLoop, _name, _refuse)


def run_virtual(main: Coroutine[Any, Any, T], *, start: float = 0.0, order: Random | None = None) -> T:
    """Run `main` to its end on a new virtual clock and return what it returns.

    Args:
        start: What the clock shows in the beginning, in seconds.
        order: Draws lots among the tasks that are ready together; without, they run in the order in which asyncio
            would run them.

    Raises:
        Deadlock: nothing can ever happen again.
        Runaway: something spins.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start, order)) as runner:
        return runner.run(main)
