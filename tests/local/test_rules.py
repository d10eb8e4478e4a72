"""The rules provider as its clients meet it: the real `openai` package over a real socket, and its clock."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam

from agentrt.local.handler import Request, reading
from agentrt.local.rules import MODEL, RulesProvider, estimate
from agentrt.local.wire import serve
from agentrt.testing.virtual import run_virtual


def tool(name: str, argument: str) -> ChatCompletionFunctionToolParam:
    schema: dict[str, object] = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    return {"type": "function", "function": {"name": name, "parameters": schema}}


TOOLS = [tool("dependents", "package"), tool("search", "query"), tool("fetch_document", "url")]
QUESTION: ChatCompletionMessageParam = {"role": "user", "content": "what needs core?"}


def chat(**fields: Any) -> Request:
    body = {"model": MODEL, "messages": [QUESTION], "tools": TOOLS, **fields}
    return Request("POST", "/v1/chat/completions", {}, json.dumps(body).encode())


async def answer(provider: RulesProvider, request: Request) -> tuple[int, dict[str, Any]]:
    response = await provider(request)
    async with reading(response.body) as body:
        return response.status, json.loads(b"".join([piece async for piece in body]))


def test_the_real_client_streams_calls_and_then_an_answer() -> None:
    async def main() -> None:
        async with (
            serve(RulesProvider(interval=0)) as server,
            openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as client,
        ):
            assert [model.id async for model in client.models.list()] == [MODEL]
            messages: list[ChatCompletionMessageParam] = [QUESTION]
            calls: dict[int, list[str]] = {}
            finish = usage = None
            async for chunk in await client.chat.completions.create(
                model=MODEL, messages=messages, tools=TOOLS, stream=True, stream_options={"include_usage": True}
            ):
                usage = chunk.usage or usage
                for choice in chunk.choices:
                    finish = choice.finish_reason or finish
                    for delta in choice.delta.tool_calls or ():
                        assert delta.function is not None
                        known = calls.setdefault(delta.index, [delta.id or "", delta.function.name or "", ""])
                        known[2] += delta.function.arguments or ""
            assert finish == "tool_calls"
            assert usage is not None
            assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
            assert [(name, json.loads(arguments)) for _, name, arguments in calls.values()] == [
                ("dependents", {"package": "core"}),
                ("search", {"query": "what needs core?"}),
            ]
            messages.append(
                {
                    "role": "assistant",
                    "tool_calls": [
                        {"id": call, "type": "function", "function": {"name": name, "arguments": arguments}}
                        for call, name, arguments in calls.values()
                    ],
                }
            )
            messages += [{"role": "tool", "tool_call_id": call, "content": "[]"} for call, _, _ in calls.values()]
            whole = await client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)
            assert whole.choices[0].message.content == "No installed package needs core."
            assert whole.choices[0].finish_reason == "stop"
            with pytest.raises(openai.NotFoundError, match="gpt-5"):
                await client.chat.completions.create(model="gpt-5", messages=messages)
            with pytest.raises(openai.BadRequestError, match="n=2"):
                await client.chat.completions.create(model=MODEL, messages=messages, n=2)
            assert [exchange.status for exchange in server.log] == [200, 200, 200, 404, 400]

    asyncio.run(main())


def test_the_same_request_has_the_same_answer_to_the_byte() -> None:
    provider = RulesProvider(clock=lambda: 7.9)

    async def main() -> None:
        one, other, third = [await answer(provider, r) for r in (chat(), chat(), chat(temperature=1))]
        assert one == other
        assert one[1]["created"] == 7
        ids = [{call["id"] for call in a[1]["choices"][0]["message"]["tool_calls"]} for a in (one, third)]
        assert [len(i) for i in ids] == [2, 2]
        assert not ids[0] & ids[1]

    run_virtual(main())


def test_chunks_leave_an_interval_apart_and_the_first_at_once() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        response = await RulesProvider(interval=0.25)(chat(stream=True))
        assert response.headers["content-type"].startswith("text/event-stream")
        async with reading(response.body) as body:
            times = [loop.time() async for _ in body]
        assert len(times) > 5
        assert times == pytest.approx([0.25 * n for n in range(len(times))])

    run_virtual(main())


def test_every_response_carries_an_id_of_its_own() -> None:
    provider = RulesProvider()

    async def main() -> None:
        responses = [await provider(request) for request in (chat(), chat(stream=True), chat(n=3))]
        assert len({response.headers["x-request-id"] for response in responses}) == 3

    run_virtual(main())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/chat/completions", 405), ("POST", "/v1/models", 405), ("GET", "/v1/engines", 404), ("GET", "/", 404)],
)
def test_what_is_not_there_is_refused_in_the_providers_form(method: str, path: str, status: int) -> None:
    got, body = run_virtual(answer(RulesProvider(), Request(method, path, {})))
    assert got == status
    assert set(body["error"]) == {"message", "type", "param", "code"}


def test_usage_counts_all_that_was_sent_and_said_with_the_counter_given() -> None:
    counted: list[str] = []

    def count(text: str) -> int:
        counted.append(text)
        return 1 if text else 0

    _, body = run_virtual(answer(RulesProvider(count=count), chat(tools=TOOLS[:1])))
    assert body["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert {"what needs core?", "dependents", '{"package":"core"}'} <= set(counted)


def test_the_estimate_counts_words_and_signs() -> None:
    assert estimate("") == 0
    assert estimate("Four words, one sign!") == 8
    assert estimate("漢字") >= 1
