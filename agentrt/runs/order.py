"""What a run is given: the order, by who asks, and the ports, by the Runtime that carries it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agentrt.agent import Agent, Budget
from agentrt.gate.gate import Gate
from agentrt.journal.journal import Journal
from agentrt.messages import Message
from agentrt.model.model import Model
from agentrt.toolbox.call import Caller


@dataclass(frozen=True, kw_only=True)
class Order:
    """What somebody asked for. `deadline` is on the loop's clock, `ends_at` the same moment since 1970."""

    run_id: str
    agent: Agent[Any]
    model: str
    messages: tuple[Message, ...]
    deps: Any
    thread: str | None
    budget: Budget
    deadline: float
    ends_at: float
    metadata: Mapping[str, str]
    principal: str | None


@dataclass(frozen=True, kw_only=True)
class Ports:
    """What a run reaches the world by. `now` is seconds since 1970."""

    journal: Journal
    model: Model
    gate: Gate
    caller: Caller
    now: Callable[[], float]
