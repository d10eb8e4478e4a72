"""OpenAI-compatible services, asked through the `openai` package.

The package is slow to come: importing it takes about a second of CPU, its TLS context up to 0.1 s. So
this file does not import it; `service.py` does, at the first reply, in a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from agentrt.model.model import ModelReply, ModelRequest, Tell
from agentrt.model.settings import Settings
from agentrt.offloop import aside

if TYPE_CHECKING:
    import httpx2

    from agentrt.model.service import Service


class OpenAIModel:
    """The chat models of one service; one pool of connections, made at first use.

    Args:
        name: The provider's name, for messages.
        base_url: Address up to and with "/v1"; None is OpenAI's own.
        api_key: The key; not empty. It is sent, and otherwise kept quiet.
        transport: Carries the requests in place of the network. With it everything happens on the loop, the
            import of the package included, so that it works under a virtual clock.
        connect_timeout: Seconds for a connection, and as many again for its TLS handshake.
        first_byte_timeout: Seconds from sending the request to the reply's first sign of life.
        idle_timeout: Seconds between two signs of life. Comments in the stream are none.
        wall: Seconds since 1970, for dates that the provider sends.
    """

    def __init__(  # noqa: PLR0913 - settings
        self,
        name: str,
        *,
        base_url: str | None,
        api_key: str,
        transport: httpx2.AsyncBaseTransport | None = None,
        connect_timeout: float = 5.0,
        first_byte_timeout: float = 60.0,
        idle_timeout: float = 30.0,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = Settings(
            name=name,
            base_url=base_url,
            api_key=api_key,
            transport=transport,
            connect_timeout=connect_timeout,
            first_byte_timeout=first_byte_timeout,
            idle_timeout=idle_timeout,
            wall=wall,
        )
        self._service: Service | None = None
        self._opening = asyncio.Lock()

    async def reply(self, request: ModelRequest, tell: Tell) -> ModelReply:
        """Ask once; see `Model`.

        Raises:
            ProviderError: the subclass that the gate's table names for what happened.
        """
        service = self._service or await self._open()
        return await service.reply(request, tell)

    async def aclose(self) -> None:
        """Close the connections; a later reply opens new ones."""
        async with self._opening:
            service, self._service = self._service, None
        if service is not None:
            await service.aclose()

    async def _open(self) -> Service:
        async with self._opening:
            if self._service is None:
                on_the_loop = self._settings.transport is not None
                self._service = self._made() if on_the_loop else await aside(self._made_aside)
            return self._service

    def _made_aside(self) -> Service:
        import anyio  # noqa: PLC0415 - slow

        # The connections' own library, which loads its larger half when it first meets a running loop.
        anyio.run(anyio.sleep, 0)
        return self._made()

    def _made(self) -> Service:
        from agentrt.model.service import Service  # noqa: PLC0415 - slow: see above

        return Service(self._settings)
