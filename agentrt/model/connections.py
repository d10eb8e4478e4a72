"""The connections to one service, and what it means when they or the service fail.

There is no more to it than `httpx2`. Replies are streamed through the `openai` package on top; vectors are asked for
directly, because who only embeds should not pay 20 MB and a third of a second of CPU for that package.
"""

from __future__ import annotations

import os
import ssl
from os.path import commonprefix
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import anyio
import httpx2

from agentrt.errors import ProviderError, ProviderRefused, ProviderUnreachable, ReplyIncomplete
from agentrt.model.failures import excerpt, refusal
from agentrt.profiles import OPENAI, is_sendable

if TYPE_CHECKING:
    from agentrt.model.settings import Settings

_KEPT = httpx2.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30.0)
_KEY = 8
"""Characters from which on a key is one."""
BROKEN = (httpx2.HTTPError, ssl.SSLError, anyio.EndOfStream)
"""What a connection that breaks raises; the last two by the stock transport where TLS fails (pydantic/httpx2#854)."""
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


class Connections:
    """A pool of connections; making one builds a TLS context, which may take 0.1 s."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.base_url = (settings.base_url or settings.profile.base_url or OPENAI.base_url or "").rstrip("/")
        self.timeout = httpx2.Timeout(None, connect=settings.connect_timeout)
        self.transport = settings.transport or _transport(fast=settings.fast)
        self.client = httpx2.AsyncClient(transport=self.transport, trust_env=False, timeout=self.timeout)

    async def aclose(self) -> None:
        await self.client.aclose()

    def address(self, path: str) -> str:
        """Where a request goes."""
        query = urlencode(self.settings.profile.query)
        return f"{self.base_url}{path}?{query}" if query else f"{self.base_url}{path}"

    def signed(self) -> dict[str, str]:
        """Headers that say who asks. What the environment says of a service is no other's business.

        Raises:
            ProviderRefused: that cannot stand in a header.
        """
        profile, key = self.settings.profile, self.settings.api_key
        bearer = profile.key_header == "Authorization"
        headers = {profile.key_header: f"Bearer {key}" if bearer else key, "User-Agent": "agentrt", **profile.headers}
        if self.settings.base_url is None:
            headers |= {header: value for header, name in profile.env_headers.items() if (value := self._said(name))}
        return headers

    def _said(self, variable: str) -> str:
        value = os.environ.get(variable, "").strip()
        if not is_sendable(value):
            raise ProviderRefused(
                f"{self.settings.name}: {variable} cannot be sent: expected ASCII characters on one line"
            )
        return value

    def refused(self, response: httpx2.Response) -> ProviderError:
        """What an answer other than 2xx means; its body has been read."""
        return refusal(response.status_code, response.headers, response.content, now=self.settings.wall())

    def broken(self, error: BaseException, status: int | None) -> ProviderError:
        """What it means that a connection failed; `status` is that of the answer, if one had begun."""
        why = excerpt(f"{type(error).__name__}: {error}".removesuffix(": "))
        if status is not None:
            return ReplyIncomplete(f"{self.settings.name}: the connection broke in mid-reply ({why})")
        place = self.client.build_request("POST", self.base_url).url.netloc.decode()
        sent = not isinstance(error, _NOT_SENT)
        return ProviderUnreachable(f"{self.settings.name}: no answer from {place} ({why})", sent=sent)

    def attribute(self, error: ProviderError, status: int | None, request_id: str | None) -> None:
        """Say which answer an error came from, where it does not know, and take our key out of what it quotes."""
        error.status = error.status or status
        error.request_id = error.request_id or request_id
        error.args = (self.without_key(str(error)),)

    def without_key(self, text: str) -> str:
        """Providers echo keys, and a quotation may be cut within one: no half of a key is shown.

        A short one is a placeholder such as "none", and would be a word of the text, too.
        """
        key = self.settings.api_key
        if len(key) < _KEY:
            return text
        half = max(_KEY, len(key) // 2)
        before, *behind = text.split(key[:half])
        more = [len(commonprefix((part, key[half:]))) for part in behind]  # noqa: RUF071 - of texts, not of paths
        return "***".join((before, *(part[length:] for part, length in zip(behind, more, strict=True))))


def _transport(*, fast: bool) -> httpx2.AsyncBaseTransport:
    if not fast:
        return httpx2.AsyncHTTPTransport(trust_env=False, limits=_KEPT)
    from agentrt.model.fast import FastTransport  # noqa: PLC0415 - optional

    return FastTransport()
