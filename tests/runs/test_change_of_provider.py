"""One thread, carried on by one provider after another: each is sent what its own package would take, and no more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from itertools import permutations
from tempfile import TemporaryDirectory
from typing import Any, TypeGuard

import httpx2
import pytest
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from pydantic import TypeAdapter

from agentrt import Agent, Provider, Runtime, run
from agentrt.messages import ImagePart, TextPart, UserMessage
from agentrt.profiles import PROFILES
from agentrt.testing.virtual import run_virtual
from tests.runs.spoken import ONE, TWO, Turn, said, stock

TAKEN: dict[str, TypeAdapter[Any]] = {
    "chat": TypeAdapter(CompletionCreateParamsStreaming),
    "responses": TypeAdapter(ResponseCreateParamsStreaming),
    "messages": TypeAdapter(MessageCreateParamsStreaming),
}
NAMES = ("openai", "openai-responses", "anthropic", "groq", "gemini", "deepseek", "openrouter")
OWN = {
    "anthropic": '"signature": "sig"',
    "deepseek": '"reasoning_content": "Hm."',
    "gemini": '"thought_signature": "sig"',
    "openai-responses": '"encrypted_content": "gAAA"',
    "openrouter": '"reasoning_details": [{',
}
"""What a provider wants back of its thoughts."""
STRICT = ("openai", "openai-responses", "anthropic", "groq")
"""The others speak as OpenAI does, and take some fields more."""
PICTURE = UserMessage((TextPart("What is that?"), ImagePart(data=b"png", media_type="image/png")))


class Wire(httpx2.AsyncBaseTransport):
    """Takes turns in the words of one API, each with a thought before it, and keeps the requests."""

    def __init__(self, name: str, *turns: Turn) -> None:
        self.name = name
        self.api = PROFILES[name].api
        self.turns = iter(turns)
        self.asked: list[dict[str, Any]] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(json.loads(request.content))
        body = said(next(self.turns), self.name)
        return httpx2.Response(200, content=body, headers={"content-type": "text/event-stream"})


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def is_many(value: Any) -> TypeGuard[Iterable[Any]]:
    return isinstance(value, list | Iterator)


def all_of(value: Any) -> Any:
    """The value, in which pydantic has put iterators that check only what is asked of them."""
    if is_object(value):
        return {key: all_of(inner) for key, inner in value.items()}
    return [all_of(inner) for inner in value] if is_many(value) else value


def taken(wire: Wire, body: dict[str, Any]) -> dict[str, Any]:
    """The request as the provider's package knows it: fields that it does not know are gone."""
    checked: dict[str, Any] = all_of(TAKEN[wire.api].validate_python(body))
    return checked


def calls_and_results(wire: Wire, body: dict[str, Any]) -> list[tuple[str, str]]:
    """The conversation's calls and results by id, in order."""
    found: list[tuple[str, str]] = []
    for item in body.get("input", body.get("messages", ())):
        found += [("call", one["id"]) for one in item.get("tool_calls") or ()]
        if wire.api == "responses" and item.get("type") in ("function_call", "function_call_output"):
            found.append(("call" if item["type"] == "function_call" else "result", item["call_id"]))
        elif item.get("role") == "tool":
            found.append(("result", item["tool_call_id"]))
        elif wire.api == "messages":
            for block in item["content"]:
                if block["type"] in ("tool_use", "tool_result"):
                    found.append(("call", block["id"]) if "id" in block else ("result", block["tool_use_id"]))
    return found


@pytest.mark.parametrize(("first", "second"), list(permutations(NAMES, 2)))
def test_a_thread_goes_on_with_another_provider_and_back(first: str, second: str) -> None:
    wires = {
        first: Wire(first, (ONE, TWO), (ONE,), "42 of each.", (TWO,), "A cat."),
        second: Wire(second, (ONE, TWO), (TWO,), "Still 42."),
    }
    providers = [Provider(name=name, api_key="k", transport=wire) for name, wire in wires.items()]

    async def main() -> None:
        async with Runtime(providers=providers):
            for name, asked, output in (
                (first, "How many?", "42 of each."),
                (second, "Sure?", "Still 42."),
                (first, [PICTURE], "A cat."),
            ):
                clerk = Agent(name="clerk", model=f"{name}:gpt-5-mini", instructions="Be brief.", tools=[stock])
                assert (await run(clerk, asked, thread="t")).output == output

    run_virtual(main())
    check(*wires.values())
    last = json.dumps(wires[first].asked[-1])
    assert "cG5n" in last  # the picture
    # What a provider wants back it gets back, also after another one had its turn; and no other gets it.
    assert [name for name, own in OWN.items() if own in last] == [first] * (first in OWN)


def check(*wires: Wire) -> None:
    """All that was sent is what may be sent."""
    for wire in wires:
        for body in wire.asked:
            known = taken(wire, body)
            if wire.name in STRICT:
                assert known == body
            order = calls_and_results(wire, body)
            assert len(order) == len(set(order))  # no id stands for two calls, however often providers use it
            results = [name for kind, name in order if kind == "result"]
            assert results == [name for kind, name in order if kind == "call"]


@pytest.mark.parametrize(("before", "after"), list(permutations(("openai", "openai-responses", "anthropic"), 2)))
def test_a_provider_of_one_name_may_come_to_speak_another_api(before: str, after: str) -> None:
    wires = [Wire(name, (ONE, TWO), (ONE,), "42 of each.") for name in (before, after, before)]

    async def main(journal: str) -> None:
        for wire in wires:
            mine = Provider(name="mine", api_key="k", profile=wire.name, transport=wire)
            async with Runtime(providers=[mine], journal=journal):
                clerk = Agent(name="clerk", model="mine:gpt-5-mini", instructions="Be brief.", tools=[stock])
                assert (await run(clerk, "How many?", thread="t")).output == "42 of each."

    with TemporaryDirectory() as folder:
        asyncio.run(main(f"sqlite:{folder}/chat.db"))
    check(*wires)
