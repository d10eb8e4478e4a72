"""Rows 18 and 28: events, lines and bytes."""

from __future__ import annotations

from tests.conformance.bodies import DONE, HELLO, HELLO_WHOLE, ONE, SAID, body, call, calling, delta, end
from tests.conformance.table import NO_EVENTS, NO_STREAM, Becomes, Case, Fails, Row

SPACED = (
    b'\xef\xbb\xbf\r\n \t{\r\n  "choices": [ { "message": {"content":"Hello"} , "finish_reason":"stop" } ]\r\n}\r\n'
)

ROWS = (
    Row(
        18,
        "comments, other fields, any line end, events split at any byte, several lines of data",
        "normalised, as the standard of event streams says",
        "openai-go#227 (OpenRouter), odysseus#1701, cadis#2053, apogee#139 (llama.cpp)",
        (
            Case(
                "comments, ids, names, retry, empty events",
                SAID,
                b": hi\n\n" + b"event: x\nid: 1\nretry: 10\n" + HELLO + b":\n\ndata\n\ndata:\n\ndata: \n\n" + end(),
                only=NO_EVENTS,
            ),
            Case("CRLF", SAID, (HELLO + end()).replace(b"\n", b"\r\n"), SPACED),
            Case("CR", SAID, (HELLO + end()).replace(b"\n", b"\r"), SPACED.replace(b"\n", b"")),
            Case("no space after the colon", SAID, (HELLO + end()).replace(b"data: ", b"data:"), only=NO_EVENTS),
            Case("a byte order mark", SAID, b"\xef\xbb\xbf" + HELLO + end(), b"\xef\xbb\xbf" + HELLO_WHOLE),
            Case("blank lines first", SAID, b"\r\n\n" + HELLO + end(), b"\r\n\n" + HELLO_WHOLE),
            Case(
                "one chunk on several lines",
                SAID,
                b'data: {"choices":[{"delta":\ndata: {"content":\ndata: "Hello"}}]}\n\n' + end(),
                only=NO_EVENTS,
            ),
            Case("no line end after [DONE]", SAID, HELLO + b"data: [DONE]", only=NO_EVENTS),
            Case("one line end after [DONE]", SAID, HELLO + b"data: [DONE]\n", only=NO_EVENTS),
            Case("no blank line after the last chunk", SAID, HELLO + delta("stop")[:-1], only=NO_EVENTS),
            Case(
                "characters of several bytes",
                Becomes("Grüße 😀"),
                delta(content="Grüße 😀").replace(b"\\u00fc", "ü".encode()) + end(),
                body(content="Grüße 😀").replace(b"\\u00fc", "ü".encode()),
            ),
            Case(
                "two chunks with a single line end between them",
                Fails(naming="chunk of JSON"),
                HELLO.replace(b"\n\n", b"\n") + end(),
                only=NO_EVENTS,
            ),
        ),
    ),
    Row(
        28,
        "a whole reply that ends like a stream",
        "normalised; what else stands behind a reply ends the attempt",
        "9router#3492",
        (
            Case("[DONE] behind it", SAID, only=NO_STREAM, whole=HELLO_WHOLE + b"\n\n" + DONE),
            Case(
                "[DONE] right behind it, a call",
                ONE,
                only=NO_STREAM,
                whole=calling(call('{"q":1}', id="a")) + b"data: [DONE]",
            ),
            Case("garbage behind it", Fails(naming="chunk of JSON"), only=NO_STREAM, whole=HELLO_WHOLE + b"0\r\n\r\n"),
            Case("as the only chunk of a stream", SAID, b"data: " + HELLO_WHOLE + b"\n\n" + DONE, only=NO_EVENTS),
            Case(
                "as the only chunk of a stream, a call",
                ONE,
                b"data: " + calling(call('{"q":1}', id="a")) + b"\n\n" + DONE,
                only=NO_EVENTS,
            ),
        ),
    ),
)
