"""What the gate's tests share: gates with small limits, and work that takes so long or fails so often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from random import Random
from typing import TypeVar

from agentrt.errors import AgentrtError
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant
from agentrt.gate.limits import Limits

T = TypeVar("T")
Work = Callable[[Grant], Awaitable[str]]


def a_gate(
    requests: float | None = None,
    tokens: float | None = None,
    *,
    per: float = 1,
    burst: float = 1,
    concurrency: int = 20,
    groups: Mapping[str, Limits] | None = None,
    hedge: bool = False,
) -> Gate:
    limits = Limits(requests=requests, tokens=tokens, per=per, burst=burst, concurrency=concurrency)
    return Gate("openai", limits, random=Random(1), groups=groups, hedge=hedge)


def now() -> float:
    return asyncio.get_running_loop().time()


def work_of(seconds: float = 0.0, started: list[float] | None = None) -> Work:
    """Work that takes so long, and notes when it starts."""

    async def work(_grant: Grant) -> str:
        if started is not None:
            started.append(now())
        if seconds:
            await asyncio.sleep(seconds)
        return "done"

    return work


def failing_first(*errors: BaseException, started: list[float] | None = None) -> Work:
    """Work whose first attempts fail with these errors, and which then succeeds."""
    left = list(errors)

    async def work(_grant: Grant) -> str:
        if started is not None:
            started.append(now())
        if left:
            raise left.pop(0)
        return "done"

    return work


async def settled(calls: Iterable[Awaitable[T]]) -> list[T | BaseException]:
    """Run calls together; each ends in its result or its error."""

    async def one(call: Awaitable[T]) -> T | BaseException:
        try:
            return await call
        except (AgentrtError, ValueError) as error:
            return error

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(call)) for call in calls]
    return [task.result() for task in tasks]


async def everything_is_back(gate: Gate, *, after: float) -> None:
    """Nobody is in it, no timer is left, and once it has had time to refill it is as new."""
    await asyncio.sleep(after)
    timers: list[asyncio.TimerHandle] = vars(asyncio.get_running_loop())["_scheduled"]
    assert all(timer.cancelled() for timer in timers)
    now, new = gate.statistics(), Gate(gate.key, gate.limits, random=Random(1)).statistics()
    assert (now.in_flight, now.waiting, now.cooling_until) == (0, 0, None)
    assert [group.in_flight for group in now.groups] == [0] * len(now.groups)
    assert (now.requests, now.tokens) == (new.requests, new.tokens)
    assert (gate._resting, gate._retrying) == (0, 0)
