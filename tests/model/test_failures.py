"""The gate's table of refusals, by status, code and words."""

from __future__ import annotations

import json
from email.utils import formatdate

import pytest

from agentrt.errors import (
    ContextTooLong,
    ProviderError,
    ProviderExhausted,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnavailable,
    ReplyIncomplete,
)
from agentrt.model.failures import EXCERPT, complaint, excerpt, in_band, refusal, retry_after

NOW = 1_800_000_000.0


def refused(status: int, body: object = b"", headers: dict[str, str] | None = None) -> ProviderError:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return refusal(status, headers or {}, data, now=NOW)


def said(message: str = "no", **fields: object) -> dict[str, object]:
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (408, b"", ProviderUnavailable),
        (409, b"", ProviderUnavailable),
        (500, said("boom"), ProviderUnavailable),
        (502, b"<html>bad gateway</html>", ProviderUnavailable),
        (503, said("insufficient_quota of machines"), ProviderUnavailable),
        (504, b"", ProviderUnavailable),
        (529, said("overloaded"), ProviderUnavailable),
        (429, b"", ProviderThrottled),
        (429, said("Rate limit reached", code="rate_limit_exceeded", type="tokens"), ProviderThrottled),
        (429, said("You exceeded your current quota, please check your plan and billing", status="RESOURCE_EXHAUSTED"),
         ProviderThrottled),
        (498, b"", ProviderThrottled),
        (402, said("too many in-flight requests"), ProviderThrottled),
        (429, said("You exceeded your current quota", code="insufficient_quota"), ProviderExhausted),
        (429, said("You exceeded your current quota", type="insufficient_quota", code=None), ProviderExhausted),
        (429, said("Rate limit reached on requests per day (RPD)", code="rate_limit_exceeded"), ProviderExhausted),
        (429, [said("quota", details=[{"quotaId": "GenerateRequestsPerDayPerProject"}])], ProviderExhausted),
        (402, said("Insufficient Balance"), ProviderExhausted),
        (402, b"", ProviderExhausted),
        (403, said("spending limit reached"), ProviderExhausted),
        (400, said("maximum context length is 8192 tokens", code="context_length_exceeded"), ContextTooLong),
        (400, said("the request exceeds the available context size", type="exceed_context_size_error"), ContextTooLong),
        (413, said("prompt is too long: 210000 tokens > 200000 maximum"), ContextTooLong),
        (400, said("This model's maximum prompt length is 131072, the request has 200000 tokens"), ContextTooLong),
        (400, said("Please reduce the length of the messages or completion"), ContextTooLong),
        (400, said("The input exceeds the configured limit of 8192 tokens"), ContextTooLong),
        (400, {"object": "error", "message": "maximum context length is 10", "code": 400}, ContextTooLong),
        (400, said("max_tokens is too large"), ProviderRefused),
        (401, said("no key"), ProviderRefused),
        (403, said("not for you"), ProviderRefused),
        (404, {"error": "model 'x' not found"}, ProviderRefused),
        (413, b"", ProviderRefused),
        (422, {"detail": [{"loc": ["body"], "msg": "extra"}]}, ProviderRefused),
        (418, b"", ProviderRefused),
        (307, b"", ProviderRefused),
    ],
)  # fmt: skip
def test_a_refusal_becomes_the_error_of_the_gates_table(status: int, body: object, error: type[ProviderError]) -> None:
    failure = refused(status, body)
    assert type(failure) is error
    assert failure.status == status
    assert f"HTTP {status}" in str(failure)


def test_a_refusal_quotes_codes_and_words_and_keeps_the_request_id() -> None:
    failure = refused(429, said("Slow down.", code="rate_limit_exceeded", type="tokens"), {"x-request-id": "r1"})
    assert str(failure) == "the provider answered HTTP 429 (rate_limit_exceeded, tokens): Slow down."
    assert failure.request_id == "r1"
    assert str(refused(500)) == "the provider answered HTTP 500: without a word"


def test_what_a_provider_says_is_cut_to_an_excerpt_on_one_line() -> None:
    failure = refused(500, said("a\n\nb " + "x" * 10_000))
    assert "a b xxx" in str(failure)
    assert len(str(failure)) < EXCERPT + 60
    assert len(excerpt("y" * 10_000)) == EXCERPT


def test_what_looks_like_a_key_is_not_repeated() -> None:
    failure = refused(401, said("Incorrect API key provided: sk-proj-abcdef123; Bearer abc"))
    assert "abcdef" not in str(failure)
    assert "Bearer ***" in str(failure)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "7"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0.0),
        ({"retry-after": formatdate(NOW + 90).removesuffix(" -0000")}, 90.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Wed, 99 Foo 2026 99:99:99 GMT"}, None),
    ],
)
def test_retry_after_is_read_from_whatever_it_is_written_as(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds
    assert refused(429, headers=headers).retry_after == seconds


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"[]", b"{}", b"null", b"[[[[", b'"x"', b"[" * 5_000 + b"]" * 5_000]
)
def test_any_body_can_be_read_as_a_complaint(body: bytes) -> None:
    assert len(complaint(body).text) <= EXCERPT


@pytest.mark.parametrize(
    "error", ["x", 17, [], {}, {"message": None}, {"code": 1.5, "message": ["x"]}, [{"error": "x"}], True]
)
def test_any_error_inside_a_reply_ends_it_as_incomplete(error: object) -> None:
    assert type(in_band(error)) is ReplyIncomplete


def test_sizes_that_stand_beside_the_message_are_told() -> None:
    error = {"message": "too much", "type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 8192}
    said_so = complaint(json.dumps({"error": error}).encode())
    assert said_so.text == "too much (n_prompt_tokens 9000, n_ctx 8192)"
