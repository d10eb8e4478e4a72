"""For tools that speak HTTP: an answer becomes the error that tells a gate what to do."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Protocol

from agentrt.model.failures import refusal


class Answered(Protocol):
    """A response whose body has been read, as httpx, requests and their kin have it."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content(self) -> bytes: ...


def raise_for_provider(response: Answered) -> None:
    """Raise the `ProviderError` that a refusal is; an answer below 400 is none.

    In a tool with a `provider`, its gate then holds the key for as long as Retry-After says, counts what is the
    provider's fault, and has the call made again where that may help. A date in Retry-After is taken by the
    provider's own clock, its Date header.

    Raises:
        ProviderThrottled: 429 and its kin.
        ProviderExhausted: no quota or no money left.
        ProviderUnavailable: 408, 409 and 5xx.
        ProviderRefused: any other 4xx.
    """
    if response.status_code < 400:
        return
    headers = {name.lower(): value for name, value in response.headers.items()}
    now = _date(headers.get("date"))
    if now is None and not headers.get("retry-after", "0").strip()[:1].isdigit():
        del headers["retry-after"]  # a date, and nobody knows what time it is there
    raise refusal(response.status_code, headers, response.content, now=now or 0.0)


def _date(text: str | None) -> float | None:
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
