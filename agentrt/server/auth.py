"""Who may come in, and what is whose. Rules without I/O.

A browser sends a page's `Origin` and cannot help it, so that header tells whose page opens a socket. A name that
resolves to 127.0.0.1 makes a foreign page one of the server's own origin (DNS rebinding): on loopback the `Host` is
looked at too.

Run and thread ids are chosen by clients. Each stands for itself within what is one principal's; another's do not
exist there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import quote, unquote, urlsplit

from agentrt.errors import SettingInvalid

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


@dataclass(frozen=True, kw_only=True)
class ConnectionInfo:
    """What is known of a connection before anything was said on it.

    Header names are in lower case; of a header that came more than once, the last is here.
    """

    path: str
    headers: Mapping[str, str]
    remote: str


Authenticate = Callable[[ConnectionInfo, str | None], Awaitable[str | None]]
"""Given a connection and its bearer token, if it gave one: the principal's name, or None to refuse."""


def is_loopback(host: str) -> bool:
    """Whether a server that is bound to `host` can be reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_binding(host: str, authenticate: Authenticate | None) -> None:
    """Only what asks who is there may be reached from elsewhere.

    Raises:
        SettingInvalid: it may not.
    """
    if authenticate is None and not is_loopback(host):
        raise SettingInvalid(
            f'host="{host}" can be reached from other machines, and nobody would be asked who they are: '
            "give serve(authenticate=...), or stay on 127.0.0.1"
        )


def host_allowed(host: str | None, bound: str, allowed: Sequence[str]) -> bool:
    """Whether a request for this `Host` may be answered by a server that is bound to `bound`."""
    if not is_loopback(bound) or "*" in allowed:
        return True
    name = _split(host)[0] if host is not None else None
    return name is not None and name in {*LOOPBACK_NAMES, bound.strip("[]").lower(), *(one.lower() for one in allowed)}


def origin_allowed(origin: str | None, host: str | None, allowed: Sequence[str]) -> bool:
    """Whether a page of this `Origin` may open a socket to this `Host`.

    Programs send no origin. Of pages, those of the server's own host and port may, and those on the list, where
    "*" means all of them.
    """
    if origin is None or "*" in allowed or origin.lower() in {one.lower().rstrip("/") for one in allowed}:
        return True
    scheme, _, address = origin.partition("://")
    port = _PORTS.get(scheme.lower())
    if port is None or host is None:
        return False
    theirs, ours = _split(address), _split(host)
    return theirs[0] is not None and (theirs[0], theirs[1] or port) == (ours[0], ours[1] or port)


def _split(address: str) -> tuple[str | None, int | None]:
    """Name and port of "name:port", in lower case; no name if it is not of that form."""
    try:
        parts = urlsplit(f"//{address}")
        if parts.netloc != address or parts.username is not None:
            return None, None
        return parts.hostname, parts.port
    except ValueError:
        return None, None


def bearer(authorization: str) -> str | None:
    """The token of an `Authorization` header, or None if it is of another scheme."""
    scheme, _, token = authorization.strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def scoped(principal: str | None, id: str) -> str:
    """What the runtime calls a run or a thread that a principal calls `id`. No two of them meet.

    Nobody's ids stand for themselves, save "%" and "/"; a principal's stand behind its name and a "/".
    """
    if principal is None:
        return id.replace("%", "%25").replace("/", "%2F")
    return f"{quote(principal, safe='')}/{id}"


def unscoped(principal: str | None, id: str) -> str:
    """What the principal calls it; the inverse of `scoped`."""
    return unquote(id) if principal is None else id.removeprefix(f"{quote(principal, safe='')}/")
