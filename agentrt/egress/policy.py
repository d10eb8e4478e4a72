"""What the way out allows."""

from __future__ import annotations

from dataclasses import dataclass

from agentrt.errors import SettingInvalid
from agentrt.gate.pace import Rate, as_rate

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class EgressPolicy:
    """The limits of every request that leaves by `Egress`.

    Attributes:
        ports: Ports of public hosts that may be asked.
        allow: Origins, "host:port" as the URL writes them in lower case, that may be private and on any port.
            Whoever lists a name trusts everything that name resolves to.
        timeout: Seconds for the whole of one `get`: names, connections, redirects and the last byte of the body.
        max_bytes: Bytes of a body as it comes over the wire.
        max_decoded: Bytes of a body after decompression.
        max_ratio: How many times larger a body may become by decompression, beyond its first 64 KiB.
        redirects: Redirects that are followed.
        content_types: Types of a body that is read at all; "text/*" is every subtype.
        per_host_concurrency: Requests that one host is asked at once.
        per_host_rate: At what pace one host is asked: requests a second (5), or requests and seconds ((30, 60)); see
            `Pace` for what may begin at once after a pause. None is as fast as it answers.
        per_host_wait: Seconds that a request may wait for its host, besides `timeout`: for a place, for the pace, and
            where the host said Retry-After with a 429 or 503. A host that wants more than that is not asked.

    Raises:
        SettingInvalid: A limit or rate that is not positive, a port out of range, an origin without a port.
    """

    ports: frozenset[int] = frozenset({80, 443})
    allow: frozenset[str] = frozenset()
    timeout: float = 30.0
    max_bytes: int = 10 * MIB
    max_decoded: int = 20 * MIB
    max_ratio: int = 100
    redirects: int = 5
    content_types: frozenset[str] = frozenset(
        {
            "text/*",
            "application/json",
            "application/jsonl",
            "application/x-ndjson",
            "application/xhtml+xml",
            "application/xml",
        }
    )
    per_host_concurrency: int = 8
    per_host_rate: Rate | None = None
    per_host_wait: float = 30.0

    def __post_init__(self) -> None:
        self._check_hosts()
        for name in ("timeout", "max_bytes", "max_decoded", "max_ratio"):
            value = getattr(self, name)
            if not value > 0:
                raise SettingInvalid(f"EgressPolicy was given {name}={value}; it needs more than 0")
        if self.redirects < 0:
            raise SettingInvalid(f"EgressPolicy was given redirects={self.redirects}; it needs 0 or more")
        for port in self.ports:
            if not 1 <= port <= 65535:
                raise SettingInvalid(f"EgressPolicy was given the port {port}; ports are 1 to 65535")
        for entry in self.allow:
            host, _, port_text = entry.rpartition(":")
            if not (host and host == host.lower() and "/" not in host and port_text.isdecimal()):
                raise SettingInvalid(
                    f'EgressPolicy was given allow={{"{entry}"}}; it needs "host:port" in lower case, without a scheme'
                )

    def _check_hosts(self) -> None:
        if self.per_host_concurrency < 1:
            raise SettingInvalid(
                f"EgressPolicy was given per_host_concurrency={self.per_host_concurrency}; it needs 1 or more"
            )
        if not self.per_host_wait > 0:
            raise SettingInvalid(f"EgressPolicy was given per_host_wait={self.per_host_wait}; it needs more than 0")
        if self.per_host_rate is not None:
            try:
                as_rate(self.per_host_rate)
            except ValueError as error:
                raise SettingInvalid(f"EgressPolicy was given per_host_rate={self.per_host_rate!r}; {error}") from None

    def exempts(self, host: str, port: int) -> bool:
        """Whether this origin is named by `allow`. `host` is bare: an IPv6 address without brackets."""
        return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}") in self.allow

    def reads(self, content_type: str) -> bool:
        """Whether a body of this type ("text/html", in lower case, without parameters) is read."""
        main, _, _ = content_type.partition("/")
        return content_type in self.content_types or f"{main}/*" in self.content_types
