"""What a run is given: the order, by who asks, and the ports, by the Runtime that carries it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import msgspec

from agentrt.agent import Agent, Budget
from agentrt.events import Priority
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Spare
from agentrt.journal.journal import Journal
from agentrt.messages import Message, ToolSpec, Usage
from agentrt.model.model import Model
from agentrt.prices import Price, cost
from agentrt.profiles import Schemas
from agentrt.providers import Provider
from agentrt.runs.chain import Fork
from agentrt.runs.gauge import Gauge
from agentrt.runs.ledger import Ledger
from agentrt.runs.places import Places
from agentrt.toolbox.call import Caller
from agentrt.toolbox.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Order:
    """What somebody asked for. `ends_at` is seconds since 1970; waiting for people puts it off, see `Record.deadline`.

    `spare` is what is left to the run for retries, `parent` the run whose tool asks, `trace`
    the `traceparent` of the run,
    `ledger` what is spent for it and for the runs that its tools begin, and
    `fork` where the run goes on from, if not at the end of its thread.
    """

    run_id: str
    agent: Agent[Any]
    messages: tuple[Message, ...]
    deps: Any
    thread: str | None
    budget: Budget
    ends_at: float
    metadata: Mapping[str, str]
    principal: str | None
    priority: Priority
    parent: str | None = None
    trace: str = ""
    ledger: Ledger = field(default_factory=Ledger)
    fork: Fork | None = None
    spare: Spare = field(default_factory=Spare)

    def within(self, whole: Order, *, ends_at: float) -> Order:
        """This order as given by a tool of a run: in the name of whom that run is for, and no more urgent than it.

        Otherwise a tenant would have as many shares of a gate as its tools start runs. It ends by `ends_at`.
        """
        return replace(
            self,
            parent=whole.run_id,
            ledger=Ledger(whole.ledger),
            ends_at=min(self.ends_at, ends_at),
            principal=whole.principal if self.principal is None else self.principal,
            priority="background" if whole.priority == "background" else self.priority,
        )


ENCLOSING: ContextVar[Order | None] = ContextVar("agentrt_order", default=None)
"""The order of the run whose tool the caller is, or was: the run may have ended."""


@dataclass(frozen=True)
class Candidate:
    """A model that may be asked, the gate of its provider, and its price if known. `name` is "provider:model"."""

    name: str
    model: Model
    gate: Gate
    price: Price | None = None
    schemas: Schemas = "always"

    def takes_schema(self, *, beside_tools: bool) -> bool:
        """Whether it may be sent a schema for its answer."""
        return self.schemas == "always" or (self.schemas == "without_tools" and not beside_tools)

    def priced(self, usage: Usage) -> Usage:
        """What one reply of it took, with what that costs as far as is known."""
        return usage if self.price is None else msgspec.structs.replace(usage, usd=cost(self.price, usage))


@dataclass(frozen=True, kw_only=True)
class Role:
    """An agent as it is in this run: what it is told, the tools it has, and whom to ask; the first that can be is.

    `handoffs` are the names of the agents that it may hand over to, by those of the tools it does so with.
    """

    agent: Agent[Any]
    instructions: str
    registry: Registry[Any]
    candidates: tuple[Candidate, ...]
    handoffs: Mapping[str, str]
    specs: tuple[ToolSpec, ...]

    @cached_property
    def reads_early(self) -> bool:
        """Whether it has a tool that may begin while the model still writes."""
        return any(tool.early for tool in self.registry)


@dataclass(frozen=True, kw_only=True)
class Ports:
    """What a run reaches the world by. `now` is seconds since 1970; `candidates_of` an agent are its models in order.

    `gate_of` is the gate of a provider that a tool names; calls pass gates by `places`; `gauge` knows windows.
    """

    journal: Journal
    candidates_of: Callable[[Agent[Any]], tuple[Candidate, ...]]
    caller: Caller
    gate_of: Callable[[Provider | str], Gate]
    now: Callable[[], float]
    gauge: Gauge = field(default_factory=Gauge)
    places: Places = field(default_factory=Places)
