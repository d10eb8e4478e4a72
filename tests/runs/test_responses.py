"""A run over the Responses API from end to end: what was reasoned comes back to the provider with its call."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from agentrt import Agent, Provider, Runtime, run, tool
from agentrt.messages import ToolCall
from agentrt.testing.virtual import run_virtual
from tests.model.response_events import call, message, reasoning, reply, streamed


class Wire(httpx2.AsyncBaseTransport):
    """Answers with these bodies in order and keeps the requests."""

    def __init__(self, *bodies: bytes) -> None:
        self.bodies = list(bodies)
        self.asked: list[Any] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == "/v1/responses"
        self.asked.append(json.loads(request.content))
        return httpx2.Response(200, content=self.bodies.pop(0), headers={"content-type": "text/event-stream"})


@tool
async def stock(sku: str) -> int:
    """Units in the warehouse.

    Args:
        sku: Article number.
    """
    return 42


def test_what_was_reasoned_goes_back_before_its_call_and_is_journaled_with_it() -> None:
    looks = ToolCall("call_1", "stock", '{"sku":"A"}')
    wire = Wire(
        streamed(*reply(reasoning("Look first."), call(looks, 1))),
        streamed(*reply(message("42 are left.", 2))),
        streamed(*reply(message("Yes.", 3))),
    )
    openai = Provider(name="openai", api_key="k", profile="openai-responses", transport=wire)
    clerk = Agent(name="clerk", model="openai:gpt-5-mini", instructions="Be brief.", tools=[stock])

    async def main() -> None:
        async with Runtime(providers=[openai]):
            answer = await run(clerk, "How many?", thread="t")
            assert (answer.output, answer.usage.cached_tokens) == ("42 are left.", 128)
            await run(clerk, "Sure?", thread="t")

    run_virtual(main())
    for asked in wire.asked[1:]:
        kinds = [item.get("role") or item["type"] for item in asked["input"]]
        assert kinds[:4] == ["user", "reasoning", "function_call", "function_call_output"]
        assert asked["input"][1]["encrypted_content"] == "gAAA"
        assert [item["call_id"] for item in asked["input"][2:4]] == ["call_1", "call_1"]
        assert asked["input"][3]["output"] == "42"
        assert (asked["instructions"], asked["store"]) == ("Be brief.", False)
