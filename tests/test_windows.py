"""What is known of windows, and what is learned from the words of a refusal."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.errors import SettingInvalid
from agentrt.profiles import PROFILES
from agentrt.windows import SMALLEST, WINDOWS, ContextWindow, Windows, known


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("openai:gpt-5-mini", 272_000),
        ("openai:gpt-5", 272_000),
        ("openai-responses:gpt-5.2", 272_000),
        ("openai:gpt-5.4", 922_000),
        ("openai:gpt-5.4-mini", 272_000),
        ("openai:gpt-5-chat-latest", 128_000),
        ("openai:gpt-4.1-nano-2025-04-14", 1_047_576),
        ("openai:gpt-4", 8_192),
        ("openai:gpt-4o-2024-11-20", 128_000),
        ("openai:gpt-4-turbo", 128_000),
        ("anthropic:claude-haiku-4-5-20251001", 200_000),
        ("anthropic:claude-opus-4-1", 200_000),
        ("anthropic:claude-opus-4-6", 1_000_000),
        ("anthropic:claude-sonnet-4-20250514", 200_000),
        ("anthropic:claude-sonnet-4-6", 1_000_000),
        ("gemini:gemini-2.5-pro", 1_048_576),
        ("groq:openai/gpt-oss-120b", 131_072),
        ("mistral:mistral-small-latest", 256_000),
        ("xai:grok-4.3", 1_000_000),
        ("openai:gpt-7", None),
        ("ollama:qwen3", None),
        ("azure:gpt-4o", None),
        ("gpt-4o", None),
    ],
)
def test_the_window_of_a_model_is_known_by_its_provider_and_name(model: str, tokens: int | None) -> None:
    assert known(model) == tokens
    assert Windows().of(model) == tokens


def test_every_provider_of_the_table_is_a_ready_one_and_no_pattern_stands_behind_one_that_hides_it() -> None:
    assert WINDOWS.keys() <= PROFILES.keys()
    for table in WINDOWS.values():
        for n, (pattern, tokens) in enumerate(table):
            assert tokens >= SMALLEST
            assert not [one for one, _ in table[:n] if fnmatchcase(pattern.replace("*", ""), one)]


def test_what_the_user_says_counts_before_what_is_known() -> None:
    assert Windows().of("openai:gpt-4", 100_000) == 100_000
    assert Windows().of("ollama:qwen3", 8_000) == 8_000


TOO_LONG = """
This model's maximum context length is 4097 tokens. However, your messages resulted in 5613 tokens. | 4097 | 5613
maximum context length is 16384 tokens. However, you requested 122946 tokens (112946 in the messages, 1 | 16384 | 112946
maximum context length is 4096 tokens and your request has 2104 input tokens (2000 > 4096 - 2104). | 4096 | 2104
maximum context length is 32768 tokens. However, you requested about 42832 tokens (42832 of text input) | 32768 | 42832
Input tokens exceed the configured limit of 272,000 tokens. Your messages resulted in 297,006 tokens. | 272000 | 297006
prompt is too long: 213462 tokens > 200000 maximum | 200000 | 213462
input length and `max_tokens` exceed context limit: 198000 + 20000 > 200000, decrease input length | 200000 |
The input token count (1196265) exceeds the maximum number of tokens allowed (1048575). | 1048575 | 1196265
This model's maximum prompt length is 131072 but the request contains 537812 tokens. | 131072 | 537812
request (1407 tokens) exceeds the available context size (512 tokens), try increasing it | 512 | 1407
Requested tokens (2285) exceed context window of 2048 | 2048 |
Your request exceeded model token limit: 262144 (requested: 300000) | 262144 | 300000
"""
"""The words, the window they name, and the tokens they count: OpenAI and vLLM (vllm#20409), OpenRouter (refly#1177),
OpenAI since GPT-5 (community.openai.com/t/1344734), Anthropic, Gemini, xAI, llama.cpp, llama-cpp-python, Kimi."""

REFUSALS = [
    (words, int(limit), int(counted) if counted.strip() else None)
    for words, limit, counted in (line.split(" |") for line in TOO_LONG.strip().splitlines())
]


@pytest.mark.parametrize(("words", "limit", "counted"), REFUSALS)
def test_a_window_that_the_refusal_names_is_learned(words: str, limit: int, counted: int | None) -> None:
    windows, sent = Windows(), counted or limit + 1
    windows.refused("vllm:own", words, sent, 2_000)
    assert windows.of("vllm:own") == limit
    assert windows.of("vllm:other") is None
    assert windows.of("vllm:own", 300) == 300


@pytest.mark.parametrize(("ours", "window"), [(225_000, 180_000), (300_000, 240_000), (9_000_000, 400_000)])
def test_a_window_is_learned_in_tokens_as_we_count_them(ours: int, window: int) -> None:
    windows = Windows()
    windows.refused("vllm:own", "prompt is too long: 250000 tokens > 200000 maximum", ours, 0)
    assert windows.of("vllm:own") == window
    assert windows.of("vllm:own", 100_000, ratio=0.5) == min(200_000, window)
    assert windows.of("openai:gpt-4", ratio=2.0) == 4_096


def test_a_refusal_that_names_no_figure_or_an_impossible_one_makes_four_fifths_of_what_was_asked_the_window() -> None:
    for words in ("the request exceeds the available context size, try increasing it", "context window of 3", "> 9,"):
        windows = Windows()
        windows.refused("llama.cpp:own", words, 9_000, 1_000)
        assert windows.of("llama.cpp:own") == 8_000
    windows.refused("llama.cpp:own", "too long", 20_000, 0)
    assert windows.of("llama.cpp:own") == 8_000  # it does not grow
    windows.refused("llama.cpp:own", "maximum context length is 50000", 8_000, 0)
    assert windows.of("llama.cpp:own") == 6_400


@given(st.text(max_size=300) | st.sampled_from([words for words, _, _ in REFUSALS]), st.integers(1, 10**7))
def test_whatever_a_provider_says_the_window_becomes_smaller_than_what_it_refused(words: str, asked: int) -> None:
    windows = Windows()
    windows.refused("vllm:own", words, asked, 0)
    window = windows.of("vllm:own")
    assert window is not None and window >= SMALLEST
    assert window < asked or asked <= SMALLEST * 5 // 4


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ContextWindow(tokens=8), r"ContextWindow\(tokens=8\): expected at least 256 tokens"),
        (lambda: ContextWindow(keep_results=-1), "expected 0 or more"),
        (lambda: ContextWindow(excerpt=10), "expected at least 100 characters"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(make: Callable[[], ContextWindow], words: str) -> None:
    with pytest.raises(SettingInvalid, match=words):
        make()
