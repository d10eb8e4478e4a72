"""Limits shared by several processes: who hands out blocks of them, and who carries them home.

The local buckets stay in front. Behind them a call needs a place in a block that a backend has handed out to
this process (see `stock.py`), and one round trip is made for a block, not for a call. A block that is not
there yet is not polled for: the backend says from when on it may be used, in the order of asking, so
processes cannot starve each other.

When the backend does not answer, the processes go on with their own buckets alone - each of them keeps to the
limit, not all of them together - and it is asked again once a second. A provider that then answers 429
puts each on hold as ever; to stop instead would make the backend one more thing that can bring everything down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import inf
from typing import NoReturn, Protocol

from agentrt.errors import AgentrtError
from agentrt.gate.bucket import Bucket
from agentrt.gate.stock import Ask, Pool, Stock

logger = logging.getLogger(__name__)

ASKED_AGAIN_AFTER = 1.0
LONGEST_TRIP = 5.0
"""Seconds after which a backend without a timeout of its own counts as down: everybody waits for its answer."""


class LeasesDown(AgentrtError):
    """The backend that hands out shared limits did not answer."""

    code = "leases_down"


class Leases(Protocol):
    """Hands out blocks of limits that are shared. `name` says of which: a gate's key and a limit group's pattern."""

    async def lease(self, name: tuple[str, str], ask: Ask) -> float:
        """Take back what comes back, hand out what is asked for, and say in how many seconds it may be used.

        Who asks waits behind all who asked before. More than a pool holds is handed out once the pool is full, and
        leaves it in debt.

        Raises:
            LeasesDown: nothing is known of what became of it.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class LocalLeases:
    """Limits shared by the gates of one event loop, of several Runtimes for example."""

    def __init__(self) -> None:
        self._requests: dict[tuple[str, str], Bucket] = {}
        self._tokens: dict[tuple[str, str], Bucket] = {}

    async def lease(self, name: tuple[str, str], ask: Ask) -> float:
        """One block; see `Leases`. Never down."""
        now = asyncio.get_running_loop().time()
        return max(
            _lease(self._requests, name, ask.request_pool, ask.requests, ask.back_requests, now),
            _lease(self._tokens, name, ask.token_pool, ask.tokens, ask.back_tokens, now),
        )

    async def close(self) -> None:
        """There is nothing to let go of."""


class Share:
    """One limit group's part in shared limits: its stock, and the task that fills it.

    `moved` is called when more may go than before. Until somebody tends it nobody goes; afterwards the stock is open.
    """

    def __init__(self, leases: Leases, name: tuple[str, str], burst: float, moved: Callable[[], None]) -> None:
        self._leases = leases
        self._name = name
        self._moved = moved
        self._called = asyncio.Event()
        self.stock = Stock(burst, self._called.set)

    async def tend(self) -> NoReturn:
        """Carry what is asked for and given back, until cancelled."""
        try:
            while True:
                await self._carry(asyncio.get_running_loop().time)
        finally:
            self.stock.failed()

    async def _carry(self, time: Callable[[], float]) -> None:
        """One round trip; or, where there is nothing to carry, a pause until there is."""
        self._called.clear()
        ask = self.stock.ask(time())
        if ask is None:
            await self._pause(time() + self.stock.due(time()))
            return
        try:
            wait = await self._lease(ask)
        except LeasesDown as error:
            await self._do_without(error)
        else:
            self.stock.came(ask, wait, time())
            self._moved()

    async def _lease(self, ask: Ask) -> float:
        """The backend's answer. However it fails, it is down and brings nothing down with it.

        Raises:
            LeasesDown: there is none.
        """
        try:
            async with asyncio.timeout(LONGEST_TRIP):
                wait = await self._leases.lease(self._name, ask)
        except LeasesDown:
            raise
        except TimeoutError:
            raise LeasesDown(f"expected limits to be handed out within {LONGEST_TRIP:g} s, nothing came") from None
        except Exception as error:  # a backend may be the user's, and the runs are not its own
            raise LeasesDown(f"expected limits to be handed out, came {type(error).__name__}: {error}") from error
        if not (isinstance(wait, int | float) and 0 <= wait < inf):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise LeasesDown(f"expected limits in 0 or more seconds, came {wait!r}")
        return wait

    async def _pause(self, until: float) -> None:
        """Until something is called for, or is due."""
        try:
            async with asyncio.timeout_at(until if until < inf else None):
                await self._called.wait()
        except TimeoutError:
            pass

    async def _do_without(self, error: LeasesDown) -> None:
        """The backend is down: let calls go by their own buckets, and come back when it does."""
        logger.warning(
            "gate %r: %s; until it answers, this process keeps to its limits by itself", self._name[0], error
        )
        self.stock.failed()
        self._moved()
        while self.stock.down:
            await asyncio.sleep(ASKED_AGAIN_AFTER)
            try:
                await self._lease(Ask(Pool(), Pool()))
                self.stock.down = False
            except LeasesDown:
                continue
        logger.info("gate %r: the shared limits are back", self._name[0])


def _lease(
    buckets: dict[tuple[str, str], Bucket], name: tuple[str, str], pool: Pool, amount: float, back: float, now: float
) -> float:
    if not pool.rate:
        return 0.0
    bucket = buckets.setdefault(name, Bucket(pool.rate, pool.capacity))
    bucket.change(pool.rate, pool.capacity, now)
    bucket.give_back(back, now)
    wait = bucket.wait(amount, now) if amount else 0.0
    bucket.take(amount, now)
    return wait
