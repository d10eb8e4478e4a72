"""What models cost: a table of list prices, dated, which users override; pure.

Read on 2026-11-22 from the providers' own pages where they could be had, else from tables that transcribe them; each
block says which. Prices are those without promotions, batches and faster tiers. What two sources disagreed about, or
what could not be found, is left out: of such a model nobody knows the price, and that is said by None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from types import MappingProxyType

from agentrt.errors import SettingInvalid
from agentrt.messages import Usage

AS_OF = "2026-11-22"
"""The day on which `PRICES` was read."""

_MILLION = 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """USD for a million tokens.

    Attributes:
        input: Of what the model reads.
        output: Of what it writes, its reasoning included.
        cached: Of what it reads from the provider's cache; None: the same as `input`.
        above: Input tokens, cached ones included, above which a request is charged by `beyond`, as a whole.
        beyond: The price of such long requests.

    Raises:
        SettingInvalid: a price below zero or without end, or one of `above` and `beyond` without the other.
    """

    input: float
    output: float
    cached: float | None = None
    above: int | None = None
    beyond: Price | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached"):
            usd = getattr(self, name)
            if usd is not None and not 0 <= usd < inf:
                raise SettingInvalid(f"Price({name}={usd!r}): expected USD for a million tokens, 0 or more")
        if (self.above is None) != (self.beyond is None):
            raise SettingInvalid("Price(above=, beyond=): expected both or neither")
        if self.above is not None and self.above < 1:
            raise SettingInvalid(f"Price(above={self.above}): expected 1 token or more")


def cost(price: Price, usage: Usage) -> float:
    """USD of one reply. The usage of several requests may not be added up before: each may be a long one by itself."""
    if price.above is not None and price.beyond is not None and usage.input_tokens > price.above:
        return cost(price.beyond, usage)
    cached = min(usage.cached_tokens, usage.input_tokens)
    of_cached = price.input if price.cached is None else price.cached
    spent = (usage.input_tokens - cached) * price.input + cached * of_cached + usage.output_tokens * price.output
    return spent / _MILLION


_DATE = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2}|\d{4}|\d{3})")
"""What names one version of a model behind its name: "gpt-5-2025-08-07", "gemini-2.0-flash-001"."""


def price_of(model: str, own: Mapping[str, Price] = MappingProxyType({})) -> Price | None:
    """What "provider:model" costs; None where nobody has said so.

    A price goes for the name it stands by and for the dated versions of that model; of several, the one with the
    longest name counts. One in `own` may end in "*", and goes for all names that begin so; it counts before `PRICES`.
    """
    return _found(model, own) or _found(model.replace("openai-responses:", "openai:", 1), PRICES)


def _found(model: str, prices: Mapping[str, Price]) -> Price | None:
    fitting = [name for name in prices if _fits(model, name)]
    return prices[max(fitting, key=len)] if fitting else None


def _fits(model: str, name: str) -> bool:
    if name.endswith("*"):
        return model.startswith(name[:-1])
    return model.startswith(name) and (len(model) == len(name) or _DATE.fullmatch(model, len(name)) is not None)


def _flat(provider: str, rows: Mapping[str, tuple[float, float | None, float]]) -> dict[str, Price]:
    """Rows of input, cached input and output."""
    return {f"{provider}:{name}": Price(input=i, cached=c, output=o) for name, (i, c, o) in rows.items()}


def _by_length(
    provider: str, above: int, factors: tuple[float, float], rows: Mapping[str, tuple[float, float | None, float]]
) -> dict[str, Price]:
    """Rows whose input and output cost so many times as much, by `factors`, in requests longer than `above` tokens."""
    read, written = factors
    priced: dict[str, Price] = {}
    for name, (i, c, o) in rows.items():
        beyond = Price(input=i * read, cached=None if c is None else c * read, output=o * written)
        priced[f"{provider}:{name}"] = Price(input=i, cached=c, output=o, above=above, beyond=beyond)
    return priced


PRICES: Mapping[str, Price] = {
    # developers.openai.com/api/docs/pricing, as transcribed by genai-prices (2026-08-21), models.dev (2026-07-02) and
    # LiteLLM's cost map (2026-07-24), which agree.
    **_flat(
        "openai",
        {
            "gpt-4": (30.0, None, 60.0),
            "gpt-4-turbo": (10.0, None, 30.0),
            "gpt-4.1": (2.0, 0.5, 8.0),
            "gpt-4.1-mini": (0.4, 0.1, 1.6),
            "gpt-4.1-nano": (0.1, 0.025, 0.4),
            "gpt-4o": (2.5, 1.25, 10.0),
            "gpt-4o-2024-05-13": (5.0, None, 15.0),
            "gpt-4o-mini": (0.15, 0.075, 0.6),
            "gpt-5": (1.25, 0.125, 10.0),
            "gpt-5-codex": (1.25, 0.125, 10.0),
            "gpt-5-mini": (0.25, 0.025, 2.0),
            "gpt-5-nano": (0.05, 0.005, 0.4),
            "gpt-5-pro": (15.0, None, 120.0),
            "gpt-5.1": (1.25, 0.125, 10.0),
            "gpt-5.1-codex": (1.25, 0.125, 10.0),
            "gpt-5.1-codex-mini": (0.25, 0.025, 2.0),
            "gpt-5.2": (1.75, 0.175, 14.0),
            "gpt-5.2-codex": (1.75, 0.175, 14.0),
            "gpt-5.2-pro": (21.0, None, 168.0),
            "gpt-5.3-codex": (1.75, 0.175, 14.0),
            "gpt-5.4-mini": (0.75, 0.075, 4.5),
            "gpt-5.4-nano": (0.2, 0.02, 1.25),
            "o1": (15.0, 7.5, 60.0),
            "o1-pro": (150.0, None, 600.0),
            "o3": (2.0, 0.5, 8.0),
            "o3-mini": (1.1, 0.55, 4.4),
            "o3-pro": (20.0, None, 80.0),
            "o4-mini": (1.1, 0.275, 4.4),
        },
    ),
    # Long requests: the same tables; docs.laozhang.ai, gpt-5-6-pricing-2026-07; BerriAI/litellm discussions 39633 and
    # 42523. GPT-5.6 Sol is $4 and $20 in a promotion that was promised until 2026-11-21 (gramext/dist v0.1.0).
    **_by_length(
        "openai",
        272_000,
        (2.0, 1.5),
        {
            "gpt-5.4": (2.5, 0.25, 15.0),
            "gpt-5.4-pro": (30.0, None, 180.0),
            "gpt-5.5": (5.0, 0.5, 30.0),
            "gpt-5.5-pro": (30.0, None, 180.0),
            "gpt-5.6-luna": (0.2, 0.02, 1.2),
            "gpt-5.6-sol": (5.0, 0.5, 30.0),
            "gpt-5.6-terra": (2.0, 0.2, 12.0),
            "gpt-6-astra": (10.0, 1.0, 50.0),
            "gpt-6-luna": (0.1, 0.01, 0.5),
            "gpt-6-sol": (2.0, 0.2, 10.0),
            "gpt-6.1-sol": (2.0, 0.1, 10.0),
        },
    ),
    # platform.claude.com/docs: about-claude/pricing and the overviews of the 5.5 models; for the cached input of Sonnet
    # 5.5, cut on 2026-10-07, kurofune/claudit v1.9.2. Tokens written to the cache are charged as input here; they cost
    # 1.25 times as much, or twice for an hour, which a usage does not tell.
    **_flat(
        "anthropic",
        {
            "claude-3-haiku": (0.25, 0.03, 1.25),
            "claude-3-5-haiku": (0.8, 0.08, 4.0),
            "claude-3-7-sonnet": (3.0, 0.3, 15.0),
            "claude-fable-5": (10.0, 1.0, 50.0),
            "claude-fable-5-1": (10.0, 0.25, 50.0),
            "claude-haiku-4-5": (1.0, 0.1, 5.0),
            "claude-opus-4": (15.0, 1.5, 75.0),
            "claude-opus-4-0": (15.0, 1.5, 75.0),
            "claude-opus-4-1": (15.0, 1.5, 75.0),
            "claude-opus-4-5": (5.0, 0.5, 25.0),
            "claude-opus-4-6": (5.0, 0.5, 25.0),
            "claude-opus-4-7": (5.0, 0.5, 25.0),
            "claude-opus-4-8": (5.0, 0.5, 25.0),
            "claude-opus-5": (5.0, 0.5, 25.0),
            "claude-opus-5-5": (4.0, 0.2, 20.0),
            "claude-sonnet-4": (3.0, 0.3, 15.0),
            "claude-sonnet-4-0": (3.0, 0.3, 15.0),
            "claude-sonnet-4-6": (3.0, 0.3, 15.0),
            "claude-sonnet-5": (2.0, 0.2, 10.0),
            "claude-sonnet-5-5": (2.0, 0.1, 10.0),
        },
    ),
    **_by_length("anthropic", 200_000, (2.0, 1.5), {"claude-sonnet-4-5": (3.0, 0.3, 15.0)}),
    **_by_length("anthropic", 100_000, (5.0, 5.0), {"claude-haiku-5-5": (0.1, 0.01, 0.5)}),
    # ai.google.dev/gemini-api/docs/pricing, by the three tables above; for 3.7 and 3.8 Flash by BerriAI/litellm
    # discussion 39357 and uttamdeb/agent-telemetry v1.6.6. The Flash models from 3.6 on are at half until 2026-12-31.
    # Audio costs more.
    **_flat(
        "gemini",
        {
            "gemini-2.0-flash": (0.1, 0.025, 0.4),
            "gemini-2.0-flash-lite": (0.075, None, 0.3),
            "gemini-2.5-flash": (0.3, 0.03, 2.5),
            "gemini-2.5-flash-lite": (0.1, 0.01, 0.4),
            "gemini-3-flash-preview": (0.5, 0.05, 3.0),
            "gemini-3.1-flash-lite": (0.25, 0.025, 1.5),
            "gemini-3.5-flash": (1.5, 0.15, 9.0),
            "gemini-3.5-flash-lite": (0.3, 0.03, 2.5),
            "gemini-3.6-flash": (1.5, 0.15, 7.5),
            "gemini-3.7-flash": (1.5, 0.15, 7.5),
            "gemini-3.8-flash": (1.5, 0.15, 7.5),
        },
    ),
    **_by_length(
        "gemini",
        200_000,
        (2.0, 1.5),
        {
            "gemini-2.5-pro": (1.25, 0.125, 10.0),
            "gemini-3-pro-preview": (2.0, 0.2, 12.0),
            "gemini-3.1-pro-preview": (2.0, 0.2, 12.0),
        },
    ),
    # mistral.ai/pricing, by genai-prices and models.dev. Names with "-latest" stand for one model today and another
    # tomorrow, and are left out.
    **_flat(
        "mistral",
        {
            "devstral-2512": (0.4, 0.04, 2.0),
            "mistral-large-2512": (0.5, 0.05, 1.5),
            "mistral-medium-2508": (0.4, None, 2.0),
            "mistral-medium-2604": (1.5, None, 7.5),
            "mistral-small-2603": (0.15, 0.015, 0.6),
        },
    ),
    # api-docs.deepseek.com/quick_start/pricing: those of the peak hours. At other times it is half as much.
    **_flat(
        "deepseek",
        {
            "deepseek-flash": (0.3, 0.006, 1.2),
            "deepseek-v4-flash": (0.3, 0.006, 1.2),
            "deepseek-v4-pro": (1.32, 0.044, 3.96),
        },
    ),
    # groq.com/pricing, by genai-prices, models.dev and the crate aicost 0.2.4.
    **_flat(
        "groq",
        {
            "llama-3.1-8b-instant": (0.05, None, 0.08),
            "llama-3.3-70b-versatile": (0.59, None, 0.79),
            "meta-llama/llama-4-scout-17b-16e-instruct": (0.11, None, 0.34),
            "openai/gpt-oss-120b": (0.15, 0.075, 0.6),
            "openai/gpt-oss-20b": (0.075, 0.0375, 0.3),
            "qwen/qwen3-32b": (0.29, None, 0.59),
        },
    ),
    # docs.x.ai/developers/models, by models.dev, docs.apiyi.com (grok-4-5, grok-4-6) and apidog.com (grok-4-7).
    **_by_length(
        "xai",
        199_999,
        (2.0, 2.0),
        {
            "grok-4.3": (1.25, 0.2, 2.5),
            "grok-4.5": (2.0, 0.5, 6.0),
            "grok-4.6": (2.0, 0.5, 6.0),
            "grok-4.7": (2.0, 0.5, 6.0),
            "grok-build-0.1": (1.0, 0.2, 2.0),
        },
    ),
}
"""List prices by "provider:model", as of `AS_OF`."""
