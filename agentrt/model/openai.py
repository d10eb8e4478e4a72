"""OpenAI-compatible services, asked through the `openai` package.

The package is slow to come: importing it takes about a second of CPU, its TLS context up to 0.1 s. So
this file does not import it; `sending.py` does, at the first reply, in a thread. `straight.py` does without, and so
does `connections.py`, which is all that embeddings need.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

from agentrt.errors import SettingInvalid
from agentrt.model.dialect import ChatCompletions, Dialect
from agentrt.model.model import ModelReply, ModelRequest, Tell
from agentrt.model.settings import Settings
from agentrt.offloop import aside
from agentrt.profiles import OPENAI, Profile

if TYPE_CHECKING:
    import httpx2

    from agentrt.model.connections import Connections
    from agentrt.model.service import Service

T = TypeVar("T")


class OpenAIModel:
    """The chat models of one service; one pool of connections, made at first use.

    Args:
        name: The provider's name, for messages.
        base_url: Address up to and with "/v1"; None is that of the profile.
        api_key: The key; not empty. It is sent, and otherwise kept quiet.
        transport: Carries the requests in place of the network. With it everything happens on the loop, the
            import of the package included, so that it works under a virtual clock.
        connect_timeout: Seconds for a connection, and as many again for its TLS handshake.
        first_byte_timeout: Seconds from sending the request to the reply's first sign of life.
        idle_timeout: Seconds between two signs of life. Comments in the stream are none.
        wall: Seconds since 1970, for dates that the provider sends.
        profile: What is particular to the service.
        dialect: What it speaks; by default, Chat Completions.
        fast: Carry requests by aiohttp, without the `openai` package; needs the extra `agentrt[fast]`.

    Raises:
        SettingInvalid: `fast`, without its extra.
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
        profile: Profile = OPENAI,
        dialect: Dialect | None = None,
        fast: bool = False,
    ) -> None:
        if fast and find_spec("aiohttp") is None:
            raise SettingInvalid(f'{name}: fast=True needs a package that is missing: pip install "agentrt[fast]"')
        self._settings = Settings(
            name=name,
            base_url=base_url,
            api_key=api_key,
            transport=transport,
            connect_timeout=connect_timeout,
            first_byte_timeout=first_byte_timeout,
            idle_timeout=idle_timeout,
            wall=wall,
            dialect=dialect or ChatCompletions(profile),
            profile=profile,
            fast=fast,
        )
        self._connections: Connections | None = None
        self._service: Service | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """See `Model`."""
        if self._service is None:
            await self._open()

    async def reply(self, request: ModelRequest, tell: Tell) -> ModelReply:
        """Ask once; see `Model`.

        Raises:
            ProviderError: the subclass that the gate's table names for what happened.
        """
        service = self._service or await self._open()
        return await service.reply(request, tell)

    async def connections(self) -> Connections:
        """Those that replies come by, opened if need be. They stay the model's to close."""
        async with self._opening:
            return await self._connected()

    async def aclose(self) -> None:
        """Close the connections; a later reply opens new ones."""
        async with self._opening:
            connections, self._connections, self._service = self._connections, None, None
        if connections is not None:
            await connections.aclose()

    async def _open(self) -> Service:
        async with self._opening:
            if self._service is None:
                self._service = await self._slowly(partial(_service, await self._connected()))
            return self._service

    async def _connected(self) -> Connections:
        if self._connections is None:
            self._connections = await self._slowly(partial(_connections, self._settings))
        return self._connections

    async def _slowly(self, make: Callable[[], T]) -> T:
        return make() if self._settings.transport is not None else await aside(make)


def _connections(settings: Settings) -> Connections:
    if settings.transport is None:
        import anyio  # noqa: PLC0415 - slow

        anyio.run(anyio.sleep, 0)  # the connections' own library loads its larger half when it first meets a loop

    from agentrt.model.connections import Connections  # noqa: PLC0415 - slow: see above

    return Connections(settings)


def _service(connections: Connections) -> Service:
    from agentrt.model.service import Service  # noqa: PLC0415 - needs the connections' library

    if connections.settings.fast:
        from agentrt.model.straight import Straight  # noqa: PLC0415 - needs it, too

        return Service(connections, Straight(connections))
    from agentrt.model.sending import ByPackage  # noqa: PLC0415 - slow: see above

    return Service(connections, ByPackage(connections))
