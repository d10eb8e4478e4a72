"""Rows 14 to 17 and 27: replies that are none, and errors inside a reply that began with status 200."""

from __future__ import annotations

from agentrt.errors import ContextTooLong, ProviderExhausted, ProviderThrottled
from tests.conformance.bodies import (
    BEGUN,
    DONE,
    HELLO,
    HELLO_WHOLE,
    LOOKS,
    ONE,
    SAID,
    body,
    call,
    calling,
    delta,
    end,
    event,
    part,
)
from tests.conformance.table import NO_EVENTS, NO_FRAGMENTS, Case, Fails, Row

OVERFULL = b'{"code":400,"message":"the request exceeds the available context size","type":"invalid_request_error"}'
SICK = b'{"code":500,"message":"Compute error.","type":"server_error"}'
WORKING = b": working on it\n\n"

ROWS = (
    Row(
        14,
        "a clean end without a finish reason and without [DONE]",
        "the attempt ends as incomplete",
        "pydantic-ai#6610, litellm#40260, litellm#42085, vllm#27572",
        (
            Case("neither", Fails(naming="broke off"), HELLO, body(None, content="Hello")),
            Case(
                "neither, inside a call", Fails(naming="broke off"), BEGUN, calling(call('{"q":', id="a"), finish=None)
            ),
            Case(
                "neither, after a call that looks whole",
                Fails(naming="broke off"),
                part("{}", "look", index=0, id="a"),
                calling(call("{}", id="a"), finish=None),
            ),
            Case("nothing at all", Fails(naming="empty"), b"", b""),
            Case("white space", Fails(naming="came ''"), b"\n\n\n", b"  \r\n"),
            Case("comments", Fails(naming=": working on it"), WORKING * 3, only=NO_EVENTS),
            Case("a finish reason and no [DONE]", SAID, HELLO + delta("stop"), HELLO_WHOLE),
            Case("[DONE] and no finish reason", SAID, HELLO + DONE, body(None, content="Hello") + DONE),
            Case("[DONE], no finish reason, a call", ONE, LOOKS + DONE, only=NO_EVENTS),
            Case("[DONE] and nothing else", Fails(naming="[DONE]"), DONE, only=NO_EVENTS),
            Case(
                "after [DONE] nothing counts", SAID, HELLO + end() + delta(content="!") + b"data: {\n\n", only=NO_EVENTS
            ),
        ),
    ),
    Row(
        15,
        "an `error` object, or the finish reason `error`, in a reply with status 200",
        "the attempt ends as what the error's code says, else as incomplete",
        "goose#8021, litellm#40578, litellm#25492 (sglang), openrouter-examples#67, llama.cpp#14566",
        (
            Case(
                "code and words",
                Fails(naming="(bad_upstream, server_error): upstream died"),
                HELLO
                + event(error={"message": "upstream died", "type": "server_error", "code": "bad_upstream"})
                + DONE,
                b'{"error":{"message":"upstream died","type":"server_error","code":"bad_upstream"}}',
            ),
            Case("a text", Fails(naming="boom"), HELLO + event(error="boom"), b'{"error":"boom"}'),
            Case(
                'an object "error"',
                Fails(naming="(404): no such model"),
                HELLO + event(object="error", message="no such model", code=404) + DONE,
                b'{"object":"error","message":"no such model","code":404}',
            ),
            Case(
                'the type "error"',
                Fails(naming="no such model"),
                HELLO + event(type="error", message="no such model") + DONE,
                b'{"type":"error","message":"no such model"}',
            ),
            Case(
                "in a list",
                Fails(naming="INVALID_ARGUMENT"),
                HELLO + b'data: {"error":[{"error":{"status":"INVALID_ARGUMENT","message":"no"}}]}\n\n',
                b'{"error":[{"error":{"status":"INVALID_ARGUMENT","message":"no"}}]}',
            ),
            Case(
                "beside choices",
                Fails(naming="(502): Provider disconnected"),
                BEGUN
                + event(
                    error={"code": 502, "message": "Provider disconnected"},
                    choices=[{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
                )
                + DONE,
                b'{"error":{"code":502,"message":"Provider disconnected"},"choices":[{"message":{"content":"H"},'
                b'"finish_reason":"stop"}]}',
            ),
            Case(
                'finish reason "error"', Fails(naming='"error"'), HELLO + end("error"), body("error", content="Hello")
            ),
            Case(
                "a lack of machines",
                Fails(naming="insufficient_system_resource"),
                HELLO + end("insufficient_system_resource"),
                body("insufficient_system_resource", content="Hello"),
            ),
            Case("null is no error", SAID, event(error=None, choices=[]) + HELLO + end(), body(content="Hello")),
            Case(
                "a rate limit",
                Fails(ProviderThrottled, "rate_limit_exceeded"),
                event(error={"message": "Rate limit reached", "code": "rate_limit_exceeded"}),
                b'{"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}',
            ),
            Case(
                "429",
                Fails(ProviderThrottled, "429"),
                event(error={"message": "wait", "code": 429}),
                b'{"error":{"message":"wait","code":429}}',
            ),
            Case(
                "no money",
                Fails(ProviderExhausted, "insufficient_quota"),
                event(error={"message": "no money", "type": "insufficient_quota"}),
                b'{"error":{"message":"no money","type":"insufficient_quota"}}',
            ),
            Case(
                "too long",
                Fails(ContextTooLong, "context length of 196608"),
                event(
                    error={
                        "object": "error",
                        "message": "Requested token count exceeds the model's maximum context length of 196608 tokens.",
                        "type": "BadRequestError",
                        "code": 400,
                    }
                )
                + DONE,
                b'{"error":{"message":"more than the maximum context length of 196608 tokens","code":400}}',
            ),
        ),
    ),
    Row(
        16,
        "half a JSON line, or one that is no object",
        "the attempt ends as incomplete; after the finish reason, nothing was missing",
        "every proxy with an idle timeout",
        (
            Case(
                "half a chunk", Fails(naming="chunk of JSON"), HELLO + b'data: {"choices":[{"del\n\n', HELLO_WHOLE[:60]
            ),
            Case("cut in a chunk", Fails(naming="chunk of JSON"), HELLO + delta(content="more")[:40], HELLO_WHOLE[:-1]),
            Case("cut in a field's name", Fails(naming="broke off"), HELLO + b"da", only=NO_EVENTS),
            Case(
                "cut in the chunk after the end", SAID, HELLO + delta("stop") + b'data: {"usage":{"pro', only=NO_EVENTS
            ),
            Case("a chunk that is no object", Fails(naming="17"), HELLO + b"data: 17\n\n", only=NO_EVENTS),
            Case("words", Fails(naming="chunk of JSON"), HELLO + b"data: upstream died\n\n", only=NO_EVENTS),
            Case(
                "two replies in one",
                Fails(naming="chunk of JSON"),
                only="streams are cut by lines",
                whole=HELLO_WHOLE * 2,
            ),
            Case(
                "one object a line",
                Fails(naming="chunk of JSON"),
                only="it is Ollama's own form of a stream, not an event stream",
                whole=b'{"message":{"content":"Hel"},"done":false}\n{"message":{"content":"lo"},"done":true}\n',
            ),
        ),
    ),
    Row(
        17,
        "something else with status 200",
        "the attempt ends as incomplete, and quotes what came",
        "sign-in pages, gateways",
        (
            Case(
                "HTML",
                Fails(naming="<!DOCTYPE html> <html><body>"),
                b"<!DOCTYPE html>\n<html><body>\n<h1>Please sign in</h1></body></html>",
                only="it is neither form",
            ),
            Case("words", Fails(naming="upstream connect error"), b"upstream connect error", only="it is neither form"),
            Case(
                "JSON of something else", Fails(naming='{"detail": "no"}'), only=NO_FRAGMENTS, whole=b'{"detail": "no"}'
            ),
            Case("a list", Fails(naming="[]"), only=NO_FRAGMENTS, whole=b"[]"),
            Case(
                "events of something else",
                Fails(naming='data: {"detail"'),
                b'data: {"detail": "no"}\n\n' + DONE,
                only=NO_EVENTS,
            ),
        ),
    ),
    Row(
        27,
        "an error that only the event's name or a field `error:` marks",
        "the attempt ends, as in row 15, even if [DONE] follows",
        "llama.cpp#16104, coddy-agent#104, term-llm#454, goai#110 (LM Studio)",
        (
            Case(
                "a field of its own",
                Fails(ContextTooLong, "available context size"),
                b"error: " + OVERFULL + b"\n\n" + DONE,
                only=NO_EVENTS,
            ),
            Case(
                "in mid-reply",
                Fails(naming="(500, server_error): Compute error."),
                HELLO + b"error:" + SICK + b"\n\n" + DONE,
                only=NO_EVENTS,
            ),
            Case(
                "the event's name",
                Fails(naming="(500, server_error): Compute error."),
                HELLO + b"event: error\ndata: " + SICK + b"\n\n" + DONE,
                only=NO_EVENTS,
            ),
            Case(
                "the event's name, and the data on several lines",
                Fails(naming="no more machines"),
                HELLO + b'event:error\ndata: {"message":\ndata: "no more machines"}\n\n' + DONE,
                only=NO_EVENTS,
            ),
            Case(
                "the event's name behind an error that marks itself",
                Fails(naming="(500, server_error): Compute error."),
                HELLO + b'data: {"error":' + SICK + b"}\nevent: error\n\n" + DONE,
                only=NO_EVENTS,
            ),
            Case(
                "words", Fails(naming="upstream died"), HELLO + b"event: error\ndata: upstream died\n\n", only=NO_EVENTS
            ),
            Case("a name without data", SAID, b"event: error\n\n" + HELLO + end(), only=NO_EVENTS),
            Case("another name", SAID, b"event: message\n" + HELLO + end(), only=NO_EVENTS),
        ),
    ),
)
