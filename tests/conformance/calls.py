"""The table, rows 0 to 13: what is in a reply, and above all which fragment belongs to which call."""

from __future__ import annotations

from agentrt.messages import Usage
from tests.conformance.bodies import (
    BEGUN,
    DONE,
    FIND,
    HELLO,
    LOOK,
    LOOKS,
    ONE,
    TWO,
    USAGE,
    USED,
    Becomes,
    Case,
    Fails,
    body,
    call,
    delta,
    end,
    event,
    made,
    part,
)

CALLS = (
    Case(0, "text", HELLO + end(), Becomes("Hello")),
    Case(0, "text, whole", body(content="Hello", usage=USAGE), Becomes("Hello", usage=USED)),
    Case(
        0,
        "two calls with text and usage",
        delta(role="assistant", content="Wait.")
        + part("", "look", index=0, id="a", type="function")
        + part('{"q"', index=0)
        + part(":1}", index=0)
        + part("", "find", index=1, id="b", type="function")
        + part('{"q":2}', index=1)
        + delta("tool_calls")
        + event(choices=[], usage=USAGE)
        + DONE,
        Becomes("Wait.", (LOOK, FIND), "tool_calls", usage=USED),
    ),
    Case(
        0,
        "two calls, whole",
        body("tool_calls", content=None, tool_calls=[call('{"q":1}', id="a"), call('{"q":2}', "find", id="b")]),
        TWO,
    ),
    Case(1, "no index, one call", part('{"q"', "look", id="a") + part(":1}") + end("tool_calls"), ONE),
    Case(1, "an index that comes and goes", part('{"q"', "look", id="a") + part(":1}", index=0) + end(), ONE),
    Case(
        2,
        "no index, two calls, fragments mixed, sorted by id",
        part('{"q"', "look", id="a")
        + part('{"q"', "find", id="b")
        + part(":1}", id="a")
        + part(":2}", id="b")
        + end("tool_calls"),
        TWO,
    ),
    Case(
        2,
        "no index, two calls, only the first fragment of each has its id",
        part('{"q":', "look", id="a") + part("1}") + part('{"q":', "find", id="b") + part("2}") + end("tool_calls"),
        TWO,
    ),
    Case(
        3,
        "all indices 0, two calls",
        part('{"q":', "look", index=0, id="a")
        + part("1}", index=0)
        + part('{"q":', "find", index=0, id="b")
        + part("2}", index=0)
        + end("tool_calls"),
        TWO,
    ),
    Case(
        3,
        "all indices 0 and no ids, two calls of one tool",
        part('{"q":1}', "look", index=0) + part('{"q":2}', "look", index=0) + end("tool_calls"),
        made(("call_0", "look", '{"q":1}'), ("call_1", "look", '{"q":2}')),
    ),
    Case(
        3,
        "all indices 0, a new id whose name comes after it",
        LOOKS + part("", index=0, id="b") + part('{"q":2}', "find", index=0) + end("tool_calls"),
        TWO,
    ),
    Case(
        3,
        "all indices 0 and no ids, two tools without arguments",
        part("", "one", index=0) + part("", "two", index=0) + end("tool_calls"),
        made(("call_0", "one", "{}"), ("call_1", "two", "{}")),
    ),
    Case(
        4,
        "index but no id",
        part('{"q":', "look", index=0) + part("1}", index=0) + part("{}", "find", index=1) + end("tool_calls"),
        made(("call_0", "look", '{"q":1}'), ("call_1", "find", "{}")),
    ),
    Case(
        4,
        'id "", then null',
        part('{"q":', "look", index=0, id="") + part("1}", index=0, id=None) + end("tool_calls"),
        made(("call_0", "look", '{"q":1}')),
    ),
    Case(4, "no id, whole", body(tool_calls=[call('{"q":1}')]), made(("call_0", "look", '{"q":1}'))),
    Case(
        4,
        "the id comes late",
        part("", "look", index=0) + part('{"q":1}', index=0, id="a") + end("tool_calls"),
        made(("call_0", "look", '{"q":1}')),
    ),
    Case(
        4,
        "an id that looks like the one we would make up",
        part("{}", "find", index=0, id="call_1") + part('{"q":1}', "look", index=1) + end("tool_calls"),
        made(("call_1", "find", "{}"), ("call_1_2", "look", '{"q":1}')),
    ),
    Case(4, "a number as id", part('{"q":1}', "look", index=0, id=7) + end(), made(("7", "look", '{"q":1}'))),
    Case(
        5,
        "one id on two calls, by index",
        part('{"q":', "look", index=0, id="a")
        + part("1}", index=0)
        + part('{"q":', "look", index=1, id="a")
        + part("2}", index=1)
        + end("tool_calls"),
        made(LOOK, ("a_2", "look", '{"q":2}')),
    ),
    Case(
        5,
        "one id on two calls, no index",
        part('{"q":1}', "look", id="a") + part('{"q":2}', "look", id="a") + end("tool_calls"),
        made(LOOK, ("a_2", "look", '{"q":2}')),
    ),
    Case(
        5,
        "one id on two calls, whole",
        body(tool_calls=[call('{"q":1}', id="a"), call('{"q":1}', id="a")]),
        made(LOOK, ("a_2", "look", '{"q":1}')),
    ),
    Case(
        5,
        "the name again with every fragment is still one call",
        part('{"q":', "look", index=0, id="a") + part("1}", "look", index=0, id="a") + end("tool_calls"),
        ONE,
    ),
    Case(
        6,
        "an empty fragment with the finish reason",
        LOOKS + delta("tool_calls", tool_calls=[{"index": 0, "function": {"arguments": ""}}]) + DONE,
        ONE,
    ),
    Case(
        6,
        "an empty fragment of a call that never was",
        LOOKS + part("", index=1) + part("", index=2, id="z") + end("tool_calls"),
        ONE,
    ),
    Case(
        7,
        "chunks that say nothing",
        event(choices=[], prompt_filter_results=[])
        + event(choices=None)
        + event(choices=[{"index": 0, "delta": None}])
        + event(choices=[{"delta": {"content": "Hello"}}])
        + end()
        + event(choices=[], usage=USAGE),
        Becomes("Hello"),
    ),
    Case(
        7,
        "usage in a chunk without choices, after an empty one",
        HELLO + delta("stop") + event(usage=None) + event(choices=[], usage=USAGE) + DONE,
        Becomes("Hello", usage=USED),
    ),
    Case(
        7,
        "usage of a strange shape",
        HELLO + delta("stop") + event(usage={"prompt_tokens": 7.0, "completion_tokens": "3", "x": []}) + DONE,
        Becomes("Hello", usage=Usage(input_tokens=7, output_tokens=3, requests=1)),
    ),
    Case(7, "an empty finish reason is none", delta("", content="Hello") + end(), Becomes("Hello")),
    Case(
        7, "a second choice", HELLO + event(choices=[{"index": 1, "delta": {"content": "!"}}]) + end(), Becomes("Hello")
    ),
    Case(8, "arguments as an object", part({"q": 1}, "look", index=0, id="a") + end("tool_calls"), ONE),
    Case(8, "arguments as an object, whole", body(tool_calls=[call({"q": 1}, id="a")]), ONE),
    Case(
        8,
        'no arguments: "", null, "null" and nothing at all',
        part("", "one", index=0, id="a")
        + part(None, "two", index=1, id="b")
        + part("null", "three", index=2, id="c")
        + delta(tool_calls=[{"index": 3, "id": "d", "function": {"name": "four"}}])
        + end("tool_calls"),
        made(("a", "one", "{}"), ("b", "two", "{}"), ("c", "three", "{}"), ("d", "four", "{}")),
    ),
    Case(8, "no arguments, whole", body(tool_calls=[call("", id="a")]), made(("a", "look", "{}"))),
    Case(9, "invalid JSON", part('{"q": oops}', "look", index=0, id="a") + end(), made(("a", "look", '{"q": oops}'))),
    Case(9, "arguments broken off", part('{"q":', "look", index=0, id="a") + end(), made(("a", "look", '{"q":'))),
    Case(9, "invalid JSON, whole", body(tool_calls=[call("{q}", id="a")]), made(("a", "look", "{q}"))),
    Case(10, "length inside arguments", BEGUN + end("length"), Fails(naming="output tokens")),
    Case(10, "length before the first argument", part("", "look", index=0, id="a") + end("length"), Fails()),
    Case(10, "length inside arguments, whole", body("length", tool_calls=[call('{"q":', id="a")]), Fails()),
    Case(10, "length in text", HELLO + end("length"), Becomes("Hello", finish="length")),
    Case(10, "length after whole arguments", LOOKS + end("length"), Becomes(calls=(LOOK,), finish="length")),
    Case(
        11,
        "two objects as one call's arguments",
        LOOKS + part('{"q":2}', index=0) + end("tool_calls"),
        made(("a", "look", '{"q":1}{"q":2}')),
    ),
    Case(13, "a tool nobody knows", part("{}", "nope", index=0, id="a") + end(), made(("a", "nope", "{}"))),
    Case(13, "a call without a name", part("{}", index=0, id="a") + end(), made(("a", "", "{}"))),
)
