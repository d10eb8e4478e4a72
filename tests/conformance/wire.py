"""Rows 33 to 35: answers of HTTP, byte for byte as a server sends them before it closes the connection.

`refused` and `said` build the plain ones; `tests/model/test_failures.py` has the whole table of refusals.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass

from agentrt.errors import (
    ContextTooLong,
    ProviderExhausted,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnavailable,
    ProviderUnreachable,
)
from tests.conformance.bodies import HELLO, HELLO_WHOLE, end
from tests.conformance.table import Fails

GOOD = HELLO + end()
PACKED = gzip.compress(GOOD)
STREAM = "Content-Type: text/event-stream"
JSON = "Content-Type: application/json"
GZIP = "Content-Encoding: gzip"
CHUNKED = "Transfer-Encoding: chunked"


@dataclass(frozen=True)
class Answer:
    """What a server sends; `result` is the text of the reply that results, or the failure."""

    row: int
    name: str
    raw: bytes
    result: str | Fails


def said(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    """An answer that ends with its connection."""
    return "\r\n".join((f"HTTP/1.1 {status}", *fields, "Connection: close", "", "")).encode() + body


def sized(body: bytes, *fields: str, status: str = "200 OK", by: int = 0) -> bytes:
    """An answer that says how long it is, give or take."""
    return said(body, f"Content-Length: {len(body) + by}", *fields, status=status)


def chunked(body: bytes, *fields: str) -> bytes:
    """An answer in chunks of HTTP, which have nothing to do with ours."""
    parts = (body[start : start + 50] for start in range(0, len(body), 50))
    return said(b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n", CHUNKED, *fields)


def refused(status: str, body: bytes = b"", *fields: str) -> bytes:
    return sized(body, JSON, *fields, status=status)


def error(code: str, message: str = "no") -> bytes:
    return b'{"error":{"message":"%b","code":"%b"}}' % (message.encode(), code.encode())


ANSWERS = (
    # 33: packed though nobody asked (plano#988, ai-gateway#1927, ai-gateway#2260).
    # It is unpacked; what cannot be unpacked ends the attempt, unless the reply was finished before.
    Answer(33, "gzip", chunked(PACKED, STREAM, GZIP), "Hello"),
    Answer(33, "deflate", chunked(zlib.compress(GOOD), STREAM, "Content-Encoding: deflate"), "Hello"),
    Answer(33, "gzip, not streamed", sized(gzip.compress(HELLO_WHOLE), JSON, GZIP), "Hello"),
    Answer(33, "gzip cut short", chunked(PACKED[:60], STREAM, GZIP), Fails(naming="chunk of JSON, came '{")),
    Answer(33, "gzip that is none", chunked(GOOD, STREAM, GZIP), Fails(naming="DecodingError")),
    Answer(33, "identity, said aloud", chunked(GOOD, STREAM, "Content-Encoding: identity"), "Hello"),
    # 34: HTTP that is not what it says (braintrust-proxy#1124, kai#256).
    # A reply is whole if its own end came, whatever becomes of the connection; else the attempt ends.
    Answer(34, "chunked", chunked(GOOD, STREAM), "Hello"),
    Answer(34, "up to the end of the connection", said(GOOD, STREAM), "Hello"),
    Answer(34, "HTTP/1.0", said(GOOD, STREAM).replace(b"/1.1", b"/1.0"), "Hello"),
    Answer(34, "JSON called an event stream", sized(HELLO_WHOLE, STREAM), "Hello"),
    Answer(34, "an event stream called JSON", chunked(GOOD, JSON), "Hello"),
    Answer(34, "no type at all", chunked(GOOD), "Hello"),
    Answer(34, "a length too long, after the end", sized(GOOD, STREAM, by=100), "Hello"),
    Answer(34, "a length too long, in mid-reply", sized(HELLO, STREAM, by=100), Fails(naming="broke in mid-reply")),
    Answer(34, "a length too long, not streamed", sized(HELLO_WHOLE, JSON, by=9), Fails(naming="broke in mid-reply")),
    Answer(34, "a length too short, behind the end", sized(GOOD, STREAM, by=-10), "Hello"),
    Answer(34, "a length too short, in mid-reply", sized(HELLO, STREAM, by=-20), Fails(naming="chunk of JSON")),
    Answer(34, "a length too short, not streamed", sized(HELLO_WHOLE, JSON, by=-9), Fails(naming="chunk of JSON")),
    Answer(34, "garbage behind the body", chunked(GOOD, STREAM) + b"garbage", "Hello"),
    Answer(34, "garbage behind the length", sized(HELLO_WHOLE, JSON, by=0) + b"garbage", "Hello"),
    Answer(34, "garbage where a chunk should begin", said(b"zz\r\n", CHUNKED, STREAM), Fails(naming="mid-reply")),
    Answer(
        34,
        "garbage instead of the last chunk",
        chunked(GOOD, STREAM).removesuffix(b"0\r\n\r\n") + b"zz\r\n",
        "Hello",
    ),
    Answer(34, "cut in a chunk of HTTP", chunked(GOOD, STREAM)[:-200], Fails(naming="mid-reply")),
    Answer(34, "cut before the last chunk of HTTP", chunked(GOOD, STREAM).removesuffix(b"0\r\n\r\n"), "Hello"),
    Answer(34, "100 first", b"HTTP/1.1 100 Continue\r\n\r\n" + chunked(GOOD, STREAM), "Hello"),
    Answer(34, "no content", said(b"", status="204 No Content"), Fails(naming="empty")),
    Answer(34, "an empty body", sized(b"", JSON), Fails(naming="empty")),
    Answer(
        34, "a sign-in page", sized(b"<html>Sign in</html>", "Content-Type: text/html"), Fails(naming="<html>Sign in")
    ),
    Answer(34, "a failure as a reply", sized(error("429", "wait"), JSON), Fails(ProviderThrottled, "wait")),
    Answer(34, "no HTTP", b"SSH-2.0-OpenSSH_9.6\r\n", Fails(ProviderUnreachable, "no answer from 127.0.0.1")),
    Answer(34, "nothing", b"", Fails(ProviderUnreachable, "no answer from 127.0.0.1")),
    Answer(34, "cut in the headers", b"HTTP/1.1 200 OK\r\nConte", Fails(ProviderUnreachable, "no answer from")),
    # 35: refusals. The status decides, then the code, and words only where they are unmistakable.
    Answer(35, "a redirect is not followed", refused("307 Go", b"", "Location: /"), Fails(ProviderRefused, "HTTP 307")),
    Answer(
        35, "bad request", refused("400 Bad", error("invalid_value")), Fails(ProviderRefused, "400 (invalid_value)")
    ),
    Answer(35, "too long", refused("400 Bad", error("context_length_exceeded")), Fails(ContextTooLong, "400")),
    Answer(35, "no key", refused("401 No", error("invalid_api_key")), Fails(ProviderRefused, "invalid_api_key")),
    Answer(35, "no money", refused("402 Pay"), Fails(ProviderExhausted, "402")),
    Answer(
        35,
        "no such model",
        refused("404 No", b'{"error":"model not found"}'),
        Fails(ProviderRefused, "model not found"),
    ),
    Answer(35, "too fast", refused("429 Slow", error("rate_limit_exceeded")), Fails(ProviderThrottled, "429")),
    Answer(35, "no quota", refused("429 Slow", error("insufficient_quota")), Fails(ProviderExhausted, "429")),
    Answer(35, "ill", refused("500 Oops", b"<html>\n<h1>Oops</h1>"), Fails(ProviderUnavailable, "<html> <h1>Oops")),
    Answer(35, "without a word", refused("503 Busy"), Fails(ProviderUnavailable, "without a word")),
    Answer(35, "a number of its own", refused("529 Site is overloaded"), Fails(ProviderUnavailable, "529")),
    Answer(35, "a reply with status 500", refused("500 Oops", HELLO_WHOLE), Fails(ProviderUnavailable, "500")),
    Answer(35, "a stream with status 500", said(GOOD, STREAM, status="500 Oops"), Fails(ProviderUnavailable, "500")),
    Answer(
        35,
        "packed",
        sized(gzip.compress(error("rate_limit_exceeded")), JSON, GZIP, status="429 Slow"),
        Fails(ProviderThrottled, "rate_limit_exceeded"),
    ),
    Answer(
        35,
        "packed, and broken",
        sized(b"no gzip", JSON, GZIP, status="429 Slow"),
        Fails(ProviderUnreachable, "DecodingError"),
    ),
    Answer(
        35, "cut short", sized(b'{"err', JSON, status="500 Oops", by=90), Fails(ProviderUnreachable, "no answer from")
    ),
)
