"""What a figure of the gate is, and what those have in common that run on the virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from random import Random

import msgspec

from agentrt import Limits
from agentrt.errors import AgentrtError
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock


class Figure(msgspec.Struct, frozen=True):
    """One line of the report. `met` is None where no goal is set."""

    name: str
    got: str
    goal: str = ""
    met: bool | None = None


Work = Callable[[Grant], Awaitable[object]]


def a_gate(limits: Limits) -> Gate:
    """A gate of its own for each figure."""
    return Gate("bench", limits, random=Random(1))


def now() -> float:
    """The running loop's clock."""
    return asyncio.get_running_loop().time()


async def succeeds(gate: Gate, work: Work, knock: Knock) -> bool:
    """Whether a call through the gate came to its end."""
    try:
        await gate.call(work, knock)
    except AgentrtError:
        return False
    return True


def above(amounts: Iterable[tuple[float, float]], seconds: float, most: float) -> tuple[int, float]:
    """How many of the stretches of so many seconds, one ending at each of the `(at, amount)`, hold more than `most`;
    and what the fullest holds.
    """
    listed = list(amounts)
    first, total, count, fullest = 0, 0.0, 0, 0.0
    for at, amount in listed:
        total += amount
        while listed[first][0] + seconds <= at:
            total -= listed[first][1]
            first += 1
        count += total > most + 1e-6
        fullest = max(fullest, total)
    return count, fullest
