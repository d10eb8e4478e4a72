"""Whose turn it is to ask a host: so many requests at once, at a pace, and none while it wants to be left alone.

A host is a name and a port. It is known while anybody asks it or waits to, and some time longer: of those that
nobody asks, the ones asked last are remembered, with their pace and with how long they want to be left alone.

Who waits stands in one line for each host, first come, first served. The wait has a bound of its own; it does not
count against the time that a request may take.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from math import inf

from agentrt.egress.policy import EgressPolicy
from agentrt.errors import EgressFailed
from agentrt.gate.pace import Pace

REMEMBERED = 1000
"""Hosts, beyond which the longest unasked are forgotten."""

LONGEST_REST = 86_400.0
"""Seconds; a slip in a header must not close a host for good."""


class HostResting(EgressFailed):
    """The host wants to be left alone for longer than a request may wait: it was not asked.

    Attributes:
        retry_after: For how many more seconds.
    """

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Hosts:
    """Gives turns. Lives on one event loop."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._known: dict[tuple[str, int], _Host] = {}

    def __len__(self) -> int:
        return len(self._known)

    @asynccontextmanager
    async def turn(self, name: str, port: int, clock: asyncio.Timeout | None = None) -> AsyncGenerator[None]:
        """One of the host's places, for as long as the block runs; `clock` stands still until the block begins.

        Raises:
            HostResting: it wants to be left alone for too long.
            EgressFailed: the line was too long.
        """
        host = self._host(name, port)
        host.present += 1
        try:
            with _Stopped(clock):
                await self._wait(host, name)
            try:
                yield
            finally:
                host.places.release()
        finally:
            host.present -= 1
            self._remember(name, port)

    def rest(self, name: str, port: int, seconds: float) -> None:
        """Leave the host alone for so long, or a day if that is less."""
        host = self._host(name, port)
        host.rests_until = max(host.rests_until, asyncio.get_running_loop().time() + min(seconds, LONGEST_REST))

    async def _wait(self, host: _Host, name: str) -> None:
        """Take a place when it is our turn; who does not get so far holds none."""
        time, most = asyncio.get_running_loop().time, self._policy.per_host_wait
        until = time() + most
        host.check(name, time(), until)
        try:
            async with asyncio.timeout_at(until):
                await host.places.acquire()
                try:
                    while host.rests_until > time():
                        host.check(name, time(), until)
                        await asyncio.sleep(host.rests_until - time())
                    if host.pace is not None:
                        await host.pace.wait()
                except BaseException:
                    host.places.release()
                    raise
        except TimeoutError:
            raise EgressFailed(f'"{name}" is asked by too many here: no turn came within {most:g} s') from None

    def _host(self, name: str, port: int) -> _Host:
        if (name, port) not in self._known:
            self._known[name, port] = _Host(self._policy)
        return self._known[name, port]

    def _remember(self, name: str, port: int) -> None:
        """As the one that was asked last."""
        self._known[name, port] = self._known.pop((name, port))
        if len(self._known) > REMEMBERED:
            idle = next((which for which, other in self._known.items() if not other.present), None)
            if idle is not None:
                del self._known[idle]


class _Host:
    """`present` is who asks it or waits to."""

    def __init__(self, policy: EgressPolicy) -> None:
        self.places = asyncio.Semaphore(policy.per_host_concurrency)
        self.pace = None if policy.per_host_rate is None else Pace(policy.per_host_rate)
        self.present = 0
        self.rests_until = -inf

    def check(self, name: str, now: float, until: float) -> None:
        if self.rests_until > until:
            left = self.rests_until - now
            raise HostResting(f'"{name}" wants to be left alone for another {left:.0f} s', retry_after=left)


class _Stopped:
    """A clock that stands still for a while."""

    def __init__(self, clock: asyncio.Timeout | None) -> None:
        self._clock = clock
        self._left: float | None = None

    def __enter__(self) -> None:
        if self._clock is not None and (ends := self._clock.when()) is not None:
            self._left = ends - asyncio.get_running_loop().time()
            self._clock.reschedule(None)

    def __exit__(self, *_: object) -> None:
        if self._clock is not None and self._left is not None:
            self._clock.reschedule(asyncio.get_running_loop().time() + self._left)
