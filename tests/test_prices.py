"""Prices: which one goes for a model, and what a reply costs."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.errors import SettingInvalid
from agentrt.messages import Usage
from agentrt.prices import AS_OF, PRICES, Price, cost, price_of
from agentrt.profiles import PROFILES


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("openai:gpt-5", "openai:gpt-5"),
        ("openai:gpt-5-2025-08-07", "openai:gpt-5"),
        ("openai:gpt-5-mini-2025-08-07", "openai:gpt-5-mini"),
        ("openai-responses:gpt-5-mini", "openai:gpt-5-mini"),
        ("openai:gpt-4o-2024-08-06", "openai:gpt-4o"),
        ("openai:gpt-4o-2024-05-13", "openai:gpt-4o-2024-05-13"),
        ("anthropic:claude-opus-4-20250514", "anthropic:claude-opus-4"),
        ("anthropic:claude-opus-4-5-20251101", "anthropic:claude-opus-4-5"),
        ("anthropic:claude-opus-5", "anthropic:claude-opus-5"),
        ("gemini:gemini-2.0-flash-001", "gemini:gemini-2.0-flash"),
        ("groq:openai/gpt-oss-120b", "groq:openai/gpt-oss-120b"),
    ],
)
def test_a_price_goes_for_a_model_and_its_dated_versions(model: str, name: str) -> None:
    assert price_of(model) is PRICES[name]


@pytest.mark.parametrize(
    "model",
    [
        "openai:gpt-5-turbo",
        "openai:gpt-55",
        "openai:gpt-5-",
        "openai:gpt",
        "anthropic:claude-opus-5-6",
        "anthropic:claude-opus-4-5-fast",
        "house:gpt-5",
        "gpt-5",
        "mistral:mistral-large-latest",
        "",
    ],
)
def test_of_a_model_that_is_not_listed_nobody_knows_the_price(model: str) -> None:
    assert price_of(model) is None


def test_what_a_user_says_counts_before_what_is_listed() -> None:
    cheap, house, free = Price(input=1, output=2), Price(input=3, output=4), Price(input=0, output=0)
    own = {"openai:gpt-5": cheap, "house:*": house, "house:small-*": free, "*": free}
    assert price_of("openai:gpt-5-2025-08-07", own) is cheap
    assert price_of("house:large", own) is house
    assert price_of("house:small-1", own) is free
    assert price_of("openai:gpt-4o", own) is free
    del own["*"]
    assert price_of("openai:gpt-5-mini", own) is PRICES["openai:gpt-5-mini"]
    assert price_of("openai-responses:gpt-5", own) is PRICES["openai:gpt-5"]  # another name of the user's, perhaps


def test_a_reply_costs_what_was_read_and_written() -> None:
    price = Price(input=2.0, cached=0.5, output=10.0)
    assert cost(price, Usage(input_tokens=1_000_000, output_tokens=100_000)) == pytest.approx(3.0)
    assert cost(price, Usage(input_tokens=1_000_000, cached_tokens=800_000)) == pytest.approx(0.8)
    assert cost(Price(input=2.0, output=10.0), Usage(input_tokens=10, cached_tokens=10)) == pytest.approx(2e-5)
    assert cost(price, Usage()) == 0
    # A provider that says more was cached than read is not believed.
    assert cost(price, Usage(input_tokens=100, cached_tokens=900)) == pytest.approx(100 * 0.5e-6)


def test_a_long_request_is_charged_as_a_whole_by_its_own_price() -> None:
    price = PRICES["gemini:gemini-2.5-pro"]
    assert cost(price, Usage(input_tokens=200_000, output_tokens=1_000)) == pytest.approx(0.26)
    assert cost(price, Usage(input_tokens=200_001, output_tokens=1_000)) == pytest.approx(0.5150025)
    assert cost(price, Usage(input_tokens=300_000, cached_tokens=300_000)) == pytest.approx(0.075)


TOKENS = st.integers(0, 2_000_000)


@given(st.sampled_from(sorted(PRICES)), TOKENS, TOKENS, TOKENS)
def test_more_tokens_never_cost_less_and_cached_ones_never_more(
    name: str, read: int, cached: int, written: int
) -> None:
    spent = cost(PRICES[name], Usage(read, written, cached))
    assert spent >= 0
    assert cost(PRICES[name], Usage(read + 1_000, written + 1, cached)) >= spent
    assert cost(PRICES[name], Usage(read, written, 0)) >= spent - 1e-12


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"input": -1, "output": 0}, "Price(input=-1)"),
        ({"input": 1, "output": float("nan")}, "Price(output=nan)"),
        ({"input": 1, "output": 1, "cached": float("inf")}, "Price(cached=inf)"),
        ({"input": 1, "output": 1, "above": 10}, "expected both or neither"),
        ({"input": 1, "output": 1, "beyond": Price(input=1, output=1)}, "expected both or neither"),
        ({"input": 1, "output": 1, "above": 0, "beyond": Price(input=1, output=1)}, "Price(above=0)"),
    ],
)
def test_a_price_that_is_none_is_refused(arguments: dict[str, float], why: str) -> None:
    with pytest.raises(SettingInvalid) as refused:
        Price(**arguments)  # type: ignore[arg-type]
    assert why in str(refused.value)


def test_the_table_is_dated_and_names_providers_and_models_as_agents_do() -> None:
    assert date.fromisoformat(AS_OF) <= date.today()  # noqa: DTZ011 - a day is a day
    for name in PRICES:
        provider, _, model = name.partition(":")
        assert provider in PROFILES and model
        price = PRICES[name]
        assert price.cached is None or price.cached < price.input < price.output * 2
