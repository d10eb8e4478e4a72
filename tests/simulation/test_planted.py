"""Can the simulation see? Bugs are planted in the real code, and each must be found within a few seeds or steps."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable, Iterable
from functools import reduce
from itertools import islice
from typing import Any

import pytest
from msgspec.structs import replace

from agentrt.errors import AgentrtError
from agentrt.events import Fact, RunEnded, ToolReturned, ToolStarted
from agentrt.gate.gate import Gate
from agentrt.journal.memory import MemoryJournal
from agentrt.runs import carry, conversations, intents, owner, perform, record, state
from agentrt.runs.ask import Turn
from agentrt.runs.feed import Feed
from agentrt.runs.record import Record
from agentrt.testing.virtual import Deadlock
from agentrt.toolbox.call import Caller
from bench.soak_steps import WAYS
from tests.simulation.plan import Plan, plan_of
from tests.simulation.scenes import SCENES
from tests.simulation.simulation import lived

Patch = pytest.MonkeyPatch

SEEDS = 200
"""Worlds within which a bug must be found; without one none has a complaint."""


def found(plans: Iterable[Plan]) -> str:
    """The first complaint about any of these worlds, or how the first of them came to a standstill."""
    for plan in plans:
        try:
            world = lived(plan)
        except (Deadlock, AssertionError, AgentrtError, ExceptionGroup) as error:
            return repr(error)
        if world.complaints:
            return world.complaints[0]
    return ""


def in_seeds(seeds: int = SEEDS) -> str:
    return found(map(plan_of, range(seeds)))


def in_steps(scene: str, way: str, steps: int = 120) -> str:
    return found(WAYS[way](SCENES[scene], step) for step in range(1, steps))
