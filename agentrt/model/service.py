"""One OpenAI-compatible service, and single attempts at a reply from it.

Of the `openai` package we use what touches the service: addresses, signing in, connections, errors. The
request is encoded and the reply read here: the package's typed layer costs more than all the rest of a
call, and takes for a whole reply much that is none.

One deadline watches an attempt. It begins as the one for the first sign of life and moves with every
further sign; a finish reason and `[DONE]` shorten it, for then there is hardly anything to wait for.
It is moved only now and then, because moving it costs as much as reading a chunk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from math import inf
from typing import TYPE_CHECKING, cast

import httpx2
import openai

from agentrt.errors import ProviderError, ProviderUnreachable, ReplyIncomplete
from agentrt.model.assemble import Assembler
from agentrt.model.encode import encode_request
from agentrt.model.failures import excerpt, refusal, request_id
from agentrt.model.model import ModelReply, ModelRequest, Tell

if TYPE_CHECKING:
    from agentrt.model.settings import Settings

_OPENAI = "https://api.openai.com/v1"
_HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "Content-Type": "application/json"}
_KEPT = httpx2.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=30.0)
_KEY = 8
"""Characters from which on a key is one."""
_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)

_AFTER_FINISH = 1.0
"""Seconds for the usage and `[DONE]` to follow a finish reason."""
_AFTER_DONE = 0.05
"""Seconds for the body to end after `[DONE]`. Only a body read to its end leaves its connection to others."""
_SLACK = 1 / 32
"""The idle deadline is set later by this part of the idle time, and left alone for as long."""


class Service:
    """A client of the service; making one builds a TLS context."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        timeout = httpx2.Timeout(None, connect=settings.connect_timeout)
        self._client = openai.AsyncOpenAI(
            api_key=settings.api_key,
            base_url=settings.base_url or _OPENAI,
            max_retries=0,
            timeout=timeout,
            http_client=httpx2.AsyncClient(
                transport=settings.transport, trust_env=False, timeout=timeout, limits=_KEPT
            ),
        )
        if settings.base_url is not None:  # what the environment says of OpenAI is no other service's business
            self._client.organization = self._client.project = None
        # The package would look at the operating system, in the loop's executor, to name it in a header.
        self._client._platform = "Unknown"

    async def reply(self, request: ModelRequest, tell: Tell) -> ModelReply:
        """One attempt; see `OpenAIModel`."""
        attempt = _Attempt(tell, self._settings.idle_timeout)
        try:
            await self._exchange(encode_request(request), attempt)
            return attempt.reply()
        except ProviderError as error:
            error.status = error.status or attempt.status
            error.request_id = error.request_id or attempt.request_id
            error.args = (self._without_key(str(error)),)
            raise

    def _without_key(self, text: str) -> str:
        """Providers echo keys. A short one is a placeholder such as "none", and would be a word of the text, too."""
        key = self._settings.api_key
        return text.replace(key, "***") if len(key) >= _KEY else text

    async def aclose(self) -> None:
        await self._client.close()

    async def _exchange(self, body: bytes, attempt: _Attempt) -> None:
        """Sends and reads until the reply has ended, however it did, and closes the response."""
        limit = asyncio.timeout(self._settings.first_byte_timeout)
        try:
            async with limit:
                answer = await self._client.post(
                    "/chat/completions",
                    cast_to=httpx2.Response,
                    content=body,
                    options={"headers": _HEADERS},
                    stream=True,
                    stream_cls=openai.AsyncStream[object],
                )
                response = cast("httpx2.Response", answer)  # what `cast_to` asks for, whatever the type says
                try:
                    await attempt.read(response, limit)
                finally:
                    await response.aclose()
        except TimeoutError:
            if not limit.expired():
                raise
            if not attempt.assembler.finished:
                raise self._silence(attempt) from None
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            if not attempt.assembler.finished:
                raise self._failure(error, attempt.status) from error

    def _silence(self, attempt: _Attempt) -> ProviderError:
        name = self._settings.name
        if attempt.assembler.heard:
            return ReplyIncomplete(f"{name}: nothing came for {self._settings.idle_timeout:g} s in mid-reply")
        return ProviderUnreachable(f"{name}: no reply began within {self._settings.first_byte_timeout:g} s")

    def _failure(self, error: Exception, status: int | None) -> ProviderError:
        """What it means; `status` is that of the answer, if one had begun."""
        if isinstance(error, openai.APIStatusError):
            return refusal(
                error.response.status_code,
                error.response.headers,
                error.response.content,
                now=self._settings.wall(),
            )
        cause = error.__cause__ or error  # the package wraps what the connection says
        why = excerpt(f"{type(cause).__name__}: {cause}".removesuffix(": "))
        if status is not None:
            return ReplyIncomplete(f"{self._settings.name}: the connection broke in mid-reply ({why})")
        sent = not isinstance(cause, _NOT_SENT)
        place = self._client.base_url.netloc.decode()
        return ProviderUnreachable(f"{self._settings.name}: no answer from {place} ({why})", sent=sent)


class _Attempt:
    """What is known of one attempt."""

    def __init__(self, tell: Tell, idle_timeout: float) -> None:
        self.assembler = Assembler()
        self.status: int | None = None
        self.request_id: str | None = None
        self._tell = tell
        self._idle_timeout = idle_timeout
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._first_byte: float | None = None
        self._heard = 0
        self._moved = -inf

    async def read(self, response: httpx2.Response, limit: asyncio.Timeout) -> None:
        """Reads the body to its end and tells the pieces as they come."""
        self.status = response.status_code
        self.request_id = request_id(response.headers)
        body: AsyncGenerator[bytes, None] = response.aiter_raw()
        if "content-encoding" in response.headers or response.is_stream_consumed:
            body = response.aiter_bytes()  # packed although nobody asked, or whole already (a transport of one's own)
        async with aclosing(body):
            async for data in body:
                if self._first_byte is None:
                    self._first_byte = self._loop.time() - self._began
                for piece in self.assembler.feed(data):
                    self._tell(piece)
                if self._heard != self.assembler.heard:
                    self._heard = self.assembler.heard
                    self._move(limit)

    def reply(self) -> ModelReply:
        """The reply, if what was read is one."""
        done = self.assembler.finish()
        for piece in done.pieces:
            self._tell(piece)
        return ModelReply(
            message=done.message,
            finish=done.finish,
            usage=done.usage,
            model=done.model,
            request_id=self.request_id,
            status=self.status,
            first_byte=self._first_byte,
        )

    def _move(self, limit: asyncio.Timeout) -> None:
        """There was a sign of life."""
        now = self._loop.time()
        slack = self._idle_timeout * _SLACK
        if self.assembler.finished:
            patience = _AFTER_DONE if self.assembler.done else _AFTER_FINISH
            limit.reschedule(now + min(patience, self._idle_timeout))
        elif now >= self._moved + slack:
            self._moved = now
            limit.reschedule(now + self._idle_timeout + slack)
