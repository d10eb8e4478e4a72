"""What a run is given: the order, by who asks, and the ports, by the Runtime that carries it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agentrt.agent import Agent, Budget
from agentrt.events import Priority
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Spare
from agentrt.journal.journal import Journal
from agentrt.messages import Message
from agentrt.model.model import Model
from agentrt.providers import Provider
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


@dataclass(frozen=True)
class Candidate:
    """A model that may be asked, and the gate of its provider. `name` is "provider:model"."""

    name: str
    model: Model
    gate: Gate


@dataclass(frozen=True, kw_only=True)
class Ports:
    """What a run reaches the world by. `now` is seconds since 1970; the first of `candidates` is asked if it can be.

    `gate_of` is the gate of a provider that a tool names.
    """

    journal: Journal
    candidates: tuple[Candidate, ...]
    caller: Caller
    gate_of: Callable[[Provider | str], Gate]
    now: Callable[[], float]
