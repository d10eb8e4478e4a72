"""Agent and Budget: what a user writes down. Frozen, and unaware of any runtime."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias

import msgspec

from agentrt.errors import SettingInvalid
from agentrt.forms import Form, form_of
from agentrt.guardrails import Guardrail
from agentrt.messages import O_co
from agentrt.middleware import AroundModel, AroundTool
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool
from agentrt.toolbox.registry import D_contra, Registry
from agentrt.windows import ContextWindow


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a run may use up; None is unlimited.

    Args:
        turns: Model calls that may be answered. On the last one no tools are offered.
        tool_calls: Calls of tools, over all turns.
        tokens: Input and output tokens together, over all turns; checked between turns.
        usd: US dollars, over all turns; checked between turns. The prices of the agent's models must be known.

    Raises:
        SettingInvalid: a bound of zero or less.
    """

    turns: int = 20
    tool_calls: int = 100
    tokens: int | None = None
    usd: float | None = None

    def __post_init__(self) -> None:
        for name, bound in (("turns", self.turns), ("tool_calls", self.tool_calls), ("tokens", self.tokens)):
            if bound is not None and bound < 1:
                raise SettingInvalid(f"Budget({name}={bound}): needs at least 1")
        if self.usd is not None and not self.usd > 0:
            raise SettingInvalid(f"Budget(usd={self.usd}): needs more than 0 US dollars")


_OURS = frozenset(
    {
        *("model", "messages", "input", "system", "instructions", "tools", "stream", "response_format"),
        *("temperature", "max_tokens", "max_completion_tokens", "max_output_tokens"),
    }
)
"""Fields of requests that say what the agent says already; a provider may take the one or the other."""


ToolSet: TypeAlias = "Sequence[Tool[D_contra]]"


@dataclass(frozen=True, kw_only=True)
class Agent(Generic[D_contra, O_co]):
    """A model, its instructions and the tools it may call. `Agent[Deps]` needs `deps` to run.

    `Agent[Deps, Output]` answers with an `Output`.

    Args:
        name: The name under which a run remembers its agent.
        description: What it is good for, in words for the models of other agents, which may hand over to it.
        model: "provider:model", e.g. "openai:gpt-5-mini".
        fallbacks: Models to ask, in this order, while those before are down, out of quota, too busy for the
            deadline, or do not know us or the model; each "provider:model".
        instructions: The system message; or a function of the `Context` that makes it, once in each run.
        tools: Made by `@tool`. Those that ask for a `Context[Deps]` get the `deps` given to `run`. Or a function of the
            `Context` that chooses them, once in each run: for who asks, or with whose credentials.
        handoffs: Agents that the model may hand the conversation to; such an agent answers in this one's place, in the
            form of this one's `output`.
        output: What the answer is: any type that pydantic can read from JSON. By default it is text as it comes.
        around_model: Middleware around each turn of the model, the first outermost; see `middleware.py`.
        around_tool: Middleware around each execution of a tool, the first outermost.
        guardrails: Made by `@guardrail`. Those of the input look at what the user says, those of the output at the
            finished answer; one that trips ends the run.
        budget: What one run may use up, unless the run says otherwise.
        max_output_tokens: Upper bound of one reply, where the provider takes one.
        temperature: As the provider defines it; None leaves it to the provider.
        options: Further fields of the provider's requests, sent as they are, e.g. {"reasoning_effort": "low"}.
            A fallback of another provider goes without.
        window: What becomes of a conversation that the model cannot read at once; None sends it whole, come what may.

    Raises:
        SettingInvalid: no name, a model that does not name its provider, an output that pydantic cannot read.
        ToolInvalid: two tools of one name, or something that is no tool.
    """

    name: str
    model: str
    description: str = ""
    fallbacks: Sequence[str] = ()
    instructions: str | Callable[[Context[Any]], str | Awaitable[str]] = ""
    tools: Sequence[Tool[D_contra]] | Callable[[Context[Any]], ToolSet[D_contra] | Awaitable[ToolSet[D_contra]]] = (
        field(default_factory=tuple[Tool, ...])
    )
    handoffs: Sequence[Agent[D_contra, Any]] = field(default_factory=tuple["Agent[object, Any]", ...])
    output: type[O_co] = field(default=str)  # type: ignore[assignment]
    around_model: Sequence[AroundModel] = ()
    around_tool: Sequence[AroundTool[D_contra]] = field(default_factory=tuple[AroundTool, ...])
    guardrails: Sequence[Guardrail[D_contra]] = field(default_factory=tuple[Guardrail, ...])
    budget: Budget = field(default_factory=Budget)
    max_output_tokens: int | None = None
    temperature: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    window: ContextWindow | None = field(default_factory=ContextWindow)
    registry: Registry[D_contra] = field(init=False, repr=False, compare=False)
    form: Form[O_co] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.name:
            raise SettingInvalid('Agent(name=""): an agent needs a name, e.g. "clerk"')
        if isinstance(self.fallbacks, str):
            raise SettingInvalid(f'Agent(fallbacks="{self.fallbacks}"): expected a list of models, even of one')
        for field_name, name in (("model", self.model), *(("fallbacks", name) for name in self.fallbacks)):
            provider, _, model = name.partition(":")
            if not provider or not model:
                raise SettingInvalid(
                    f'Agent({field_name}="{name}"): expected "provider:model", '
                    'e.g. "openai:gpt-5-mini" or "ollama:qwen3"'
                )
        if ours := _OURS & self.options.keys():
            raise SettingInvalid(f"Agent(options=...): {', '.join(sorted(ours))} cannot be set there")
        try:
            msgspec.json.encode(self.options)
        except (TypeError, ValueError) as error:
            raise SettingInvalid(f"Agent(options=...): expected what JSON can say ({error})") from None
        for guardrail in self.guardrails:
            if not isinstance(guardrail, Guardrail):  # pyright: ignore[reportUnnecessaryIsInstance] - as in Registry
                raise SettingInvalid(
                    f"Agent(guardrails=...): {guardrail!r:.80} is none; write @guardrail(on=...) above it"
                )
        object.__setattr__(self, "registry", Registry(() if callable(self.tools) else self.tools))
        object.__setattr__(self, "form", form_of(self.output))

    def reachable(self) -> dict[str, Agent[D_contra, Any]]:
        """This agent and all that a conversation with it may be handed to, by name.

        Raises:
            SettingInvalid: two of them have one name.
        """
        found: dict[str, Agent[D_contra, Any]] = {}
        left: list[Agent[D_contra, Any]] = [self]
        while left:
            agent = left.pop()
            if found.setdefault(agent.name, agent) is not agent:
                raise SettingInvalid(f'two agents are called "{agent.name}"; a run knows its agents by their names')
            left += [other for other in agent.handoffs if found.get(other.name) is not other]
        return found
