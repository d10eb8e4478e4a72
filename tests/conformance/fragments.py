"""Rows 0 to 6, 24 and 25: which fragment of a tool call belongs to which call, and under which id and name.

The rules themselves stand in `agentrt/model/calls.py`.
"""

from __future__ import annotations

from tests.conformance.bodies import (
    CALL_FIND,
    CALL_LOOK,
    DONE,
    HELLO,
    LOOK,
    LOOKS,
    ONE,
    SAID,
    TWO,
    USAGE,
    USED,
    body,
    call,
    calling,
    delta,
    end,
    event,
    part,
)
from tests.conformance.table import NO_FRAGMENTS, Becomes, Case, Row, made

ROWS = (
    Row(
        0,
        "what the documentation promises",
        "the reply",
        "OpenAI",
        (
            Case("text", SAID, HELLO + end(), body(content="Hello")),
            Case(
                "text and usage",
                Becomes("Hello", usage=USED),
                HELLO + delta("stop") + event(choices=[], usage=USAGE) + DONE,
                body(content="Hello", usage=USAGE),
            ),
            Case(
                "two calls with text and usage",
                Becomes("Wait.", TWO.calls, "tool_calls", usage=USED),
                delta(role="assistant", content="Wait.")
                + part("", "look", index=0, id="a", type="function")
                + part('{"q"', index=0)
                + part(":1}", index=0)
                + part("", "find", index=1, id="b", type="function")
                + part('{"q":2}', index=1)
                + delta("tool_calls")
                + event(choices=[], usage=USAGE)
                + DONE,
                body("tool_calls", content="Wait.", tool_calls=[CALL_LOOK, CALL_FIND], usage=USAGE),
            ),
        ),
    ),
    Row(
        1,
        "`index` is missing; one call",
        "normalised: every fragment is of the latest call",
        "ollama#7881, openai-python#2806, open-webui/computer#224 (Gemini)",
        (
            Case(
                "no index",
                ONE,
                part('{"q"', "look", id="a") + part(":1}") + end("tool_calls"),
                calling(CALL_LOOK),
            ),
            Case(
                "an index that comes and goes",
                ONE,
                part('{"q"', "look", id="a") + part(":1}", index=0) + end(),
                only=NO_FRAGMENTS,
            ),
        ),
    ),
    Row(
        2,
        "`index` is missing; parallel calls",
        "normalised, by id",
        "dayu-agent#45 (Gemini)",
        (
            Case(
                "mixed fragments with ids",
                TWO,
                part('{"q"', "look", id="a")
                + part('{"q"', "find", id="b")
                + part(":1}", id="a")
                + part(":2}", id="b")
                + end("tool_calls"),
                calling(CALL_LOOK, CALL_FIND),
            ),
            Case(
                "only the first fragment of each has its id",
                TWO,
                part('{"q":', "look", id="a") + part("1}") + part('{"q":', "find", id="b") + part("2}") + end(),
                only=NO_FRAGMENTS,
            ),
        ),
    ),
    Row(
        3,
        "every `index` is 0; parallel calls",
        "normalised: a new id begins a new call; without ids a name does, once the call before it is whole",
        "litellm#33678, litellm#37792 (Ollama), lmdeploy#3412 (vLLM, sglang)",
        (
            Case(
                "ids in the first fragments",
                TWO,
                part('{"q":', "look", index=0, id="a")
                + part("1}", index=0)
                + part('{"q":', "find", index=0, id="b")
                + part("2}", index=0)
                + end("tool_calls"),
                calling({**CALL_LOOK, "index": 0}, {**CALL_FIND, "index": 0}),
            ),
            Case(
                'ids in the first fragments, then ""',
                TWO,
                part("", "look", index=0, id="a")
                + part('{"q":1}', index=0, id="")
                + part("", "find", index=0, id="b")
                + part('{"q":2}', index=0, id="")
                + end("tool_calls"),
                only=NO_FRAGMENTS,
            ),
            Case(
                "ids in all fragments",
                made(("0", "look", '{"q":1}'), ("1", "find", '{"q":2}')),
                part("", "look", index=0, id="0")
                + part('{"q":1}', index=0, id="0")
                + part("", "find", index=0, id="1")
                + part('{"q":2}', index=0, id="1")
                + end("tool_calls"),
                calling({**CALL_LOOK, "index": 0, "id": "0"}, {**CALL_FIND, "index": 0, "id": "1"}),
            ),
            Case(
                "no ids, two calls of one tool",
                made(("call_0", "look", '{"q":1}'), ("call_1", "look", '{"q":2}')),
                part('{"q":1}', "look", index=0) + part('{"q":2}', "look", index=0) + end("tool_calls"),
                calling(call('{"q":1}', index=0), call('{"q":2}', index=0)),
            ),
            Case(
                "no ids, two tools without arguments",
                made(("call_0", "one", "{}"), ("call_1", "two", "{}")),
                part("", "one", index=0) + part("", "two", index=0) + end("tool_calls"),
                calling(call("", "one", index=0), call("", "two", index=0)),
            ),
            Case(
                "a new id whose name comes after it",
                TWO,
                LOOKS + part("", index=0, id="b") + part('{"q":2}', "find", index=0) + end("tool_calls"),
                only=NO_FRAGMENTS,
            ),
        ),
    ),
    Row(
        4,
        'no id, or "" or null',
        "normalised: the id is made up, and stays",
        "continue#13225, camel#3027, vllm#18412, llama.cpp#13774",
        (
            Case(
                "index and no id",
                made(("call_0", "look", '{"q":1}'), ("call_1", "find", "{}")),
                part('{"q":', "look", index=0) + part("1}", index=0) + part("{}", "find", index=1) + end("tool_calls"),
                calling(call('{"q":1}', index=0), call("{}", "find", index=1)),
            ),
            Case(
                'id "", then null',
                made(("call_0", "look", '{"q":1}')),
                part('{"q":', "look", index=0, id="") + part("1}", index=0, id=None) + end("tool_calls"),
                calling(call('{"q":1}', id="")),
            ),
            Case(
                "id null",
                made(("call_0", "look", '{"q":1}')),
                part('{"q":1}', "look", index=0, id=None) + end("tool_calls"),
                calling(call('{"q":1}', id=None)),
            ),
            Case(
                "the id stands in the function",
                made(("call_0", "look", '{"q":1}')),
                delta(tool_calls=[{"index": 0, "function": {"id": "a", "name": "look", "arguments": '{"q":1}'}}])
                + end(),
                calling({"function": {"id": "a", "name": "look", "arguments": '{"q":1}'}}),
            ),
            Case(
                "the id comes late",
                made(("call_0", "look", '{"q":1}')),
                part("", "look", index=0) + part('{"q":1}', index=0, id="a") + end("tool_calls"),
                only=NO_FRAGMENTS,
            ),
            Case(
                "an id that looks like the one we would make up",
                made(("call_1", "find", "{}"), ("call_1_2", "look", '{"q":1}')),
                part("{}", "find", index=0, id="call_1") + part('{"q":1}', "look", index=1) + end("tool_calls"),
                calling(call("{}", "find", id="call_1"), call('{"q":1}')),
            ),
            Case(
                "a number as id",
                made(("7", "look", '{"q":1}')),
                part('{"q":1}', "look", index=0, id=7) + end(),
                calling(call('{"q":1}', id=7)),
            ),
        ),
    ),
    Row(
        5,
        "the same id on two calls",
        "normalised: the second gets another id; fragments still find their call",
        "agno#2336",
        (
            Case(
                "different indices",
                made(LOOK, ("a_2", "look", '{"q":2}')),
                part('{"q":', "look", index=0, id="a")
                + part("1}", index=0)
                + part('{"q":', "look", index=1, id="a")
                + part("2}", index=1)
                + end("tool_calls"),
                calling({**CALL_LOOK, "index": 0}, {**call('{"q":2}', id="a"), "index": 1}),
            ),
            Case(
                "no index",
                made(LOOK, ("a_2", "look", '{"q":2}')),
                part('{"q":1}', "look", id="a") + part('{"q":2}', "look", id="a") + end("tool_calls"),
                calling(CALL_LOOK, call('{"q":2}', id="a")),
            ),
            Case(
                "no index, two tools without arguments",
                made(("a", "one", "{}"), ("a_2", "two", "{}")),
                part("", "one", id="a") + part("", "two", id="a") + end("tool_calls"),
                calling(call("", "one", id="a"), call("", "two", id="a")),
            ),
        ),
    ),
    Row(
        6,
        "an extra fragment without arguments comes with the finish reason",
        "normalised: it is nothing",
        "vercel/ai#3953",
        (
            Case(
                "of a call that is there",
                ONE,
                LOOKS + delta("tool_calls", tool_calls=[{"index": 0, "function": {"arguments": ""}}]) + DONE,
                only=NO_FRAGMENTS,
            ),
            Case(
                "of a call that never was",
                ONE,
                LOOKS + part("", index=1) + part("", index=2, id="z") + end("tool_calls"),
                calling(CALL_LOOK, call("", ""), call("", "", id="z")),
            ),
        ),
    ),
    Row(
        24,
        "the name comes again and again, in fragments, or after the arguments",
        "normalised: a name that is repeated is one; what follows it, without an id, before any argument, continues it",
        "hermes-agent#8259 (MiniMax), continue#5849 (Gemini), vercel/ai#14722",
        (
            Case(
                "the whole name with every fragment",
                ONE,
                part('{"q":', "look", index=0, id="a") + part("1}", "look", index=0, id="a") + end("tool_calls"),
                only=NO_FRAGMENTS,
            ),
            Case(
                "the name in fragments",
                ONE,
                part("", "lo", index=0, id="a") + part("", "ok", index=0) + part('{"q":1}', index=0) + end(),
                only=NO_FRAGMENTS,
            ),
            Case(
                "the name after the arguments",
                ONE,
                part('{"q":1}', index=0, id="a") + part("", "look", index=0) + end("tool_calls"),
                only=NO_FRAGMENTS,
            ),
        ),
    ),
    Row(
        25,
        "the one `function_call` of the first years, or `tool_calls` that are no list",
        "normalised: it is a call without an id",
        "qwen-code#6240, oh-my-pi#1692",
        (
            Case(
                "a function call",
                made(("call_0", "look", '{"q":1}')),
                delta(function_call={"name": "look", "arguments": ""})
                + delta(function_call={"arguments": '{"q"'})
                + delta(function_call={"arguments": ":1}"})
                + end("function_call"),
                body("function_call", content=None, function_call={"name": "look", "arguments": '{"q":1}'}),
            ),
            Case(
                "null and empty ones beside a call",
                ONE,
                delta(function_call=None, tool_calls=[{**CALL_LOOK, "index": 0}]) + delta(function_call={}) + end(),
                calling(CALL_LOOK, function_call=None),
            ),
            Case(
                "the same call in both forms",
                ONE,
                delta(function_call=CALL_LOOK["function"], tool_calls=[{**CALL_LOOK, "index": 0}]) + end(),
                calling(CALL_LOOK, function_call=CALL_LOOK["function"]),
            ),
            Case(
                "one call without its list",
                ONE,
                delta(tool_calls={**CALL_LOOK, "index": 0}) + end("tool_calls"),
                body("tool_calls", content=None, tool_calls=CALL_LOOK),
            ),
        ),
    ),
)
