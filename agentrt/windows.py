"""How much a model reads at once, and what an agent wants done when its conversation outgrows that.

A window is in tokens. What a user says of it counts first, then what is known of the model; what its provider said
when it refused a request bounds both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from agentrt.errors import SettingInvalid

SMALLEST = 256
"""Tokens. A window below that is no window: a provider's text was misread, or a setting is in other units."""


@dataclass(frozen=True, kw_only=True)
class ContextWindow:
    """What becomes of a conversation that its model cannot read at once. The journal keeps it whole in any case.

    First the oldest tool results are shortened to excerpts, then the model sums up what came first. Instructions and
    the last question are always sent as they are.

    Args:
        tokens: The window of the agent's model; by default what is known of it. Less makes requests cheaper.
        keep_results: How many of the newest tool results stay whole as long as there is another way.
        excerpt: Characters that are left of a tool result.
        summarise: Whether the model may be asked for a summary; otherwise a conversation that stays too long fails.

    Raises:
        SettingInvalid: fewer than 256 tokens, a negative number of results, an excerpt of less than 100 characters.
    """

    tokens: int | None = None
    keep_results: int = 4
    excerpt: int = 1_000
    summarise: bool = True

    def __post_init__(self) -> None:
        if self.tokens is not None and self.tokens < SMALLEST:
            raise SettingInvalid(f"ContextWindow(tokens={self.tokens}): expected at least {SMALLEST} tokens")
        if self.keep_results < 0:
            raise SettingInvalid(f"ContextWindow(keep_results={self.keep_results}): expected 0 or more")
        if self.excerpt < 100:
            raise SettingInvalid(f"ContextWindow(excerpt={self.excerpt}): expected at least 100 characters")


_OPENAI = (
    # Input and output have bounds of their own in these; here is the input's. The first differs between sources, and
    # is the smaller of them (models.dev, litellm; on the input's bound: community.openai.com/t/1344734).
    ("gpt-5*-chat*", 128_000),
    ("gpt-5.3-codex-spark*", 100_000),
    ("gpt-5.4-mini*", 272_000),
    ("gpt-5.4-nano*", 272_000),
    ("gpt-5.4*", 922_000),
    ("gpt-5.5*", 922_000),
    ("gpt-5", 272_000),
    ("gpt-5-*", 272_000),
    ("gpt-5.[123]*", 272_000),
    ("gpt-4.1*", 1_047_576),
    ("gpt-4o*", 128_000),
    ("gpt-4-turbo*", 128_000),
    ("gpt-4", 8_192),
    ("gpt-4-0613", 8_192),
    ("gpt-3.5-turbo*", 16_385),
    ("o1", 200_000),
    ("o1-pro*", 200_000),
    ("o3*", 200_000),
    ("o4-mini*", 200_000),
)

WINDOWS: Mapping[str, tuple[tuple[str, int], ...]] = {
    # Sonnet 4 and 4.5 had a million with a beta header until 2026-04-30 (platform.claude.com, release notes).
    "anthropic": (
        ("claude-fable-5*", 1_000_000),
        ("claude-haiku-4-5*", 200_000),
        ("claude-opus-4-[678]*", 1_000_000),
        ("claude-sonnet-4-6*", 1_000_000),
        ("claude-sonnet-5*", 1_000_000),
        ("claude-opus-4*", 200_000),
        ("claude-sonnet-4*", 200_000),
        ("claude-3*", 200_000),
    ),
    "deepseek": (("deepseek-v4-*", 1_000_000),),
    "gemini": (
        ("gemini-*-image*", 32_768),
        ("gemini-*-tts*", 8_192),
        ("gemini-2.[05]-*", 1_048_576),
        ("gemini-3*", 1_048_576),
        ("gemini-flash-latest", 1_048_576),
        ("gemini-flash-lite-latest", 1_048_576),
    ),
    "groq": (
        ("groq/compound*", 131_072),
        ("llama-3.[13]-*", 131_072),
        ("meta-llama/llama-4-scout-*", 131_072),
        ("openai/gpt-oss-*", 131_072),
        ("qwen/qwen3-32b", 131_072),
    ),
    "mistral": (
        ("codestral-latest", 256_000),
        ("devstral-2512", 262_144),
        ("magistral-*", 128_000),
        ("ministral-*", 128_000),
        ("mistral-large-2411", 131_072),
        ("mistral-large-2512", 262_144),
        ("mistral-large-latest", 262_144),
        ("mistral-medium-2505", 131_072),
        ("mistral-medium-2508", 262_144),
        ("mistral-medium-2604", 262_144),
        ("mistral-small-2506", 128_000),
        ("mistral-small-2603", 256_000),
        ("mistral-small-latest", 256_000),
    ),
    "openai": _OPENAI,
    "openai-responses": _OPENAI,
    "xai": (("grok-4.20-*", 1_000_000), ("grok-4.3", 1_000_000), ("grok-build-0.1", 256_000)),
}
"""Tokens by provider and model, the first pattern that fits. As of 2026-07-02 (the data of models.dev, commit
f3fc692, compared with litellm's of 2026-07-24); models on which the two differ are left out. So are providers whose
windows depend on how they were set up (llama.cpp, Ollama, vLLM, LM Studio, Azure's deployments) or on where they pass
a request on to (OpenRouter, Together, Fireworks): theirs are learned, or said by `ContextWindow.tokens`.
"""

_N = r"([0-9][0-9,_]*)"
_LIMIT = re.compile(
    rf"maximum context length (?:is|of) {_N}"  # OpenAI, vLLM, OpenRouter, DeepSeek
    rf"|> {_N}(?: maximum|,)"  # Anthropic: "200135 tokens > 200000 maximum", "198000 + 20000 > 200000, decrease"
    rf"|maximum number of tokens allowed \(?{_N}"  # Gemini
    rf"|maximum prompt length is {_N}"  # xAI
    rf"|configured limit of {_N}"  # OpenAI since GPT-5
    rf"|available context size \({_N} tokens"  # llama.cpp
    rf"|exceeds the limit of {_N}"  # GitHub Copilot
    rf"|token limit: {_N}"  # Kimi
    rf"|context (?:window|size|length) of (?:only )?{_N}",  # llama-cpp-python, LM Studio
    re.IGNORECASE,
)
_SENT = re.compile(
    rf"resulted in {_N} tokens"
    rf"|\({_N} (?:in the messages|in your prompt|of text input)"
    rf"|request has {_N} input tokens"
    rf"|too long: {_N} tokens"
    rf"|input token count \(?{_N}"
    rf"|request contains {_N} tokens"
    rf"|request \({_N} tokens\)"
    rf"|\(requested: {_N}",
    re.IGNORECASE,
)
"""What the provider counted of the request, without the reply."""


class Windows:
    """What providers said of their models' windows, by "provider:model", in tokens as we count them."""

    def __init__(self) -> None:
        self._learned: dict[str, int] = {}

    def of(self, model: str, told: int | None = None, ratio: float = 1.0) -> int | None:
        """The window of "provider:model"; `told` is what the user says of it. None if nobody knows.

        `ratio` is how many tokens the provider counts for one of ours.
        """
        bound, learned = told or known(model), self._learned.get(model)
        bounds = ([] if bound is None else [int(bound / ratio)]) + ([] if learned is None else [learned])
        return min(bounds, default=None)

    def refused(self, model: str, words: str, sent: int, reply: int) -> None:
        """A request of `sent` tokens that asked for up to `reply` was too long; the provider said so in `words`.

        Without a figure that explains it, four fifths of the two count as the window.
        """
        limit, counted = _number(_LIMIT, words), _number(_SENT, words)
        if limit is not None and counted is not None:
            limit = int(limit * min(2.0, max(0.5, sent / counted)))
        if limit is None or limit >= sent + reply:
            limit = (sent + reply) * 4 // 5
        self._learned[model] = max(SMALLEST, min(limit, self._learned.get(model, limit)))


def known(model: str) -> int | None:
    """The window of "provider:model" in `WINDOWS`."""
    provider, _, name = model.partition(":")
    return next((tokens for pattern, tokens in WINDOWS.get(provider, ()) if fnmatchcase(name, pattern)), None)


def _number(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.search(text)
    if found is None:
        return None
    digits = next(group for group in found.groups() if group is not None)
    number = int(digits[:12].replace(",", "").replace("_", ""))
    return number if number >= SMALLEST else None
