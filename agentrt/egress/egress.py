"""The one way out by HTTP to places that a user, a model or a document named.

The HTTP packages are imported at the first `get`, for they cost 0.2 s of CPU.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Self

from agentrt.egress.fetched import Fetched
from agentrt.egress.policy import EgressPolicy
from agentrt.errors import EgressRefused

if TYPE_CHECKING:
    import httpcore2

    from agentrt.egress.connect import Resolve
    from agentrt.egress.hops import Hops


class Egress:
    """GET for URLs that nobody trusts. One belongs to one event loop; close it by `async with` or `aclose`.

    `resolve` and `network` are ports: how names become addresses, and what connects to an address once it has been
    checked. The defaults are this machine's.
    """

    def __init__(
        self,
        policy: EgressPolicy | None = None,
        *,
        resolve: Resolve | None = None,
        network: httpcore2.AsyncNetworkBackend | None = None,
    ) -> None:
        self.policy = policy or EgressPolicy()
        self._resolve = resolve
        self._network = network
        self._hops: Hops | None = None

    async def get(self, url: str) -> Fetched:
        """The document at `url`, after redirects; any status is an answer, but only a 2xx has its body read.

        Raises:
            EgressRefused: The URL, an address, a redirect, the size, the type or the time is not allowed.
            EgressFailed: It is allowed but did not come; as `HostResting` if its host said for how long it wants to be
                left alone.
        """
        if self._hops is None:
            from agentrt.egress.hops import Hops  # noqa: PLC0415  # slow: see above

            self._hops = Hops(self.policy, self._resolve, self._network)
        clock = asyncio.timeout(self.policy.timeout)
        try:
            async with clock:
                return await self._hops.follow(url, clock)
        except TimeoutError:
            if not clock.expired():
                raise
            raise EgressRefused(f'"{url[:200]}" took longer than {self.policy.timeout:g} s in all') from None

    async def aclose(self) -> None:
        """Close the connections. A later `get` opens new ones."""
        if self._hops is not None:
            await self._hops.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
