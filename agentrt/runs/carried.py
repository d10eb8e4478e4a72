"""A run as it is carried: what its moves share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from agentrt.runs.control import Control
from agentrt.runs.order import Order, Ports, Role
from agentrt.runs.reads import Reads
from agentrt.runs.record import Record
from agentrt.runs.roles import Roles


@dataclass(eq=False)
class Carried:
    """What was asked, what has happened, and by what the moves reach the world.

    `role` is the agent that goes on with it now, one of `roles`; `reads` are its reads in flight, and `screen` is
    done once its input has passed the guardrails, while it is carried. `output` is what its answer says.
    """

    order: Order
    ports: Ports
    record: Record
    control: Control
    roles: Roles
    role: Role
    reads: Reads = field(init=False)
    screen: asyncio.Task[None] | None = None
    output: Any = None
