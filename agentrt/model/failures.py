"""What a provider's refusal means: status, code and words in, one of our errors out.

The table is the gate's (retry, requeue, give up). Codes are trusted before words, and words only where
they are unmistakable: several providers answer a passing rate limit with "check your plan and billing".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Any, NamedTuple, cast

import msgspec

from agentrt.errors import (
    ContextTooLong,
    ProviderError,
    ProviderExhausted,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnavailable,
    ReplyIncomplete,
)

EXCERPT = 300
"""Characters of a provider's own text that an error message quotes at most."""

_READ = 10_000
"""Bytes of a refusal's body in which telling words are looked for."""

_EXHAUSTED = re.compile(
    r"insufficient_quota|billing_(hard_limit|not_active)|insufficient[ _](balance|funds|credits?)|out of credits"
    r"|credit balance is too low|spend(ing)?[ _]limit|per[ _]?day|daily[ _](limit|quota)",
    re.IGNORECASE,
)
_IN_FLIGHT = re.compile(r"in[ -]flight", re.IGNORECASE)
_THROTTLED = re.compile(r"rate[ _]limit|too[ _]many[ _]requests|resource_exhausted", re.IGNORECASE)
_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|context (length|window|size)|prompt is too long"
    r"|input is too long|input token count|context limit|configured limit of|maximum prompt length|token limit"
    r"|reduce the length of the messages",
    re.IGNORECASE,
)
_SECRET = re.compile(r"\b(?:sk|pk|gsk|xai)-[\w*.-]{6,}|(?<=Bearer )\S+", re.IGNORECASE)


class Complaint(NamedTuple):
    """What a provider says is wrong, in its own words; empty where it says nothing.

    `code` holds its code, type and status, as far as they differ, joined by ", ".
    """

    code: str
    text: str


def refusal(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> ProviderError:
    """The error for an answer other than 2xx.

    `headers` are read without regard to case by their mapping; `now` is in seconds since 1970, for
    dates in them.
    """
    words = complaint(body)
    error = _class_of_status(status, body[:_READ].decode("utf-8", "replace"))
    said = error(
        f"the provider answered HTTP {status}{_bracketed(words.code)}: {words.text or 'without a word'}",
        status=status,
        retry_after=retry_after(headers, now),
        request_id=request_id(headers),
    )
    said.headers = limit_headers(headers)
    return said


def in_band(error: Any) -> ProviderError:
    """The error for an error object inside a reply that began with status 200."""
    words = _complaint_of(error)
    said = f"{words.code} {words.text}"
    kind: type[ProviderError] = ReplyIncomplete
    if _EXHAUSTED.search(said):
        kind = ProviderExhausted
    elif "429" in words.code.split(", ") or _THROTTLED.search(words.code):
        kind = ProviderThrottled
    elif _TOO_LONG.search(said):
        kind = ContextTooLong
    return kind(f"the provider sent an error instead of the rest of its reply{_bracketed(words.code)}: {words.text}")


def complaint(body: bytes) -> Complaint:
    """Reads the body of a refusal, whatever it is."""
    try:
        return _complaint_of(msgspec.json.decode(body))
    except (ValueError, RecursionError):
        return Complaint("", excerpt(body.decode("utf-8", "replace")))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to stay away, from `retry-after-ms` or `retry-after` (seconds or a date); None for none or garbage."""
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _seconds(text)
    if seconds is not None or text is None:
        return seconds
    try:
        date = parsedate_to_datetime(text)
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def request_id(headers: Mapping[str, str]) -> str | None:
    """The provider's own id of the request."""
    return headers.get("x-request-id") or headers.get("request-id")


def limit_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Those that speak of limits, by lower-case name."""
    return {name.lower(): value for name, value in headers.items() if "ratelimit" in name.lower()}


def excerpt(text: str) -> str:
    """At most `EXCERPT` characters on one line, without what looks like a key."""
    line = _SECRET.sub("***", " ".join(text[: 4 * EXCERPT].split()))
    return line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1]}…"


def _class_of_status(status: int, said: str) -> type[ProviderError]:
    if status in (408, 409) or status >= 500:
        return ProviderUnavailable
    if status in (402, 403, 429) and _EXHAUSTED.search(said):
        return ProviderExhausted
    if status == 402:
        return ProviderThrottled if _IN_FLIGHT.search(said) else ProviderExhausted
    if status in (429, 498):
        return ProviderThrottled
    if status in (400, 413, 422) and _TOO_LONG.search(said):
        return ContextTooLong
    return ProviderRefused


def _complaint_of(value: Any) -> Complaint:
    match value:
        case [first, *_]:  # one provider wraps its errors in a list
            return _complaint_of(first)
        case {"error": error} if error:
            return _complaint_of(error)
        case dict():
            said = cast("dict[str, Any]", value)
            codes = dict.fromkeys(str(said[key]) for key in ("code", "type", "status") if said.get(key))
            text = next((str(said[key]) for key in ("message", "detail") if said.get(key)), str(said))
            # llama.cpp's server tells the sizes beside the message.
            sizes = ", ".join(f"{key} {said[key]}" for key in ("n_prompt_tokens", "n_ctx") if said.get(key))
            return Complaint(excerpt(", ".join(codes)), excerpt(f"{text} ({sizes})" if sizes else text))
        case _:
            return Complaint("", excerpt(str(value)))


def _bracketed(code: str) -> str:
    return f" ({code})" if code else ""


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if isfinite(seconds) and seconds >= 0 else None
