"""Rows 7, 8, 20 and 26: fields that are missing, null, empty or of another type."""

from __future__ import annotations

import json

from agentrt.messages import Usage
from tests.conformance.bodies import (
    CALL_LOOK,
    DONE,
    HELLO,
    LOOKS,
    ONE,
    SAID,
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
from tests.conformance.table import NO_FRAGMENTS, NO_STREAM, Becomes, Case, Row, made

NOTHING = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}

ROWS = (
    Row(
        7,
        "`choices` empty or null, `delta` null, no role, no index, a second choice",
        "normalised: it says nothing",
        "pydantic-ai#164, llama_index#7640, vmlx#219, LiteLLM",
        (
            Case(
                "chunks that say nothing",
                SAID,
                event(choices=[], prompt_filter_results=[])
                + event(choices=None)
                + event(choices=[{"index": 0, "delta": None}])
                + event(choices=[{"index": 0, "delta": {}}], tool_call_generating=True)
                + event(choices=[{"delta": {"content": "Hello"}}])
                + end(),
                only=NO_FRAGMENTS,
            ),
            Case(
                "next to nothing around a message",
                SAID,
                b'data: {"choices":[{"delta":{"content":"Hello"},"finish_reason":"stop"}]}\n\n',
                b'{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}',
            ),
            Case(
                "fields of another type around a message",
                SAID,
                event(id=7, object=[], model={}, choices=[{"index": "0", "delta": {"content": "Hello"}, "logprobs": 1}])
                + end(),
                json.dumps(
                    {
                        "id": 7,
                        "object": [],
                        "model": {},
                        "choices": [{"index": "0", "message": {"content": "Hello"}, "finish_reason": "stop"}],
                    }
                ).encode(),
            ),
            Case(
                "a second choice",
                SAID,
                HELLO + event(choices=[{"index": 1, "delta": {"content": "!"}, "finish_reason": "length"}]) + end(),
                json.dumps(
                    {
                        "choices": [
                            {"index": 1, "message": {"content": "!"}, "finish_reason": "length"},
                            {"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"},
                        ]
                    }
                ).encode(),
            ),
            Case("an empty finish reason is none", SAID, delta("", content="Hello") + end(), only=NO_FRAGMENTS),
        ),
    ),
    Row(
        8,
        'arguments are an object, "", null or missing',
        "normalised: an object is written down as JSON, nothing is `{}`",
        "litellm#37792 (Ollama), vercel/ai#6687",
        (
            Case(
                "an object",
                ONE,
                part({"q": 1}, "look", index=0, id="a") + end("tool_calls"),
                calling(call({"q": 1}, id="a")),
            ),
            Case(
                'no arguments: "", null, "null" and nothing at all',
                made(("a", "one", "{}"), ("b", "two", "{}"), ("c", "three", "{}"), ("d", "four", "{}")),
                part("", "one", index=0, id="a")
                + part(None, "two", index=1, id="b")
                + part("null", "three", index=2, id="c")
                + delta(tool_calls=[{"index": 3, "id": "d", "function": {"name": "four"}}])
                + end("tool_calls"),
                calling(
                    call("", "one", id="a"),
                    call(None, "two", id="b"),
                    call("null", "three", id="c"),
                    {"id": "d", "function": {"name": "four"}},
                ),
            ),
        ),
    ),
    Row(
        20,
        "`content` is null, or a list of parts",
        "normalised: no text, or the texts of the parts",
        "llama.cpp, Mistral",
        (
            Case("null with calls", ONE, delta(content=None) + LOOKS + end(), calling(CALL_LOOK)),
            Case("null and nothing else", Becomes(), delta(content=None) + end(), body(content=None)),
            Case(
                "parts",
                SAID,
                delta(content=[{"type": "text", "text": "Hel"}, {"text": "lo"}, {"type": "image"}, 7]) + end(),
                body(content=[{"type": "text", "text": "Hel"}, {"text": "lo"}, {"type": "image"}, 7]),
            ),
        ),
    ),
    Row(
        26,
        "usage that is null, `{}`, all zeros, of another type; with every chunk; before the end or with it",
        "normalised: the last one that counts tokens is the usage",
        "CLIProxyAPI#2762, #4053 and #796, cline#10148, litellm#1371 (Mistral), pydantic-ai#7913",
        (
            Case(
                "none",
                SAID,
                HELLO + delta("stop") + event(choices=[], usage=None) + DONE,
                body(content="Hello", usage=None),
            ),
            Case(
                "placeholders before and after",
                Becomes("Hello", usage=USED),
                event(choices=[], usage=NOTHING)
                + HELLO
                + delta("stop")
                + event(choices=[], usage=USAGE)
                + event(choices=[], usage={})
                + event(choices=[], usage=NOTHING)
                + DONE,
                only=NO_FRAGMENTS,
            ),
            Case(
                "nothing but a placeholder",
                SAID,
                HELLO + delta("stop") + event(choices=[], usage=NOTHING) + DONE,
                body(content="Hello", usage=NOTHING),
            ),
            Case(
                "a growing count with every chunk, the last with the finish reason",
                Becomes("Hello", usage=USED),
                event(choices=[{"delta": {"content": "Hel"}}], usage={**USAGE, "completion_tokens": 1})
                + event(choices=[{"delta": {"content": "lo"}, "finish_reason": "stop"}], usage=USAGE)
                + DONE,
                only=NO_FRAGMENTS,
            ),
            Case(
                "of a strange shape",
                Becomes("Hello", usage=Usage(input_tokens=7, output_tokens=3, requests=1)),
                HELLO + delta("stop") + event(usage={"prompt_tokens": 7.0, "completion_tokens": "3", "x": []}) + DONE,
                body(content="Hello", usage={"prompt_tokens": 7.0, "completion_tokens": "3", "x": []}),
            ),
            Case(
                "numbers beyond belief",
                Becomes("Hello", usage=Usage(output_tokens=3, requests=1)),
                HELLO + delta("stop") + event(usage={"prompt_tokens": 10**30, "completion_tokens": 3}) + DONE,
                body(content="Hello", usage={"prompt_tokens": 10**30, "completion_tokens": 3}),
            ),
            Case(
                "numbers that only just fit",
                Becomes("Hello", usage=Usage(input_tokens=7, requests=1)),
                HELLO + delta("stop") + event(usage={"prompt_tokens": 7, "completion_tokens": 2**63 - 1}) + DONE,
                body(content="Hello", usage={"prompt_tokens": 7, "completion_tokens": 2**63 - 1}),
            ),
            Case(
                "less than nothing",
                Becomes("Hello", usage=Usage(output_tokens=3, requests=1)),
                HELLO + delta("stop") + event(usage={"prompt_tokens": -5, "completion_tokens": 3}) + DONE,
                body(content="Hello", usage={"prompt_tokens": -5, "completion_tokens": 3}),
            ),
            Case(
                "behind [DONE]",
                SAID,
                HELLO + end() + event(choices=[], usage=USAGE),
                only="a whole reply has nothing behind it",
            ),
            Case(
                "beside the choices of a whole reply",
                Becomes("Hello", usage=USED),
                whole=body(content="Hello", usage=USAGE),
                only=NO_STREAM,
            ),
        ),
    ),
)
