"""The agents that may carry on a conversation, as they are in one run.

Instructions and tools that are functions of the context are made once in a run, when their agent first speaks. An
agent that may hand over has a tool for each that it may hand over to.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast

import msgspec

from agentrt.agent import Agent
from agentrt.errors import AgentrtError, SettingInvalid, ToolInvalid
from agentrt.messages import ToolSpec
from agentrt.runs.order import Order, Ports, Role
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool
from agentrt.toolbox.registry import Registry

logger = logging.getLogger(__name__)

OnLoop = Callable[[str, Callable[[Any], Awaitable[Any]]], Awaitable[Any]]
"""Awaits users' code under a name, and lets go of it if it will not stop."""

_NOTHING = msgspec.Raw(b'{"type":"object","properties":{},"additionalProperties":false}')


class AgentFailed(AgentrtError):
    """A function that makes an agent's instructions, or chooses its tools, failed."""

    code = "agent_failed"


class Roles:
    """Roles by the names of their agents, each made when it is first needed."""

    def __init__(self, order: Order, ports: Ports) -> None:
        self._order = order
        self._ports = ports
        self._agents = order.agent.reachable()
        self._made: dict[str, Role] = {}

    def at_first(self, name: str) -> Role:
        """The role of that agent as far as nobody need be asked for it."""
        agent = self._agent(name)
        instructions = agent.instructions if isinstance(agent.instructions, str) else ""
        return self._role(agent, instructions, agent.registry)

    async def of(self, name: str, on_loop: OnLoop) -> Role:
        """The role of that agent. What it awaits of the users' is awaited by `on_loop`.

        Raises:
            AgentFailed: a function that makes part of it failed.
            ConfigurationError: what it made is no role.
        """
        if name not in self._made:
            agent = self._agent(name)
            instructions = await self._called(agent, "instructions", agent.instructions, on_loop)
            if not isinstance(instructions, str):
                raise AgentFailed(
                    f'the instructions of agent "{agent.name}": expected a text, came {type(instructions).__name__}'
                )
            registry = agent.registry
            if callable(agent.tools):
                registry = _registry(agent, await self._called(agent, "tools", agent.tools, on_loop))
            for tool in registry:
                if tool.provider is not None:
                    self._ports.gate_of(
                        tool.provider
                    )  # who names nobody's provider is told so before the model is asked
            self._made[name] = self._role(agent, instructions, registry)
        return self._made[name]

    def _agent(self, name: str) -> Agent[Any]:
        if name not in self._agents:
            known = ", ".join(self._agents)
            raise SettingInvalid(
                f'the run was handed to agent "{name}", which {self._order.agent.name} does not know: {known}'
            )
        return self._agents[name]

    def _role(self, agent: Agent[Any], instructions: str, registry: Registry[Any]) -> Role:
        handoffs = {f"transfer_to_{re.sub(r'[^A-Za-z0-9_-]', '_', other.name)}"[:64]: other for other in agent.handoffs}
        clash = handoffs.keys() & set(registry.names)
        if clash or len(handoffs) < len(agent.handoffs):
            raise SettingInvalid(
                f'agent "{agent.name}": the tools of its handoffs need names of their own: {", ".join(handoffs)}'
            )
        return Role(
            agent=agent,
            instructions=instructions,
            registry=registry,
            candidates=self._ports.candidates_of(agent),
            handoffs={tool: other.name for tool, other in handoffs.items()},
            specs=(*registry.specs, *(_spec(tool, other) for tool, other in handoffs.items())),
        )

    async def _called(self, agent: Agent[Any], what: str, made: Any, on_loop: OnLoop) -> Any:
        """What it is, or what the user's function makes of the context."""
        if not callable(made):
            return made
        order = self._order
        context = Context(
            order.deps, run_id=order.run_id, metadata=order.metadata, principal=order.principal, deadline=float("inf")
        )
        try:
            result = made(context)
            return await on_loop(f"{agent.name} {what}", lambda _: result) if inspect.isawaitable(result) else result
        except Exception as error:
            text = f'the {what} of agent "{agent.name}" could not be made; the log of run {order.run_id} says more'
            raise AgentFailed(text) from error


def _registry(agent: Agent[Any], chosen: object) -> Registry[Any]:
    if isinstance(chosen, str) or not isinstance(chosen, Iterable):
        raise AgentFailed(f'the tools of agent "{agent.name}": expected a list, came {type(chosen).__name__}')
    try:
        return Registry(cast("Iterable[Tool[Any]]", chosen))
    except ToolInvalid as error:
        raise AgentFailed(f'the tools of agent "{agent.name}": {error}') from error


def _spec(tool: str, other: Agent[Any]) -> ToolSpec:
    good_for = f": {other.description}" if other.description else "."
    return ToolSpec(tool, f"Hand the conversation over to {other.name}{good_for}", _NOTHING)
