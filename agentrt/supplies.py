"""What runs are supplied with: the models of their agents, the gates of their tools, and work that goes on beside."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from agentrt.agent import Agent, Budget
from agentrt.errors import SettingInvalid
from agentrt.journal.journal import Journal
from agentrt.model.tokens import warm
from agentrt.prices import Price, price_of
from agentrt.runs.gauge import Gauge
from agentrt.runs.order import Candidate, Ports
from agentrt.runs.places import Places
from agentrt.services import Service, Services
from agentrt.toolbox.call import Caller

logger = logging.getLogger(__name__)


class Supplies:
    """One for all runs of a Runtime. `beside` lets something go on beside them, if they can begin at all yet."""

    def __init__(
        self,
        services: Services,
        journal: Journal,
        caller: Caller,
        now: Callable[[], float],
        beside: Callable[[Coroutine[Any, Any, None], str], bool],
        prices: Mapping[str, Price],
    ) -> None:
        self._services = services
        self._journal = journal
        self._caller = caller
        self._now = now
        self._beside = beside
        self._prices = prices
        self._places = Places()
        self._gauge = Gauge()
        self._warmed: set[str] = set()
        self._known: dict[str, Candidate] = {}

    def ports(self, agent: Agent[Any], budget: Budget) -> Ports:
        """By what a run of this agent reaches the world.

        Raises:
            SettingInvalid: the budget is one of money, and the price of a model is not known.
            ProviderUnknown, KeyMissing: one of its models, or of its tools' providers, cannot be asked.
            SettingInvalid: a tool brings a provider along that differs from another of its name.
        """
        gate_of = self._services.gate
        agents = agent.reachable().values()
        for tool in (tool for one in agents for tool in one.registry):
            if tool.provider is not None:
                gate_of(tool.provider)  # who names nobody's provider is told so before anything is asked
        unpriced = [model.name for one in agents for model in self._candidates(one) if model.price is None]
        if budget.usd is not None and unpriced:
            raise SettingInvalid(
                f'Budget(usd={budget.usd}): the price of "{unpriced[0]}" is not known; say it: '
                f'Runtime(prices={{"{unpriced[0]}": Price(input=..., output=...)}}), in US dollars per million tokens'
            )
        return Ports(
            journal=self._journal,
            candidates_of=self._candidates,
            caller=self._caller,
            gate_of=gate_of,
            now=self._now,
            gauge=self._gauge,
            places=self._places,
        )

    def service(self, model: str) -> Service:
        """Who serves "provider:model"; raises as `Services.of` does."""
        service = self._services.of(model)
        provider = service.provider
        if provider.limits.tokens is not None and provider.transport is None and provider.name not in self._warmed:
            # Until the ranks are read, in a thread, reservations are estimates.
            name = model.partition(":")[2]
            if self._beside(_warm(name), f"token ranks of {name}"):
                self._warmed.add(provider.name)
        return service

    def _candidates(self, agent: Agent[Any]) -> tuple[Candidate, ...]:
        return tuple(self._candidate(name) for name in (agent.model, *agent.fallbacks))

    def _candidate(self, name: str) -> Candidate:
        service = self.service(name)
        if name not in self._known:
            schemas, price = service.provider.traits.schemas, price_of(name, self._prices)
            self._known[name] = Candidate(name, service.model, service.gate, price, schemas)
        return self._known[name]


async def _warm(model: str) -> None:
    """Without ranks, tokens are estimated: no run ends for want of them."""
    try:
        await warm(model)
    except (ImportError, OSError, ValueError):
        logger.warning("token counts of %s stay estimates", model, exc_info=True)
