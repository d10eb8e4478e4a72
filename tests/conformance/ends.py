"""Rows 21 and 30 to 32: how a reply says that it is over."""

from __future__ import annotations

from tests.conformance.bodies import (
    BEGUN,
    CALL_LOOK,
    DONE,
    FINDS,
    HELLO,
    HELLO_WHOLE,
    LOOK,
    LOOKS,
    ONE,
    SAID,
    TWO,
    body,
    call,
    calling,
    delta,
    end,
    event,
)
from tests.conformance.table import NO_FRAGMENTS, Becomes, Case, Fails, Row

THOUGHT = {"reasoning": "Hm.", "reasoning_content": "Hm.", "signature": "s"}

ROWS = (
    Row(
        21,
        "a content filter, a refusal, and finish reasons that say something else than what came",
        "a typed end; whether there are calls is seen, not believed",
        "python-genai#2868 (Gemini), ollama#7963, litellm#35663, vllm#25054, vllm#53255",
        (
            Case(
                "content filter",
                Becomes("Hello", finish="content_filter"),
                HELLO + end("content_filter"),
                body("content_filter", content="Hello"),
            ),
            Case(
                "content filter inside a call",
                Becomes(finish="content_filter"),
                BEGUN + end("content_filter"),
                calling(call('{"q":', id="a"), finish="content_filter"),
            ),
            Case(
                "refusal",
                Becomes("I cannot.", finish="refusal"),
                delta(refusal="I can") + delta(refusal="not.") + end(),
                body(content=None, refusal="I cannot."),
            ),
            Case("stop, with calls", ONE, LOOKS + end("stop"), calling(CALL_LOOK, finish="stop")),
            Case("tool_calls, with text alone", SAID, HELLO + end("tool_calls"), body("tool_calls", content="Hello")),
            Case("a reason that nobody knows", SAID, HELLO + end("EOS"), body("EOS", content="Hello")),
            Case("a number", SAID, HELLO + delta(7), body(7, content="Hello")),
        ),
    ),
    Row(
        30,
        "finish reasons in another provider's words",
        "a filter is a typed end; a call that the provider threw away ends the attempt, for another may succeed",
        "Vibe-Trading#308 and pydantic-ai#631 (Gemini), hermes-agent#83869, python-genai#1836, Zhipu",
        (
            Case(
                "SAFETY",
                Becomes("Hello", finish="content_filter"),
                HELLO + end("SAFETY"),
                body("SAFETY", content="Hello"),
            ),
            Case(
                "PROHIBITED_CONTENT",
                Becomes("Hello", finish="content_filter"),
                HELLO + end("PROHIBITED_CONTENT"),
                body("PROHIBITED_CONTENT", content="Hello"),
            ),
            Case(
                "PROHIBITED_CONTENT, explained",
                Becomes(finish="content_filter"),
                delta(content="") + end("content_filter: PROHIBITED_CONTENT"),
                body("content_filter: PROHIBITED_CONTENT", content=None),
            ),
            Case(
                "sensitive",
                Becomes("Hello", finish="content_filter"),
                HELLO + end("sensitive"),
                body("sensitive", content="Hello"),
            ),
            Case(
                "a malformed call, filtered",
                Fails(naming='"function_call_filter"'),
                delta(content="") + end("function_call_filter: MALFORMED_FUNCTION_CALL"),
                body("function_call_filter: MALFORMED_FUNCTION_CALL", content=None),
            ),
            Case(
                "a malformed call that is there nevertheless",
                Fails(naming='"malformed_function_call"'),
                LOOKS + end("MALFORMED_FUNCTION_CALL"),
                calling(CALL_LOOK, finish="MALFORMED_FUNCTION_CALL"),
            ),
        ),
    ),
    Row(
        31,
        "a finish reason in mid-reply; several; the whole message at the end of a stream",
        "normalised: one that is followed by more of the answer was none; of several the last counts, but none takes "
        "back a failure, a filter or a cut; of a message only what is new",
        "open-webui#16377, litellm#19121 (Vertex), sglang#8417, ChatMock#114, hermes-browser-extension#11",
        (
            Case(
                "stop with every chunk",
                SAID,
                delta("stop", content="Hel") + delta("stop", content="lo") + DONE,
                only=NO_FRAGMENTS,
            ),
            Case(
                "stop, more text, and then nothing",
                Fails(naming="broke off"),
                delta("stop", reasoning_content="Hm.") + HELLO,
                only=NO_FRAGMENTS,
            ),
            Case(
                "tool_calls after every call, then stop",
                TWO,
                LOOKS + delta("tool_calls") + FINDS + delta("tool_calls") + end("stop"),
                only=NO_FRAGMENTS,
            ),
            Case("twice", SAID, HELLO + delta("stop") + end("stop"), only=NO_FRAGMENTS),
            Case("null after it", SAID, HELLO + delta("stop") + delta(None, content="") + DONE, only=NO_FRAGMENTS),
            Case(
                "length, then stop",
                Becomes("Hello", finish="length"),
                HELLO + delta("length") + end("stop"),
                only=NO_FRAGMENTS,
            ),
            Case("error, then stop", Fails(naming='"error"'), HELLO + delta("error") + end("stop"), only=NO_FRAGMENTS),
            Case(
                "error, then text and stop",
                Fails(naming='"error"'),
                delta("error") + HELLO + end("stop"),
                only=NO_FRAGMENTS,
            ),
            Case(
                "the whole text again, as a message",
                SAID,
                HELLO + b"data: " + HELLO_WHOLE + b"\n\n" + DONE,
                only=NO_FRAGMENTS,
            ),
            Case(
                "the whole reasoning and its signature again, as a message",
                Becomes(
                    "Hello", reasoning="Hm.", extra={"reasoning": "Hm.", "reasoning_content": "Hm.", "signature": "s"}
                ),
                delta(**THOUGHT)
                + HELLO
                + event(choices=[{"message": {"content": "Hello", **THOUGHT}, "finish_reason": "stop"}]),
                only=NO_FRAGMENTS,
            ),
            Case(
                "the whole refusal again, as a message",
                Becomes("No.", finish="refusal"),
                delta(refusal="No.") + event(choices=[{"message": {"refusal": "No."}, "finish_reason": "stop"}]),
                only=NO_FRAGMENTS,
            ),
            Case(
                "the whole call again, as a message",
                Becomes("Hello", (LOOK,), "tool_calls", extra={"signature": "s"}),
                HELLO
                + LOOKS
                + event(
                    choices=[
                        {
                            "message": {"content": "Hello", "tool_calls": [CALL_LOOK], "signature": "s"},
                            "finish_reason": "tool_calls",
                        }
                    ]
                ),
                only=NO_FRAGMENTS,
            ),
            Case(
                "a call that only the message at the end brings",
                Becomes("Hello", (LOOK,), "tool_calls"),
                HELLO
                + event(choices=[{"message": {"content": "Hello", "tool_calls": [CALL_LOOK]}, "finish_reason": "stop"}])
                + DONE,
                only=NO_FRAGMENTS,
            ),
        ),
    ),
    Row(
        32,
        "the finish reason of a call, and neither a call nor text",
        "the attempt ends as incomplete: the call was lost on the way",
        "vllm#53255, vmlx#219",
        (
            Case(
                "no calls",
                Fails(naming='"tool_calls"'),
                delta(content=None) + end("tool_calls"),
                body("tool_calls", content=None),
            ),
            Case(
                "an empty list",
                Fails(naming='"tool_calls"'),
                delta(content="", tool_calls=[]) + end("tool_calls"),
                calling(),
            ),
            Case(
                "reasoning alone",
                Fails(naming='"function_call"'),
                delta(reasoning_content="I should look.") + end("function_call"),
                body("function_call", content=None, reasoning_content="I should look."),
            ),
        ),
    ),
)
