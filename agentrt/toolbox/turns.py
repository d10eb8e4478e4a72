"""Turns: when a call of a tool may begin, by the tool's own `concurrency` and `rate`, over all runs of a Runtime.

Theory: each tool has a *lane* with places and a pace. A call first takes a place, then waits for the pace; the other
way round calls that had waited out the pace could pile up before the places and then begin in a burst. A place is
kept until the call's work has ended: of work that would not stop that is later than the end of the turn. First come,
first served. Nobody else knows of a wait that is cancelled: a place that it was just given goes to the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from agentrt.events import GateWaited, Passing, Retrying, WaitReason
from agentrt.gate.pace import Pace
from agentrt.toolbox.define import Tool
from agentrt.toolbox.outcome import Work

Watch = Callable[[Passing], None]
"""Is told of waits (`GateWaited`) and repeated attempts (`Retrying`). Does not wait."""


class Places:
    """So many places, given to who came first. Lives on one event loop."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: dict[asyncio.Future[None], None] = {}  # a queue that anybody can leave at once

    def free(self) -> bool:
        """Whether the next to come gets a place at once."""
        return self._free > 0

    async def take(self) -> None:
        """Until there is a place. Who is cancelled meanwhile has taken none."""
        if self._free > 0:
            self._free -= 1  # and nobody waits: a place that comes free goes to who does
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = None
        try:
            await waiter
        except asyncio.CancelledError:
            self._waiting.pop(waiter, None)
            if waiter.done() and not waiter.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        while self._waiting:
            waiter = next(iter(self._waiting))
            del self._waiting[waiter]
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1


class Lane:
    """What the calls of one tool share."""

    def __init__(self, tool: Tool[Any]) -> None:
        self.places = None if tool.concurrency is None else Places(tool.concurrency)
        self.pace = None if tool.rate is None else Pace(tool.rate)


class Turn:
    """One call's turn. `async with` waits for it and gives back what it took; `Caller.call` is given it within."""

    def __init__(self, name: str, lane: Lane | None, call_id: str, watch: Watch) -> None:
        self._name = name
        self._places = None if lane is None else lane.places
        self._pace = None if lane is None else lane.pace
        self._call_id = call_id
        self._watch = watch
        self._straggler: Work | None = None

    @property
    def outlasted(self) -> bool:
        """Whether there is work in it that was told to stop and has not."""
        return self._straggler is not None and not self._straggler.done()

    async def __aenter__(self) -> Turn:
        if self._places is not None:
            await self._wait("concurrency", self._places.free(), self._places.take)
        try:
            await self.keep_pace()
        except BaseException:
            self._leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    async def keep_pace(self) -> None:
        """Wait until one more attempt may begin; the first has waited with `async with`."""
        if self._pace is not None:
            await self._wait("rate", self._pace.free(), self._pace.wait)

    def outlasted_by(self, work: Work) -> None:
        """This work has not stopped; the place is its until it ends."""
        self._straggler = work

    def repeating(self, attempts: int, delay: float, error: str) -> None:
        """So many attempts have failed, the last with this code; the next begins after `delay` seconds."""
        self._watch(Retrying(provider=self._name, attempt=attempts, delay=delay, error=error, call_id=self._call_id))

    async def _wait(self, reason: WaitReason, at_once: bool, wait: Callable[[], Awaitable[None]]) -> None:
        if at_once:
            await wait()
            return
        time = asyncio.get_running_loop().time
        began = time()
        self._waited(reason, 0.0, None)
        try:
            await wait()
        finally:
            self._waited(reason, time() - began, 0.0)

    def _waited(self, reason: WaitReason, waited: float, eta: float | None) -> None:
        self._watch(GateWaited(provider=self._name, reason=reason, waited=waited, eta=eta, call_id=self._call_id))

    def _leave(self) -> None:
        places = self._places
        if places is None:
            return
        if self._straggler is not None and self.outlasted:
            self._straggler.add_done_callback(lambda _: places.give_back())
        else:
            places.give_back()
