"""A provider that really limits: does an agent keep to what it is allowed, and how does it bear a 429?

`Limited` wraps a handler, as the faults do, and stands behind a socket or in memory alike::

    provider = Limited(RulesProvider(), Window(50, per=1, burst=10), Window(40_000, of="tokens", kind="sliding"))

    async with serve(provider) as server:                             # or InMemoryTransport(provider)
        ...
    assert provider.quota.refused == []                               # nobody drew a 429
    assert provider.quota.most(1) <= 60                               # nor could have

Whatever it answers says how the limits stand, in the headers of the family that was asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from math import ceil
from typing import Literal

import msgspec

from agentrt.local.handler import Handler, Request, Response, whole
from agentrt.testing.windows import Quota, Seen, Standing, Unit, Window

Family = Literal["openai", "anthropic", "ietf", "none"]
"""Whose headers tell how the limits stand: `x-ratelimit-*`, `anthropic-ratelimit-*`, `ratelimit` beside
`ratelimit-policy` (draft-ietf-httpapi-ratelimit-headers, which knows requests only), or nobody's."""

Pause = Literal["ms", "seconds", "date", "none"]
"""How a 429 says when to come back: `retry-after-ms` beside `retry-after`, `retry-after` alone in whole seconds or as a
date, or not at all."""

_GRAIN: dict[Pause, float] = {"ms": 0.001, "seconds": 1.0, "date": 1.0, "none": 0.0}


class Limited:
    """A handler behind limits. What does not fit into all of its windows is answered with 429.

    Args:
        handler: Answers what fits.
        windows: What is enforced; at least one.
        family: The headers of every answer. Of several windows that count the same the longest is told of, as providers
            tell of the minute and enforce shorter ones besides; only those of "ietf" say what window they mean.
        pause: How a 429 says when to come back.
        tokens: What a request is counted for, as it comes; `asked_tokens` by default.
        wall: Seconds since 1970, for dates in headers.

    Attributes:
        quota: What was let through and what was refused, at the loop's clock.
    """

    def __init__(
        self,
        handler: Handler,
        *windows: Window,
        family: Family = "openai",
        pause: Pause = "ms",
        tokens: Callable[[Request], int] | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.quota = Quota(*windows, grain=_GRAIN[pause])
        self._handler = handler
        self._family: Family = family
        self._pause: Pause = pause
        self._tokens = tokens or asked_tokens
        self._wall = wall

    async def __call__(self, request: Request) -> Response:
        now = asyncio.get_running_loop().time()
        seen = self.quota.knock(self._tokens(request), now)
        headers = standing_headers(self.quota.standings(now), self._family, self._wall())
        if seen.refused is not None:
            headers |= _pause_headers(seen.until - seen.at, self._pause, self._wall())
            return whole(429, _refusal(seen, seen.refused, self._family), "application/json", headers)
        response = await self._handler(request)
        return Response(response.status, {**response.headers, **headers}, response.body)


def asked_tokens(request: Request) -> int:
    """What a request counts for before anybody knows what it will use.

    The larger of the output it allows and a quarter of its body's bytes, as OpenAI's guide to rate limits has it.
    """
    try:
        named = msgspec.json.decode(request.body, type=_Named)
    except msgspec.DecodeError:
        named = _Named()
    allowed = named.max_completion_tokens or named.max_output_tokens or named.max_tokens or 0
    return max(allowed, len(request.body) // 4)


class _Named(msgspec.Struct):
    """What three formats call the output that a request allows."""

    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    max_tokens: int | None = None


def standing_headers(standings: list[Standing], family: Family, wall: float) -> dict[str, str]:
    """How the limits stand, in a provider's own words; `wall` is seconds since 1970."""
    if family == "ietf":
        return _by_policy([standing for standing in standings if standing.window.of == "requests"])
    headers: dict[str, str] = {}
    of: Unit
    for of in ("requests", "tokens"):
        counted = [standing for standing in standings if standing.window.of == of]
        if not counted or family == "none":
            continue
        told = max(counted, key=lambda standing: standing.window.per)
        limit, left = f"{told.window.limit:.0f}", f"{int(told.left)}"
        if family == "openai":
            named = {f"limit-{of}": limit, f"remaining-{of}": left, f"reset-{of}": duration(told.full_in)}
            headers |= {f"x-ratelimit-{name}": value for name, value in named.items()}
        else:
            moment = datetime.fromtimestamp(ceil(wall + told.full_in), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            named = {f"{of}-limit": limit, f"{of}-remaining": left, f"{of}-reset": moment}
            headers |= {f"anthropic-ratelimit-{name}": value for name, value in named.items()}
    return headers


def _by_policy(standings: list[Standing]) -> dict[str, str]:
    """All windows, each by a name of its own and with its length."""
    policies = [(f'"{n}"', standing) for n, standing in enumerate(standings, 1)]
    if not policies:
        return {}
    said = [f"{name};q={told.window.limit:.0f};w={told.window.per:.0f}" for name, told in policies]
    left = [f"{name};r={int(told.left)};t={ceil(round(told.full_in, 6))}" for name, told in policies]
    return {"ratelimit-policy": ", ".join(said), "ratelimit": ", ".join(left)}


def duration(seconds: float) -> str:
    """Seconds as OpenAI writes them: "20ms", "1.5s", "6m0s", "1h0m0s"."""
    milliseconds = ceil(round(seconds * 1000, 6))
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    last = f"{rest / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{last}"
    return f"{minutes}m{last}" if minutes else last


def _pause_headers(seconds: float, pause: Pause, wall: float) -> dict[str, str]:
    whole_seconds = str(ceil(round(seconds, 6)))
    if pause == "ms":
        return {"retry-after-ms": f"{seconds * 1000:.0f}", "retry-after": whole_seconds}
    if pause == "seconds":
        return {"retry-after": whole_seconds}
    if pause == "date":  # of whole seconds, so it may be up to one later
        return {"retry-after": format_datetime(datetime.fromtimestamp(ceil(wall + seconds), UTC), usegmt=True)}
    return {}


def _refusal(seen: Seen, window: Window, family: Family) -> bytes:
    asked = seen.tokens if window.of == "tokens" else 1
    text = f"Rate limit reached: no room for {asked} more of {window.limit:g} {window.of} per {window.per:g} s."
    if seen.until > seen.at:
        text += f" Please try again in {duration(seen.until - seen.at)}."
    if family == "anthropic":
        return msgspec.json.encode({"type": "error", "error": {"type": "rate_limit_error", "message": text}})
    error = {"message": text, "type": window.of, "param": None, "code": "rate_limit_exceeded"}
    return msgspec.json.encode({"error": error})
