"""What a run is given: the order, by who asks, and the ports, by the Runtime that carries it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from agentrt.agent import Agent, Budget
from agentrt.events import Priority
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Spare
from agentrt.journal.journal import Journal
from agentrt.messages import Message
from agentrt.model.model import Model
from agentrt.providers import Provider
from agentrt.runs.places import Places
from agentrt.toolbox.call import Caller


@dataclass(frozen=True, kw_only=True)
class Order:
    """What somebody asked for. `deadline` is on the loop's clock, `ends_at` the same moment since 1970.

    `spare` is what is left to the run for retries.
    """

    run_id: str
    agent: Agent[Any]
    messages: tuple[Message, ...]
    deps: Any
    thread: str | None
    budget: Budget
    deadline: float
    ends_at: float
    metadata: Mapping[str, str]
    principal: str | None
    priority: Priority
    spare: Spare = field(default_factory=Spare)

    def within(self, whole: Order, *, bounded: bool) -> Order:
        """This order as given by a tool of a run: in the name of whom that run is for, and no more urgent than it.

        Otherwise a tenant would have as many shares of a gate as its tools start runs. `bounded`: it ends no later.
        """
        return replace(
            self,
            deadline=min(self.deadline, whole.deadline) if bounded else self.deadline,
            ends_at=min(self.ends_at, whole.ends_at) if bounded else self.ends_at,
            principal=whole.principal if self.principal is None else self.principal,
            priority="background" if whole.priority == "background" else self.priority,
        )


ENCLOSING: ContextVar[Order | None] = ContextVar("agentrt_order", default=None)
"""The order of the run whose tool the caller is, or was: the run may have ended."""


@dataclass(frozen=True)
class Candidate:
    """A model that may be asked, and the gate of its provider. `name` is "provider:model"."""

    name: str
    model: Model
    gate: Gate


@dataclass(frozen=True, kw_only=True)
class Ports:
    """What a run reaches the world by. `now` is seconds since 1970; the first of `candidates` is asked if it can be.

    `gate_of` is the gate of a provider that a tool names; calls pass gates by `places`.
    """

    journal: Journal
    candidates: tuple[Candidate, ...]
    caller: Caller
    gate_of: Callable[[Provider | str], Gate]
    now: Callable[[], float]
    places: Places = field(default_factory=Places)
