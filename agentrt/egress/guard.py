"""Which addresses are public. The table is ours.

`ipaddress.is_global` answers another question, lets IPv4 addresses through that are wrapped in IPv6 ones, and
changes with the patch level of Python. This table is the IANA special-purpose registries for IPv4 and IPv6, taken
strictly (what is reserved, deprecated or for documentation is not public, even where a router would carry it), and
the metadata services of clouds that stand at addresses which look public.

IPv6 is turned round: only 2000::/3 is handed out as global unicast, so everything outside is refused without being
listed, save the forms that carry an IPv4 address, which are judged by what they carry.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_V4 = tuple(
    (IPv4Network(network), name)
    for network, name in (
        ("0.0.0.0/8", "this network, RFC 791"),
        ("10.0.0.0/8", "private, RFC 1918"),
        ("100.64.0.0/10", "shared by carriers, RFC 6598"),
        ("127.0.0.0/8", "loopback, RFC 1122"),
        ("168.63.129.16/32", "metadata of a cloud"),
        ("169.254.0.0/16", "link-local and metadata of clouds, RFC 3927"),
        ("172.16.0.0/12", "private, RFC 1918"),
        ("192.0.0.0/24", "protocol assignments, RFC 6890"),
        ("192.0.2.0/24", "documentation, RFC 5737"),
        ("192.31.196.0/24", "AS112, RFC 7535"),
        ("192.52.193.0/24", "AMT, RFC 7450"),
        ("192.88.99.0/24", "6to4 relay, RFC 7526"),
        ("192.168.0.0/16", "private, RFC 1918"),
        ("192.175.48.0/24", "AS112, RFC 7534"),
        ("198.18.0.0/15", "benchmarks, RFC 2544"),
        ("198.51.100.0/24", "documentation, RFC 5737"),
        ("203.0.113.0/24", "documentation, RFC 5737"),
        ("224.0.0.0/4", "multicast, RFC 1112"),
        ("240.0.0.0/4", "reserved and broadcast, RFC 1112"),
    )
)

_GLOBAL_V6 = IPv6Network("2000::/3")
_V6 = tuple(
    (IPv6Network(network), name)
    for network, name in (
        ("2001::/32", "Teredo, RFC 4380"),
        ("2001::/23", "protocol assignments, RFC 2928"),
        ("2001:db8::/32", "documentation, RFC 3849"),
        ("2002::/16", "6to4, RFC 3056"),
        ("2620:4f:8000::/48", "AS112, RFC 7534"),
        ("3fff::/20", "documentation, RFC 9637"),
    )
)
# Networks outside 2000::/3 whose last 32 bits are an IPv4 address that the packet really goes to.
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)


def is_public(address: str) -> bool:
    """Whether packets to this address leave for the public internet. Text that is not an address is not public."""
    return why_not(address) is None


def why_not(address: str) -> str | None:
    """Why an address is not public, as the end of a sentence that begins with it; None if it is public."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "is not an IP address"
    return _why_not_v4(parsed) if isinstance(parsed, IPv4Address) else _why_not_v6(parsed)


def _why_not_v4(address: IPv4Address) -> str | None:
    for network, name in _V4:
        if address in network:
            return f"is not public: {network} ({name})"
    return None


def _why_not_v6(address: IPv6Address) -> str | None:
    if address.scope_id is not None:
        return "is not public: it has a zone"
    for network, name in _V6:
        if address in network:
            return f"is not public: {network} ({name})"
    carries_v4 = address in _MAPPED or address in _NAT64
    if carries_v4 or (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
        reason = _why_not_v4(inner)
        if reason is not None:
            return f"carries {inner}, which {reason}"
    if not carries_v4 and address not in _GLOBAL_V6:
        return f"is not public: outside {_GLOBAL_V6} (global unicast, RFC 4291)"
    return None
