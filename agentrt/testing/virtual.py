"""An event loop on which time passes only when nobody has anything left to do.

Theory: asyncio asks its selector to wait until the next timer is due. Here the selector does not wait;
it moves the clock by just that long. An hour of timeouts and rate limits passes in milliseconds, and a
sum of sleeps is exact to 1e-6 s. What lives outside the loop - sockets, executors, child processes -
would make the clock run away from it, so the loop refuses them. Two ways to hang become errors: nobody
will ever be woken (`Deadlock`), or somebody spins without time passing (`Runaway`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

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
    """Runs on virtual seconds, from `start`. Use it through `run_virtual`."""

    _ready: deque[asyncio.Handle]  # asyncio's own: what runs in the next step

    virtual = True
    """Told to what would start a thread: no thread can be waited for here."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self._now = start
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

    def _process_events(self, event_list: list[object]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass  # A wake-up from a thread of the program's own; the next step sees what it queued.


for _name in _OUTSIDE:
    setattr(VirtualLoop, _name, _refuse)


def run_virtual(main: Coroutine[Any, Any, T], *, start: float = 0.0) -> T:
    """Run `main` to its end on a new virtual clock and return what it returns.

    Raises:
        Deadlock: nothing can ever happen again.
        Runaway: something spins.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(start)) as runner:
        return runner.run(main)
