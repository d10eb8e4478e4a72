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
from typing import TYPE_CHECKING

import httpx2

from agentrt.errors import ProviderError, ProviderUnreachable, ReplyIncomplete
from agentrt.model.connections import BROKEN
from agentrt.model.dialect import Assembling
from agentrt.model.failures import limit_headers, request_id
from agentrt.model.model import Began, ModelReply, ModelRequest, Tell

if TYPE_CHECKING:
    from agentrt.model.connections import Connections
    from agentrt.model.sending import Sending

_AFTER_FINISH = 1.0
"""Seconds for the usage and `[DONE]` to follow a finish reason."""
_AFTER_DONE = 0.05
"""Seconds for the body to end after `[DONE]`. Only a body read to its end leaves its connection to others."""
_SLACK = 1 / 32
"""The idle deadline is set later by this part of the idle time, and left alone for as long."""


class Service:
    """Single attempts over the service's connections, which are their owner's to close."""

    def __init__(self, connections: Connections, sending: Sending) -> None:
        self._connections = connections
        self._settings = connections.settings
        self._dialect = connections.settings.dialect
        self._sending = sending

    async def reply(self, request: ModelRequest, tell: Tell) -> ModelReply:
        """One attempt; see `OpenAIModel`."""
        attempt = _Attempt(self._dialect.assembler(), tell, self._settings.idle_timeout)
        try:
            await self._exchange(self._dialect.encode(request), attempt)
            return attempt.reply()
        except ProviderError as error:
            self._connections.attribute(error, attempt.status, attempt.request_id)
            raise

    async def _exchange(self, body: bytes, attempt: _Attempt) -> None:
        """Sends and reads until the reply has ended, however it did, and closes the response."""
        limit = asyncio.timeout(self._settings.first_byte_timeout)
        try:
            async with limit:
                response = await self._sending.post(self._dialect.path, body)
                try:
                    await attempt.read(response, limit)
                finally:
                    await response.aclose()
        except TimeoutError:
            if not limit.expired():
                raise
            if not attempt.assembler.finished:
                raise self._silence(attempt) from None
        except BROKEN as error:
            if not attempt.assembler.finished:
                raise self._connections.broken(error, attempt.status) from error

    def _silence(self, attempt: _Attempt) -> ProviderError:
        name = self._settings.name
        if attempt.assembler.heard:
            return ReplyIncomplete(f"{name}: nothing came for {self._settings.idle_timeout:g} s in mid-reply")
        return ProviderUnreachable(f"{name}: no reply began within {self._settings.first_byte_timeout:g} s")


class _Attempt:
    """What is known of one attempt."""

    def __init__(self, assembler: Assembling, tell: Tell, idle_timeout: float) -> None:
        self.assembler = assembler
        self.status: int | None = None
        self.request_id: str | None = None
        self._tell = tell
        self._idle_timeout = idle_timeout
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._first_byte: float | None = None
        self._heard = 0
        self._received = 0
        self._moved = -inf

    async def read(self, response: httpx2.Response, limit: asyncio.Timeout) -> None:
        """Reads the body to its end and tells the pieces as they come."""
        self.status = response.status_code
        self.request_id = request_id(response.headers)
        self._tell(Began(self.status, self.request_id, limit_headers(response.headers)))
        body: AsyncGenerator[bytes, None] = response.aiter_raw()
        if "content-encoding" in response.headers or response.is_stream_consumed:
            body = response.aiter_bytes()  # packed although nobody asked, or whole already (a transport of one's own)
        async with aclosing(body):
            async for data in body:
                if self._first_byte is None:
                    self._first_byte = self._loop.time() - self._began
                self._received += len(data)
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
            received=self._received,
        )

    def _move(self, limit: asyncio.Timeout) -> None:
        """There was a sign of life."""
        now = self._loop.time()
        slack = self._idle_timeout * _SLACK
        if self.assembler.finished:
            patience = _AFTER_DONE if self.assembler.done else _AFTER_FINISH
            limit.reschedule(now + min(patience, self._idle_timeout))
            self._moved = -inf  # should there be more of it after all
        elif now >= self._moved + slack:
            self._moved = now
            limit.reschedule(now + self._idle_timeout + slack)
