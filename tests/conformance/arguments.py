"""Rows 9 to 13: calls that cannot be run.

They are passed on as they came. The toolbox reads the arguments before anything runs and answers the call with an
error that the model can understand (`tests/toolbox`); nothing is ever repaired and then run. What goes out in later
requests for such a call, row 12, is in `test_history.py`.
"""

from __future__ import annotations

from tests.conformance.bodies import BEGUN, CALL_LOOK, HELLO, LOOK, LOOKS, body, call, calling, end, part
from tests.conformance.table import NO_FRAGMENTS, Becomes, Case, Fails, Row, made

ROWS = (
    Row(
        9,
        "arguments that are no JSON, also because they broke off and the provider does not say so",
        "a tool error",
        "openai-agents-js#723, vllm#53269, vllm#15274",
        (
            Case(
                "invalid",
                made(("a", "look", '{"q": oops}')),
                part('{"q": oops}', "look", index=0, id="a") + end("tool_calls"),
                calling(call('{"q": oops}', id="a")),
            ),
            Case(
                'broken off, and called finished by "tool_calls"',
                made(("a", "look", '{"q":')),
                BEGUN + end("tool_calls"),
                calling(call('{"q":', id="a")),
            ),
            Case(
                "no object",
                made(("a", "look", "[1]"), ("b", "look", '"q"')),
                part("[1]", "look", index=0, id="a") + part('"q"', "look", index=1, id="b") + end(),
                calling(call("[1]", id="a"), call('"q"', id="b")),
            ),
            Case(
                "a list for an object",
                made(("a", "look", "[1]")),
                part([1], "look", index=0, id="a") + end(),
                calling(call([1], id="a")),
            ),
        ),
    ),
    Row(
        10,
        "the model ran out of output tokens",
        "the attempt ends if a call was being written, for a truncated call is no call; text is passed on as cut short",
        "hermes-agent#7680, vllm#47903",
        (
            Case(
                "inside arguments",
                Fails(naming="output tokens"),
                BEGUN + end("length"),
                calling(call('{"q":', id="a"), finish="length"),
            ),
            Case(
                "before the first argument",
                Fails(naming="output tokens"),
                part("", "look", index=0, id="a") + end("length"),
                calling(call("", id="a"), finish="length"),
            ),
            Case(
                "in the second of two calls",
                Fails(naming="output tokens"),
                LOOKS + part('{"q', "find", index=1, id="b") + end("length"),
                calling(CALL_LOOK, call('{"q', "find", id="b"), finish="length"),
            ),
            Case(
                "in text",
                Becomes("Hello", finish="length"),
                HELLO + end("length"),
                body("length", content="Hello"),
            ),
            Case(
                "in text, in another provider's words",
                Becomes("Hello", finish="length"),
                HELLO + end("MAX_TOKENS"),
                body("MAX_TOKENS", content="Hello"),
            ),
            Case(
                "after whole arguments",
                Becomes(calls=(LOOK,), finish="length"),
                LOOKS + end("length"),
                calling(CALL_LOOK, finish="length"),
            ),
        ),
    ),
    Row(
        11,
        "two JSON objects as one call's arguments",
        "a tool error: which of them was meant is not for us to say",
        "litellm#33678, vllm#51697, vllm#34887",
        (
            Case(
                "one after the other",
                made(("a", "look", '{"q":1}{"q":2}')),
                LOOKS + part('{"q":2}', index=0) + end("tool_calls"),
                calling(call('{"q":1}{"q":2}', id="a")),
            ),
            Case(
                "the last chunk repeats them",
                made(("a", "look", '{"q":1}{"q":1}')),
                BEGUN + part("1}", index=0) + part('{"q":1}', index=0) + end("tool_calls"),
                only=NO_FRAGMENTS,
            ),
        ),
    ),
    Row(
        13,
        "a tool that nobody knows, or none",
        "a tool error that names those there are",
        "every model, now and then; sglang#4700",
        (
            Case(
                "unknown",
                made(("a", "nope", "{}")),
                part("{}", "nope", index=0, id="a") + end(),
                calling(call("{}", "nope", id="a")),
            ),
            Case(
                "without a name",
                made(("a", "", "{}")),
                part("{}", index=0, id="a") + end(),
                calling({"id": "a", "function": {"arguments": "{}"}}),
            ),
        ),
    ),
)
