"""The table, rows 14 to 23: how replies end, how they are wrapped, what else they bring, and too much of it."""

from __future__ import annotations

from agentrt.errors import ContextTooLong, ProviderExhausted, ProviderThrottled
from tests.conformance.bodies import (
    BEGUN,
    CUT,
    DONE,
    FIND,
    HELLO,
    LOOK,
    LOOKS,
    ONE,
    Becomes,
    Case,
    Fails,
    body,
    delta,
    end,
    event,
    made,
    part,
)

ENDINGS = (
    Case(14, "neither finish reason nor [DONE]", HELLO, Fails(naming="broke off")),
    Case(14, "neither, inside a call", BEGUN, Fails(naming="broke off")),
    Case(14, "neither, inside a call whose arguments look whole", part("{}", "look", index=0, id="a"), Fails()),
    Case(14, "no finish reason, whole", body(None, content="Hello"), Fails(naming="broke off")),
    Case(14, "a finish reason and no [DONE]", HELLO + delta("stop"), Becomes("Hello")),
    Case(14, "[DONE] and no finish reason", HELLO + DONE, Becomes("Hello")),
    Case(14, "[DONE] and no finish reason, with a call", LOOKS + DONE, ONE),
    Case(14, "[DONE] and nothing else", DONE, Fails(naming="[DONE]")),
    Case(14, "nothing", b"", Fails(naming="empty")),
    Case(14, "after [DONE] nothing counts", HELLO + end() + delta(content="!") + b"data: {oops\n\n", Becomes("Hello")),
    Case(
        15,
        "an error in the stream",
        HELLO + event(error={"message": "upstream died", "type": "server_error", "code": "bad_upstream"}) + DONE,
        Fails(naming="bad_upstream, server_error): upstream died"),
    ),
    Case(15, "an error that is a text", HELLO + event(error="boom"), Fails(naming="boom")),
    Case(
        15,
        "an error object",
        HELLO + event(object="error", message="no such model", code=404) + DONE,
        Fails(naming="(404): no such model"),
    ),
    Case(15, "an error object, whole", b'{"object":"error","message":"no","code":40}', Fails(naming="(40): no")),
    Case(15, 'finish reason "error"', HELLO + end("error"), Fails(naming='"error"')),
    Case(
        15,
        "finish reason of a lack of machines",
        HELLO + end("insufficient_system_resource"),
        Fails(naming="system_resource"),
    ),
    Case(15, "error null is no error", event(error=None, choices=[]) + HELLO + end(), Becomes("Hello")),
    Case(
        15,
        "a rate limit with status 200",
        event(error={"message": "Rate limit reached", "code": "rate_limit_exceeded"}),
        Fails(ProviderThrottled, "rate_limit_exceeded"),
    ),
    Case(15, "429 with status 200", event(error={"message": "wait", "code": 429}), Fails(ProviderThrottled, "429")),
    Case(
        15,
        "no quota, with status 200",
        b'{"error":{"message":"no money","type":"insufficient_quota"}}',
        Fails(ProviderExhausted, "insufficient_quota"),
    ),
    Case(
        15,
        "too long, with status 200",
        event(error={"message": "This model's maximum context length is 10", "code": "context_length_exceeded"}),
        Fails(ContextTooLong, "maximum context length"),
    ),
    Case(16, "half a JSON line", HELLO + b'data: {"choices":[{"index":0,"del\n\n', Fails(naming="expected a chunk")),
    Case(16, "cut inside a line", HELLO + b'data: {"choices":[{"index":0,"del', Fails()),
    Case(16, "cut before the line's end", HELLO + b'data: {"choices":[]}', Fails(naming="broke off")),
    Case(
        16, "cut after the end, inside the usage", HELLO + delta("stop") + b'data: {"choices":[],"us', Becomes("Hello")
    ),
    Case(16, "half a body", body(content="Hello")[:-10], Fails(naming="expected a chunk")),
    Case(16, "a chunk that is no object", HELLO + b"data: 17\n\n", Fails(naming="17")),
    Case(
        17,
        "HTML",
        b"<!DOCTYPE html>\n<html><body>\n<h1>Please sign in</h1></body></html>",
        Fails(naming="<!DOCTYPE html> <html><body>"),
    ),
    Case(17, "plain text", b"upstream connect error", Fails(naming="upstream connect error")),
    Case(17, "a JSON body of something else", b'{"detail": "hello"}', Fails(naming='{"detail": "hello"}')),
    Case(17, "a list", b"[]", Fails(naming="[]")),
    Case(
        18,
        "comments, ids, names, retry, empty events",
        b": hi\n\n" + b"event: x\nid: 1\nretry: 10\n" + HELLO + b":\n\ndata\n\ndata:\n\ndata: \n\n" + end(),
        Becomes("Hello"),
    ),
    Case(18, "CRLF", (HELLO + end()).replace(b"\n", b"\r\n"), Becomes("Hello")),
    Case(18, "CR", (HELLO + end()).replace(b"\n", b"\r"), Becomes("Hello")),
    Case(18, "no space after the colon", (HELLO + end()).replace(b"data: ", b"data:"), Becomes("Hello")),
    Case(18, "a byte order mark", b"\xef\xbb\xbf" + HELLO + end(), Becomes("Hello")),
    Case(18, "blank lines first", b"\r\n\n" + HELLO + end(), Becomes("Hello")),
    Case(
        18,
        "one chunk on several lines",
        b'data: {"choices":[{"delta":\ndata: {"content":\ndata: "Hello"}}]}\n\n' + end(),
        Becomes("Hello"),
    ),
    Case(18, "no line end after [DONE]", HELLO + b"data: [DONE]", Becomes("Hello")),
    Case(18, "one line end after [DONE]", HELLO + b"data: [DONE]\n", Becomes("Hello")),
    Case(
        18,
        "characters of several bytes",
        delta(content="Grüße 😀").replace(b"\\u00fc", "ü".encode()) + end(),
        Becomes("Grüße 😀"),
    ),
    Case(
        19,
        "reasoning",
        delta(role="assistant", content=None, reasoning_content="Let me ")
        + delta(reasoning_content="think.")
        + delta(content="Hello")
        + end(),
        Becomes("Hello", reasoning="Let me think.", extra={"reasoning_content": "Let me think."}),
    ),
    Case(
        19,
        "reasoning under two names is told once",
        delta(reasoning="Hm.", reasoning_content="Hm.") + HELLO + end(),
        Becomes("Hello", reasoning="Hm.", extra={"reasoning_content": "Hm.", "reasoning": "Hm."}),
    ),
    Case(
        19,
        "reasoning, whole",
        body(content="Hello", reasoning="Hm."),
        Becomes("Hello", reasoning="Hm.", extra={"reasoning": "Hm."}),
    ),
    Case(
        19,
        "unknown fields: texts and lists grow, objects merge, empty ones vanish",
        delta(content="Hel", signature="ab", details=[{"n": 1}], box={"a": 1}, annotations=[{"url": "x"}])
        + delta(content="lo", signature="c", details=[{"n": 2}], box={"b": 2}, nothing=None, none=[], level=3)
        + end(),
        Becomes(
            "Hello", extra={"signature": "abc", "details": [{"n": 1}, {"n": 2}], "box": {"a": 1, "b": 2}, "level": 3}
        ),
    ),
    Case(
        19,
        "unknown fields of a call, by its position",
        LOOKS
        + part('{"q":2}', "find", index=1, id="b", extra_content={"google": {"thought_signature": "s"}})
        + end("tool_calls"),
        Becomes(
            calls=(LOOK, FIND),
            finish="tool_calls",
            extra={"tool_calls": [{}, {"extra_content": {"google": {"thought_signature": "s"}}}]},
        ),
    ),
    Case(
        19,
        "numbers that JSON cannot hold",
        (delta(content="Hello", odd="@") + end()).replace(b'"@"', b"[NaN, 1e999, 12345678901234567890123]"),
        Becomes("Hello", extra={"odd": [None, None, 12345678901234567890123]}),
    ),
    Case(20, "content null with calls", delta(content=None) + LOOKS + end(), ONE),
    Case(20, "content null, nothing else", delta(content=None) + end(), Becomes()),
    Case(20, "content in parts", delta(content=[{"text": "Hel"}, {"text": "lo"}]) + end(), Becomes("Hello")),
    Case(21, "content filter", HELLO + end("content_filter"), Becomes("Hello", finish="content_filter")),
    Case(21, "content filter by another name", HELLO + end("sensitive"), Becomes("Hello", finish="content_filter")),
    Case(21, "content filter inside a call", BEGUN + end("content_filter"), Becomes(finish="content_filter")),
    Case(21, "refusal", delta(refusal="I can") + delta(refusal="not.") + end(), Becomes("I cannot.", finish="refusal")),
    Case(21, "refusal, whole", body(content=None, refusal="No."), Becomes("No.", finish="refusal")),
    Case(21, "stop with calls means calls", LOOKS + end("stop"), ONE),
    Case(21, "tool_calls without calls means stop", HELLO + end("tool_calls"), Becomes("Hello")),
    Case(21, "a finish reason nobody knows", HELLO + end("EOS"), Becomes("Hello")),
    Case(22, "half a pair", delta(content="a\ud83db") + end(), Becomes("a\ufffdb")),
    Case(22, "a pair", delta(content="a\ud83d\ude00b") + end(), Becomes("a😀b")),
    Case(22, "half a pair, whole", body(content="a\ude00"), Becomes("a\ufffd")),
    Case(22, "bytes that are no UTF-8", (delta(content="a@b") + end()).replace(b"@", b"\xff"), Becomes("a\ufffdb")),
    Case(
        22,
        "half a pair in an unknown field",
        delta(content="Hello", x=["\ud83d"]) + end(),
        Becomes("Hello", extra={"x": ["\ufffd"]}),
    ),
    Case(
        23,
        "100 calls",
        b"".join(part("{}", "look", index=i, id=f"c{i}") for i in range(100)) + end("tool_calls"),
        made(*((f"c{i}", "look", "{}") for i in range(100))),
    ),
    Case(
        23,
        "130 calls are capped at 128",
        b"".join(part('{"q":', "look", index=i, id=f"c{i}") + part("1}", index=i) for i in range(130)) + end(),
        made(*((f"c{i}", "look", '{"q":1}') for i in range(128))),
    ),
    Case(
        23,
        "5 MB of arguments",
        part('{"q":"', "look", index=0, id="a")
        + b"".join(part("x" * 100_000, index=0) for _ in range(49))
        + part('"}', index=0)
        + end(),
        made(("a", "look", '{"q":"' + "x" * 4_900_000 + '"}')),
    ),
    Case(
        23,
        "more than that is cut, and the cut text is no JSON",
        part("{}" + " " * 4_999_000, "look", index=0, id="a")
        + part(" " * 2_000, index=0)
        + part("{}", "find", index=1, id="b")
        + end(),
        made(("a", "look", "{}" + " " * 4_999_998 + CUT), ("b", "find", CUT)),
    ),
    Case(
        23,
        "arguments 100,000 deep are passed on unread",
        part("[" * 100_000 + "]" * 100_000, "look", index=0, id="a") + end(),
        made(("a", "look", "[" * 100_000 + "]" * 100_000)),
    ),
    Case(23, "a chunk 100,000 deep", b'data: {"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n\n", Fails(naming="deep")),
    Case(23, "an open chunk 100,000 deep", b'data: {"x":' + b'[{"a":' * 100_000 + b"\n\n", Fails(naming="deep")),
    Case(23, "a body 100,000 deep", b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", Fails(naming="deep")),
    Case(
        23,
        "a chunk 60 deep is read",
        b'data: {"x":' + b"[" * 60 + b"]" * 60 + b',"choices":[{"delta":{"content":"Hello"}}]}\n\n' + end(),
        Becomes("Hello"),
    ),
)
