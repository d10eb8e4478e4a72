"""What an answer's headers say of a key's limits.

Four families are read, in this order of trust:

- `x-ratelimit-limit-requests`, `-remaining-requests`, `-reset-requests`, the same for tokens (OpenAI, Azure, Groq);
- `anthropic-ratelimit-requests-limit` and so on, for requests, tokens, input-tokens and output-tokens;
- `ratelimit: "name";r=3;t=20` with `ratelimit-policy: "name";q=100;w=60`, and the IETF drafts before it
  (draft-ietf-httpapi-ratelimit-headers): `ratelimit-limit`, `-remaining`, `-reset`;
- `x-ratelimit-limit`, `-remaining`, `-reset` (OpenRouter and many others).

A provider writes what it likes there: what cannot be read is as if it had not come.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import inf

import msgspec


class Allowance(msgspec.Struct, frozen=True):
    """What is said of one limit; None where it is not.

    Attributes:
        limit: Units a window.
        remaining: Units left of it, when the answer was made.
        reset: Seconds from now until the window is new, or the bucket full.
        window: Seconds that `limit` refers to.
    """

    limit: float | None = None
    remaining: float | None = None
    reset: float | None = None
    window: float | None = None


def read_limits(headers: Mapping[str, str], wall: float) -> Mapping[str, Allowance]:
    """What lower-case `headers` say of "requests" and "tokens"; `wall` is now, in seconds since 1970. Never raises."""
    requests = (
        _family(headers, wall, _OPENAI_REQUESTS)
        or _family(headers, wall, _ANTHROPIC_REQUESTS)
        or _listed(headers, wall)
        or _family(headers, wall, _DRAFT)
        or _family(headers, wall, _PLAIN)
    )
    tokens = _family(headers, wall, _OPENAI_TOKENS) or _anthropic_tokens(headers, wall)
    return {kind: told for kind, told in (("requests", requests), ("tokens", tokens)) if told is not None}


# ---- the families --------------------------------------------------------------------------------------


def _names(pattern: str) -> tuple[str, str, str]:
    return pattern.format("limit"), pattern.format("remaining"), pattern.format("reset")


_OPENAI_REQUESTS = _names("x-ratelimit-{}-requests")
_OPENAI_TOKENS = _names("x-ratelimit-{}-tokens")
_ANTHROPIC_REQUESTS = _names("anthropic-ratelimit-requests-{}")
_ANTHROPIC_TOKENS = _names("anthropic-ratelimit-tokens-{}")
_ANTHROPIC_SIDES = (_names("anthropic-ratelimit-input-tokens-{}"), _names("anthropic-ratelimit-output-tokens-{}"))
_DRAFT = _names("ratelimit-{}")
_PLAIN = _names("x-ratelimit-{}")


def _family(headers: Mapping[str, str], wall: float, names: tuple[str, str, str]) -> Allowance | None:
    """One limit, told in three headers; None where none of them can be read."""
    if not any(name in headers for name in names):
        return None
    limit, window = _limit(headers.get(names[0]))
    remaining = _number(headers.get(names[1]))
    reset = seconds_until(headers.get(names[2]), wall)
    if limit is None and remaining is None and reset is None:
        return None
    return Allowance(limit, remaining, reset, window)


def _limit(text: str | None) -> tuple[float | None, float | None]:
    """`100`, or `100, 100;w=60` with the window behind it."""
    first, _, policies = (text or "").partition(",")
    if ";" not in policies:
        return _number(text), None
    return _number(first), _number(_items(policies).get(first.strip(), {}).get("w"))


def _anthropic_tokens(headers: Mapping[str, str], wall: float) -> Allowance | None:
    """All tokens together; or the sum of input and output, of which neither may be used up."""
    both = _family(headers, wall, _ANTHROPIC_TOKENS)
    told = [side for names in _ANTHROPIC_SIDES if (side := _family(headers, wall, names)) is not None]
    used_up = [side for side in told if side.remaining == 0]
    if both is None and len(told) == len(_ANTHROPIC_SIDES):
        both = Allowance(_sum(told, "limit"), _sum(told, "remaining"), _longest(told))
    if both is not None and used_up:
        both = Allowance(both.limit, 0.0, _longest(used_up))
    return both


def _sum(told: list[Allowance], field: str) -> float | None:
    values: list[float] = [value for side in told if (value := getattr(side, field)) is not None]
    return sum(values) if len(values) == len(told) else None


def _longest(told: list[Allowance]) -> float | None:
    return max((side.reset for side in told if side.reset is not None), default=None)


def _listed(headers: Mapping[str, str], wall: float) -> Allowance | None:
    """Limits by name in one header, `"name";r=3;t=20, ...`; the one with the least left counts."""
    if "ratelimit" not in headers:
        return None
    told = _items(headers["ratelimit"])
    policies = _items(headers.get("ratelimit-policy", ""))
    if any(name.startswith("remaining=") for name in told):  # draft 7: "limit=100, remaining=3, reset=20"
        words = dict(name.split("=", 1) for name in told if "=" in name)
        quota = words.get("limit", "")
        window = _number(policies.get(quota, {}).get("w"))
        return Allowance(_number(quota), _number(words["remaining"]), seconds_until(words.get("reset"), wall), window)
    read: list[Allowance] = []
    for name, said in told.items():
        policy = policies.get(name, {})
        if "r" in said and policy.get("qu", "requests") == "requests":
            limit, window = _number(policy.get("q")), _number(policy.get("w"))
            read.append(Allowance(limit, _number(said["r"]), seconds_until(said.get("t"), wall), window))
    return min(read, key=_left, default=None)


def _left(allowance: Allowance) -> float:
    return inf if allowance.remaining is None else allowance.remaining


def _items(text: str) -> dict[str, dict[str, str]]:
    """`"a";q=1;w=2, b;q=3` as {"a": {"q": "1", "w": "2"}, "b": {"q": "3"}}."""
    items: dict[str, dict[str, str]] = {}
    for item in text.split(","):
        head, *parameters = (part.strip() for part in item.split(";"))
        pairs = (parameter.partition("=") for parameter in parameters)
        items[head.strip('"')] = {name.strip(): value.strip(' "') for name, _, value in pairs}
    return items


# ---- numbers and times ---------------------------------------------------------------------------------

_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{0,9})?")
_DURATION = re.compile(r"(?:[0-9]{1,15}(?:\.[0-9]+)?(?:ms|us|µs|ns|d|h|m|s))+")
_PART = re.compile(r"([0-9.]+)([a-zµ]+)")
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_EPOCH_SECONDS = 1e8
_EPOCH_MILLISECONDS = 1e11
"""No pause lasts three years: a plain number as large as this is a moment."""


def seconds_until(text: str | None, wall: float) -> float | None:
    """Seconds from `wall` to what a header says, 0 or more; None where it says nothing that can be read.

    It may be a duration (`1s`, `6m0s`, `20ms`, `1h2m3.5s`, plain seconds) or a moment (RFC 3339, an HTTP date, or
    seconds or milliseconds since 1970).
    """
    text = (text or "").strip()
    if _DURATION.fullmatch(text):
        return sum(float(amount) * _UNITS[unit] for amount, unit in _PART.findall(text))
    number = _number(text)
    if number is None:
        moment = _moment(text)
    elif number < _EPOCH_SECONDS:
        return number
    else:
        moment = number if number < _EPOCH_MILLISECONDS else number / 1000
    return None if moment is None else max(0.0, moment - wall)


def _number(text: str | None) -> float | None:
    """A plain decimal number, 0 or more."""
    text = (text or "").strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def _moment(text: str) -> float | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            date = read(text)
            return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None
