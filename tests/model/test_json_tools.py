"""What is sent to a model that calls tools by writing JSON."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec

from agentrt import Agent, Runtime, run, tool
from agentrt.messages import AssistantMessage, SystemMessage, ToolCall, ToolMessage, ToolSpec, UserMessage
from agentrt.model.dialect import ChatCompletions
from agentrt.model.json_tools import JsonTools, reply_schema
from agentrt.model.model import ModelRequest
from agentrt.profiles import Profile
from agentrt.providers import Provider
from agentrt.testing import ScriptedModel, reply

SKU = msgspec.Raw(b'{"type":"object","properties":{"sku":{"type":"string"}},"required":["sku"]}')
STOCK = ToolSpec("stock", "Units of an article.", SKU)
PRICE = ToolSpec("price", "Its price.", SKU)
CLERK = SystemMessage("You are a clerk.")
QUESTION = UserMessage("How many?")


def encoded(request: ModelRequest) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(JsonTools(ChatCompletions()).encode(request))
    return body


def sent(*messages: Any, tools: tuple[ToolSpec, ...] = (STOCK,)) -> list[tuple[str, str]]:
    body = encoded(ModelRequest(model="m", messages=messages, tools=tools))
    return [(message["role"], message["content"]) for message in body["messages"]]


def test_a_reply_must_be_a_call_of_an_offered_tool_or_an_answer() -> None:
    body = encoded(ModelRequest(model="m", messages=(QUESTION,), tools=(STOCK, PRICE)))
    assert "tools" not in body
    asked = body["response_format"]
    assert asked["type"] == "json_schema"
    *calls, answer = asked["json_schema"]["schema"]["anyOf"]
    assert [call["properties"]["tool"] for call in calls] == [{"const": "stock"}, {"const": "price"}]
    for call in calls:
        assert call["properties"]["arguments"] == msgspec.json.decode(SKU)
        assert (call["required"], call["additionalProperties"]) == (["tool", "arguments"], False)
    assert answer["properties"] == {"tool": {"const": "answer"}, "content": {"type": "string"}}


def test_an_answer_follows_the_schema_that_is_asked_for() -> None:
    wanted = msgspec.Raw(b'{"type":"object","properties":{"left":{"type":"integer"}}}')
    body = encoded(ModelRequest(model="m", messages=(QUESTION,), schema=wanted))
    (answer,) = body["response_format"]["json_schema"]["schema"]["anyOf"]
    assert answer["properties"]["content"] == msgspec.json.decode(wanted)
    assert bytes(wanted).decode() in body["messages"][0]["content"]


def test_definitions_of_several_schemas_do_not_meet() -> None:
    def spec(name: str, kind: str) -> ToolSpec:
        size = {"type": "object", "properties": {"size": {"$ref": "#/$defs/Size"}}, "$defs": {"Size": {"type": kind}}}
        return ToolSpec(name, "", msgspec.Raw(json.dumps(size).encode()))

    nested = msgspec.Raw(
        b'{"$ref":"#/$defs/Node","$defs":{"Node":{"properties":{"next":{"anyOf":[{"$ref":"#/$defs/Node"}]}}}}}'
    )
    schema = json.loads(bytes(reply_schema((spec("a", "string"), spec("b", "integer")), nested)))
    of_a, of_b, answer = schema["anyOf"]
    assert of_a["properties"]["arguments"]["properties"] == {"size": {"$ref": "#/$defs/a.Size"}}
    assert of_b["properties"]["arguments"]["properties"] == {"size": {"$ref": "#/$defs/b.Size"}}
    assert answer["properties"]["content"] == {"$ref": "#/$defs/answer.Node"}
    assert schema["$defs"] == {
        "a.Size": {"type": "string"},
        "b.Size": {"type": "integer"},
        "answer.Node": {"properties": {"next": {"anyOf": [{"$ref": "#/$defs/answer.Node"}]}}},
    }


def test_the_form_and_the_tools_stand_behind_the_first_instructions_in_one_message() -> None:
    (role, text), question = sent(CLERK, QUESTION)
    assert role == "system" and question == ("user", "How many?")
    assert text.startswith("You are a clerk.\n\n")
    assert '{"tool": "stock", "description": "Units of an article.", "arguments": ' + bytes(SKU).decode() in text
    assert '{"tool": "answer", "description": ' in text
    ((role, text), _) = sent(QUESTION, tools=())
    assert role == "system"
    assert text == 'Reply with exactly one JSON object: {"tool": "answer", "content": {"type":"string"}}\n'


def test_calls_and_results_go_out_as_the_model_wrote_and_read_them() -> None:
    said = AssistantMessage(tool_calls=(ToolCall("1", "stock", '{"sku":"A-1"}'),), extra='{"reasoning_content":"Hm"}')
    assert sent(CLERK, QUESTION, said, ToolMessage("1", "stock", "41"), AssistantMessage('Forty-"one"'))[1:] == [
        ("user", "How many?"),
        ("assistant", '{"tool": "stock", "arguments": {"sku":"A-1"}}'),
        ("user", "Result of stock:\n41"),
        ("assistant", '{"tool": "answer", "content": "Forty-\\"one\\""}'),
    ]


def test_each_of_several_calls_stands_before_its_result() -> None:
    said = AssistantMessage(
        "Let me see.", (ToolCall("1", "stock", "{}"), ToolCall("2", "price", "no JSON"), ToolCall("3", "stock", "{}"))
    )
    results = (ToolMessage("2", "price", "12"), ToolMessage("1", "stock", "41"), ToolMessage("9", "old", "?"))
    assert sent(QUESTION, said, *results, UserMessage("Well?"))[2:] == [
        ("assistant", '{"tool": "answer", "content": "Let me see."}'),
        ("assistant", '{"tool": "stock", "arguments": {}}'),
        ("user", "Result of stock:\n41"),
        ("assistant", '{"tool": "price", "arguments": {}}'),
        ("user", "Result of price:\n12"),
        ("assistant", '{"tool": "stock", "arguments": {}}'),
        ("user", "Result of old:\n?\n\nWell?"),
    ]


def test_the_next_turn_goes_on_where_the_last_one_ended() -> None:
    def body(*messages: Any) -> bytes:
        return JsonTools(ChatCompletions()).encode(ModelRequest(model="m", messages=messages, tools=(STOCK, PRICE)))

    said = AssistantMessage(tool_calls=(ToolCall("1", "stock", '{"sku":"A-1"}'),))
    first = body(CLERK, QUESTION)
    then = body(CLERK, QUESTION, said, ToolMessage("1", "stock", "41"))
    assert then == body(CLERK, QUESTION, said, ToolMessage("1", "stock", "41"))
    begins = first[: first.index(b"How many?") + len(b"How many?")]
    assert then.startswith(begins)


def test_half_characters_are_mended() -> None:
    broken = "half \ud800"
    spec = ToolSpec("stock", broken, SKU)
    body = encoded(
        ModelRequest(
            model="m",
            messages=(SystemMessage(broken), AssistantMessage(broken), ToolMessage("1", "stock", broken)),
            tools=(spec,),
        )
    )
    assert "\ud800" not in json.dumps(body, ensure_ascii=False)


def test_an_agent_uses_its_tools_through_the_real_client() -> None:
    @tool(effect="read")
    async def stock(sku: str) -> int:
        """Units of an article in the warehouse."""
        return {"A-1207": 41}[sku]

    turns = ['{"tool": "stock", "arguments": {"sku": "A-1207"}}', '{"tool": "answer", "content": "41 are left."}']
    model = ScriptedModel([reply(turn, pieces=9) for turn in turns])
    scripted = model.provider("small")
    provider = Provider(
        name="small",
        base_url=scripted.base_url,
        transport=scripted.transport,
        profile=Profile(tools="json_schema"),
    )

    async def main() -> str:
        async with Runtime(providers=[provider]) as runtime:
            agent = Agent(name="clerk", model="small:x", tools=[stock])
            return (await run(agent, "How many A-1207 are left?", runtime=runtime)).output

    assert asyncio.run(main()) == "41 are left."
    assert model.requests[1]["messages"][-1] == {"role": "user", "content": "Result of stock:\n41"}
