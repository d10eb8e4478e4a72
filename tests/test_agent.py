from __future__ import annotations

from typing import Any

import pytest

from agentrt import Agent, Budget, tool
from agentrt.errors import ConfigurationError, SettingInvalid, ToolInvalid


@tool
async def stock(sku: str) -> int:
    """Units of an article."""
    return len(sku)


def test_an_agent_is_a_frozen_record_with_its_tools_by_name() -> None:
    clerk = Agent(name="clerk", model="openai:gpt-5-mini", tools=[stock])
    assert clerk.registry.names == ("stock",)
    with pytest.raises(AttributeError):
        clerk.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("model", ["gpt-5", ":gpt-5", "openai:", ""])
def test_a_model_names_its_provider(model: str) -> None:
    with pytest.raises(SettingInvalid, match='expected "provider:model"'):
        Agent(name="clerk", model=model)


def test_a_models_own_name_may_have_colons() -> None:
    assert Agent(name="clerk", model="ollama:qwen2.5:7b").model == "ollama:qwen2.5:7b"


def test_an_agent_needs_a_name() -> None:
    with pytest.raises(SettingInvalid, match="needs a name"):
        Agent(name="", model="openai:m")


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ToolInvalid, match='two tools are called "stock"'):
        Agent(name="clerk", model="openai:m", tools=[stock, stock])


@pytest.mark.parametrize("bounds", [{"turns": 0}, {"tool_calls": 0}, {"tokens": 0}, {"turns": -1}])
def test_a_budget_of_nothing_is_refused(bounds: dict[str, Any]) -> None:
    ((name, bound),) = bounds.items()
    with pytest.raises(ConfigurationError, match=rf"Budget\({name}={bound}\): needs at least 1"):
        Budget(**bounds)


def test_tokens_are_not_bounded_unless_somebody_says_so() -> None:
    assert Budget() == Budget(turns=20, tool_calls=100, tokens=None)


def test_options_may_not_say_what_the_agent_says() -> None:
    assert Agent(name="a", model="openai:m", options={"reasoning_effort": "low"}).options == {"reasoning_effort": "low"}
    with pytest.raises(SettingInvalid, match="messages, temperature cannot be set there"):
        Agent(name="a", model="openai:m", options={"temperature": 1, "messages": []})
    with pytest.raises(SettingInvalid, match="what JSON can say"):
        Agent(name="a", model="openai:m", options={"x": object()})
