"""Rows 19, 22 and 29: what is kept, because its provider wants it back, and what is passed on as it came."""

from __future__ import annotations

from tests.conformance.bodies import (
    CALL_LOOK,
    FIND,
    HELLO,
    LOOK,
    LOOKS,
    body,
    call,
    calling,
    delta,
    end,
    part,
)
from tests.conformance.table import NO_FRAGMENTS, Becomes, Case, Row

MARKUP = '<tool_call>{"name":"look","arguments":{"q":1}}</tool_call>'
DETAIL = {"type": "reasoning.text", "index": 0}
SIGNED = {"google": {"thought_signature": "s"}}
UNSIGNED_AND_SIGNED = Becomes(
    calls=(LOOK, FIND), finish="tool_calls", extra={"tool_calls": [{}, {"extra_content": SIGNED}]}
)

ROWS = (
    Row(
        19,
        "`reasoning_content`, `reasoning`, signatures and other fields that we do not know",
        "passed on; they go back to the provider with the message, or with the call, that they came with",
        "DeepSeek, vLLM, OpenRouter, hermes-agent#2997 (Gemini), open-webui/computer#224 (Gemini)",
        (
            Case(
                "reasoning",
                Becomes("Hello", reasoning="Let me think.", extra={"reasoning_content": "Let me think."}),
                delta(role="assistant", content=None, reasoning_content="Let me ")
                + delta(reasoning_content="think.")
                + delta(content="Hello")
                + end(),
                body(content="Hello", reasoning_content="Let me think."),
            ),
            Case(
                "reasoning under two names is told once",
                Becomes("Hello", reasoning="Hm.", extra={"reasoning_content": "Hm.", "reasoning": "Hm."}),
                delta(reasoning="Hm.", reasoning_content="Hm.") + HELLO + end(),
                body(content="Hello", reasoning="Hm.", reasoning_content="Hm."),
            ),
            Case(
                "unknown fields: texts and lists grow, objects merge, empty ones vanish",
                Becomes(
                    "Hello",
                    extra={"signature": "abc", "details": [{"n": 1}, {"n": 2}], "box": {"a": 1, "b": 2}, "level": 3},
                ),
                delta(content="Hel", signature="ab", details=[{"n": 1}], box={"a": 1}, annotations=[{"url": "x"}])
                + delta(content="lo", signature="c", details=[{"n": 2}], box={"b": 2}, nothing=None, none=[], level=3)
                + end(),
                body(
                    content="Hello",
                    signature="abc",
                    details=[{"n": 1}, {"n": 2}],
                    box={"a": 1, "b": 2},
                    nothing=None,
                    none=[],
                    level=3,
                    annotations=[{"url": "x"}],
                ),
            ),
            Case(
                "a list whose objects come in fragments, by index and type",
                Becomes("Hello", extra={"reasoning_details": [{**DETAIL, "text": "Hm.", "signature": "s"}]}),
                delta(reasoning_details=[{**DETAIL, "text": "H"}])
                + delta(reasoning_details=[{**DETAIL, "text": "m."}])
                + delta(reasoning_details=[{**DETAIL, "signature": "s"}])
                + HELLO
                + end(),
                body(content="Hello", reasoning_details=[{**DETAIL, "text": "Hm.", "signature": "s"}]),
            ),
            Case(
                "unknown fields of a call, by its position",
                UNSIGNED_AND_SIGNED,
                LOOKS + part('{"q":2}', "find", index=1, id="b", extra_content=SIGNED) + end("tool_calls"),
                calling(CALL_LOOK, call('{"q":2}', "find", id="b", extra_content=SIGNED)),
            ),
            Case(
                "a signature that comes behind its call",
                UNSIGNED_AND_SIGNED,
                LOOKS
                + part('{"q":2}', "find", id="b")
                + delta(tool_calls=[{"extra_content": SIGNED}])
                + end("tool_calls"),
                only=NO_FRAGMENTS,
            ),
            Case(
                "numbers that JSON cannot hold",
                Becomes("Hello", extra={"odd": [None, None, 12345678901234567890123]}),
                (delta(content="Hello", odd="@") + end()).replace(b'"@"', b"[NaN, 1e999, 12345678901234567890123]"),
                body(content="Hello", odd="@").replace(b'"@"', b"[NaN, 1e999, 12345678901234567890123]"),
            ),
        ),
    ),
    Row(
        22,
        "lone surrogates, and bytes that are no UTF-8",
        "normalised to U+FFFD",
        "langgraph CVE-2025-64439",
        (
            Case("half a pair", Becomes("a\ufffdb"), delta(content="a\ud83db") + end(), body(content="a\ud83db")),
            Case("the other half", Becomes("a\ufffd"), delta(content="a\ude00") + end(), body(content="a\ude00")),
            Case("a pair", Becomes("a😀b"), delta(content="a\ud83d\ude00b") + end(), body(content="a\ud83d\ude00b")),
            Case(
                "a pair in two chunks",
                Becomes("\ufffd\ufffd"),
                delta(content="\ud83d") + delta(content="\ude00") + end(),
                only=NO_FRAGMENTS,
            ),
            Case(
                "bytes that are no UTF-8",
                Becomes("a\ufffdb"),
                (delta(content="a@b") + end()).replace(b"@", b"\xff"),
                body(content="a@b").replace(b"@", b"\xff"),
            ),
            Case(
                "in an unknown field",
                Becomes("Hello", extra={"x": ["\ufffd"]}),
                delta(content="Hello", x=["\ud83d"]) + end(),
                body(content="Hello", x=["\ud83d"]),
            ),
            Case(
                "in a call",
                Becomes(calls=(("\ufffd", "l\ufffdk", '{"q":"\ufffd"}'),), finish="tool_calls"),
                part('{"q":"\ud83d"}', "l\ude00k", index=0, id="\ud83d") + end(),
                calling(call('{"q":"\ud83d"}', "l\ude00k", id="\ud83d")),
            ),
        ),
    ),
    Row(
        29,
        "text that is not what it seems: the same again, all so far again, a tool call written out",
        "passed on as it came: nobody can tell it from a text that is meant, and text is never run",
        "qwen-code#3279 (DashScope), summarize#297, chatlas#435, mlx-vlm#900, vllm-mlx#107",
        (
            Case("the same chunk twice", Becomes("HaHa"), delta(content="Ha") * 2 + end(), only=NO_FRAGMENTS),
            Case(
                "all so far with every chunk",
                Becomes("HelHello"),
                delta(content="Hel") + delta(content="Hello") + end(),
                only=NO_FRAGMENTS,
            ),
            Case("a call as text", Becomes(MARKUP), delta(content=MARKUP) + end(), body(content=MARKUP)),
            Case(
                "thoughts as text",
                Becomes("<think>Hm.</think>Hello"),
                delta(content="<think>Hm.</think>") + HELLO + end(),
                body(content="<think>Hm.</think>Hello"),
            ),
            Case(
                "a NUL",
                Becomes("Hel\x00lo"),
                delta(content="Hel\x00lo") + end(),
                body(content="Hel\x00lo"),
            ),
            Case("white space", Becomes(" \n"), delta(content=" ") + delta(content="\n") + end(), body(content=" \n")),
            Case(
                "an answer that is [DONE]", Becomes("[DONE]"), delta(content="[DONE]") + end(), body(content="[DONE]")
            ),
            Case(
                "an answer that looks like an event",
                Becomes("\n\ndata: [DONE]\n\n"),
                delta(content="\n\ndata: [DONE]\n\n") + end(),
                body(content="\n\ndata: [DONE]\n\n"),
            ),
        ),
    ),
)
