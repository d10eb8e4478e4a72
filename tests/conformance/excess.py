"""Row 23: too much of anything."""

from __future__ import annotations

from tests.conformance.bodies import SAID, call, calling, delta, end, part
from tests.conformance.table import NO_FRAGMENTS, Case, Fails, Row, made

CUT = "… [cut: more than 5,000,000 characters of arguments]"
DEEP = "[" * 100_000 + "]" * 100_000
LONG = '{"q":"' + "x" * 4_900_000 + '"}'

ROWS = (
    Row(
        23,
        "hundreds of calls, megabytes of arguments, JSON that is nested 100,000 deep",
        "capped, and a tool error for what was cut; too deep to be read ends the attempt",
        "models that loop; vllm#47504",
        (
            Case(
                "100 calls",
                made(*((f"c{i}", "look", "{}") for i in range(100))),
                b"".join(part("{}", "look", index=i, id=f"c{i}") for i in range(100)) + end("tool_calls"),
                calling(*(call("{}", id=f"c{i}") for i in range(100))),
            ),
            Case(
                "130 calls are capped at 128",
                made(*((f"c{i}", "look", '{"q":1}') for i in range(128))),
                b"".join(part('{"q":', "look", index=i, id=f"c{i}") + part("1}", index=i) for i in range(130)) + end(),
                calling(*(call('{"q":1}', id=f"c{i}") for i in range(130))),
            ),
            Case(
                "5 MB of arguments",
                made(("a", "look", LONG)),
                part('{"q":"', "look", index=0, id="a")
                + b"".join(part("x" * 100_000, index=0) for _ in range(49))
                + part('"}', index=0)
                + end(),
                calling(call(LONG, id="a")),
            ),
            Case(
                "more than that is cut, and the cut text is no JSON",
                made(("a", "look", "{}" + " " * 4_999_998 + CUT), ("b", "find", CUT)),
                part("{}" + " " * 4_999_000, "look", index=0, id="a")
                + part(" " * 2_000, index=0)
                + part("{}", "find", index=1, id="b")
                + end(),
                calling(call("{}" + " " * 5_001_000, id="a"), call("{}", "find", id="b")),
            ),
            Case(
                "arguments 100,000 deep are passed on unread",
                made(("a", "look", DEEP)),
                part(DEEP, "look", index=0, id="a") + end(),
                calling(call(DEEP, id="a")),
            ),
            Case(
                "a reply 100,000 deep",
                Fails(naming="too deep"),
                b'data: {"x":' + DEEP.encode() + b"}\n\n",
                b'{"x":' + DEEP.encode() + b"}",
            ),
            Case(
                "a reply 100,000 deep that never closes",
                Fails(naming="too deep"),
                b'data: {"x":' + b'[{"a":' * 100_000 + b"\n\n",
                b'{"x":' + b'[{"a":' * 100_000,
            ),
            Case(
                "a reply 60 deep is read",
                SAID,
                b'data: {"x":' + b"[" * 60 + b"]" * 60 + b',"choices":[{"delta":{"content":"Hello"}}]}\n\n' + end(),
                b'{"x":'
                + b"[" * 60
                + b"]" * 60
                + b',"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}',
            ),
            Case(
                "a finish reason of 100,000 characters",
                SAID,
                delta(content="Hello") + end("x" * 100_000),
                only=NO_FRAGMENTS,
            ),
        ),
    ),
)
