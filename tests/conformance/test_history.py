"""Row 12 of the table: what goes out again of what came in.

Bad arguments that are repeated in a history make every later request a 400 (litellm#33678, physics-intern#6). The
history keeps what the model wrote, beside the error that it got; what is sent is `{}`. The same holds for all that a
reply can bring: whatever came in, what goes out is a request that a strict provider takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agentrt.errors import ProviderError
from agentrt.messages import AssistantMessage, ToolMessage, UserMessage
from agentrt.model.anthropic.dialect import AnthropicMessages
from agentrt.model.assemble import Assembler
from agentrt.model.dialect import ChatCompletions, Dialect
from agentrt.model.model import ModelRequest
from agentrt.model.responses.dialect import Responses
from tests.conformance import arguments, broken, ends, excess, fields, fragments, framing, kept
from tests.conformance.bodies import call, calling
from tests.conformance.table import Becomes

DIALECTS: dict[str, Dialect] = {
    "chat": ChatCompletions(),
    "responses": Responses(),
    "messages": AnthropicMessages(),
}


def replies() -> Iterator[tuple[str, AssistantMessage]]:
    """Every reply of the table that is one."""
    for family in (fragments, fields, arguments, broken, framing, kept, ends, excess):
        for row in family.ROWS:
            for case in row.cases:
                body = case.streamed or case.whole
                if isinstance(case.result, Becomes) and body is not None:
                    yield f"{row.number}: {case.name}", read(body)


def read(body: bytes) -> AssistantMessage:
    assembler = Assembler()
    assembler.feed(body)
    return assembler.finish().message


def request(said: AssistantMessage) -> ModelRequest:
    """The request after this reply: every call has been answered."""
    results = tuple(ToolMessage(call.id, call.name, "done") for call in said.tool_calls)
    return ModelRequest("m", (UserMessage("hi"), said, *results, UserMessage("go on")))


def sent(said: AssistantMessage) -> list[dict[str, Any]]:
    body: dict[str, Any] = json.loads(ChatCompletions().encode(request(said)))
    messages: list[dict[str, Any]] = body["messages"]
    return messages


@pytest.mark.parametrize("written", ["", "{", '{"q": oops}', '{"q":1}{"q":2}', "[1]", '"q"', "7", "null", "[" * 2_000])
def test_arguments_that_are_no_object_go_out_as_an_empty_one(written: str) -> None:
    said = read(calling(call(written, id="a")))
    assert said.tool_calls[0].arguments == (written if written not in ("", "null") else "{}")
    assert sent(said)[1]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_arguments_that_are_an_object_go_out_as_they_came() -> None:
    written = '{ "q" : 1.50, "q" : "ü" }'
    assert sent(read(calling(call(written, id="a"))))[1]["tool_calls"][0]["function"]["arguments"] == written


@pytest.mark.parametrize(("name", "said"), [pytest.param(*reply, id=reply[0]) for reply in replies()])
def test_every_reply_can_be_sent_again(name: str, said: AssistantMessage) -> None:
    messages = sent(said)
    again = messages[1]
    assert again["role"] == "assistant"
    assert not {"function_call", "annotations", "audio", "refusal"} & again.keys()
    assert again["content"] is not None or again["tool_calls"]
    made = again.get("tool_calls", [])
    assert [call["id"] for call in made] == [call.id for call in said.tool_calls]
    assert [message["tool_call_id"] for message in messages[2:-1]] == [call["id"] for call in made]
    assert all(isinstance(json.loads(call["function"]["arguments"]), dict) for call in made)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_reply_can_be_sent_to_a_provider_of_another_dialect(dialect: str) -> None:
    for name, said in replies():
        body = DIALECTS[dialect].encode(request(said))
        assert isinstance(json.loads(body), dict), name


def test_a_reply_that_failed_leaves_nothing_to_send() -> None:
    with pytest.raises(ProviderError):
        read(calling(call("{", id="a"), finish="length"))
