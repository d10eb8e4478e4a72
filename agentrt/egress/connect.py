"""The seam at which a name becomes a connection: checked here, so that no URL trick can go round it.

A name is resolved once. If any of its addresses is not public the whole name is refused, and the connection goes to
an address that was checked, never to the name again: a second answer (DNS rebinding) is never asked for. The URL, the
Host header and the name in the TLS handshake stay the name, because they are made above this seam.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import cast

import httpcore2

from agentrt.egress.guard import why_not
from agentrt.egress.policy import EgressPolicy
from agentrt.errors import EgressRefused
from agentrt.offloop import aside

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""A name and a port to the addresses of the name; raises OSError or UnicodeError if it has none."""

_CONNECT_SECONDS = 5.0
_ADDRESSES_TRIED = 4


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """What this machine's resolver says, in its order of preference."""
    answers = await aside(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    return tuple(dict.fromkeys(str(answer[4][0]) for answer in answers))


class CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """A TCP network on which only public addresses and allowed origins exist.

    `network` makes the connections to addresses that passed.

    Raises:
        EgressRefused: An address is not public; nothing was sent.
        httpcore2.ConnectError: The name has no address, or none of them could be reached.
    """

    def __init__(
        self, policy: EgressPolicy, resolve: Resolve | None = None, network: httpcore2.AsyncNetworkBackend | None = None
    ) -> None:
        self._policy = policy
        self._resolve = resolve or system_resolve
        self._network = network or cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._addresses(host, port)
        if not self._policy.exempts(host, port):
            for address in addresses:
                reason = why_not(address)
                if reason is not None:
                    raise EgressRefused(f'the address {address} of "{host}" {reason}')
        failure = httpcore2.ConnectError(f'"{host}" has no address')
        for address in addresses[:_ADDRESSES_TRIED]:
            try:
                return await self._network.connect_tcp(
                    address, port, timeout or _CONNECT_SECONDS, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = httpcore2.ConnectError(f'could not connect to {address} of "{host}", port {port}: {error}')
        raise failure

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        literal = _literal(host)
        if literal is not None:
            return (literal,)
        try:
            return await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f'the name "{host}" could not be resolved: {error}') from error


def _literal(host: str) -> str | None:
    """The address that the text itself is, in every form that a system resolver reads as one, else None."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))  # 2130706433, 0x7f.1, 0177.0.0.1, 127.1
    except (OSError, UnicodeError):
        return None
