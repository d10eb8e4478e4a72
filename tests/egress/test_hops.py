"""Every form in which a hostile place can be written, and that none of them is connected to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress

import httpcore2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrt.egress.fetched import Fetched
from agentrt.egress.hops import Hops
from agentrt.egress.policy import EgressPolicy
from agentrt.errors import EgressFailed, EgressRefused

PUBLIC = "93.184.216.34"
POLICY = EgressPolicy(ports=frozenset({80, 443, 8123}))
PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"

NAMES = {
    "public.example": [PUBLIC],
    "localhost": ["127.0.0.1", "::1"],
    "inside.example": ["10.0.0.7"],
    "mixed.example": [PUBLIC, "127.0.0.1"],
    "six.example": ["2606:4700::1", "::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "metadata.example": ["169.254.169.254"],
}

LITERALS = """
    127.0.0.1 127.1 127.0.1 2130706433 0x7f000001 017700000001 0x7f.1 0177.1 0 0.0.0.0 127.0.0.1. 127。0。0。1
    ①②⑦.0.0.1 %31%32%37.0.0.1 10.0.0.1 172.16.0.1 192.168.1.1 100.64.0.1 198.18.0.1 192.0.2.1 224.0.0.1 240.0.0.1
    255.255.255.255 169.254.169.254 2852039166 0xa9fea9fe 100.100.100.200 168.63.129.16 192.0.0.192 [::1] [::]
    [::127.0.0.1] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:127.0.0.1] [::ffff:169.254.169.254]
    [64:ff9b::7f00:1] [64:ff9b:1::7f00:1] [2002:7f00:1::] [2001::f5ff:fffe] [fe80::1] [fe80::1%25lo] [fc00::1]
    [ff02::1] [fd00:ec2::254] [2001:db8::1] [2606:4700::5efe:127.0.0.1]
"""

URLS = r"""
    http://public.example@127.0.0.1/ http://public.example\@127.0.0.1/ http://a:b@public.example/
    http://@127.0.0.1/ http://127.0.0.1#@public.example/ http://127.0.0.1?@public.example/
    http://127.0.0.1\.public.example/ http://public.example:22/ https://public.example:25/
    http://public.example:99999/ http://public.example:0/ ftp://public.example/ file:///etc/passwd
    gopher://public.example/_x ws://public.example/ javascript:1 data:,x unix:///var/run/docker.sock
    http+unix://%2Fvar%2Frun%2Fdocker.sock/ http:///x http:// http://[::1/ http://[]/
"""

ODD = ["", "//127.0.0.1/", "127.0.0.1:80", "http:127.0.0.1", "http://pub\nlic.example/", "http://\ud800/"]
TOO_LONG = "http://public.example/" + "x" * 9000

HOSTILE = [
    *(f"http://{literal}/" for literal in LITERALS.split()),
    *(f"http://{literal}:8123/" for literal in LITERALS.split()),
    *(f"http://{name}/" for name in NAMES if name != "public.example"),
    *URLS.split(),
]


async def resolve(host: str, port: int) -> Sequence[str]:
    if host not in NAMES:
        raise OSError("no such name")
    return NAMES[host]


class Dialled(httpcore2.AsyncNetworkBackend):
    """Notes every address that is connected to, and answers the same to every request."""

    def __init__(self, answer: bytes = PAGE) -> None:
        self.addresses: list[str] = []
        self.answer = answer

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self.addresses.append(host)
        return httpcore2.AsyncMockStream([self.answer])


def follow(url: str, dialled: Dialled, policy: EgressPolicy = POLICY) -> Fetched:
    return asyncio.run(Hops(policy, resolve, dialled).follow(url))


def moved(to: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


def test_this_world_lets_a_good_url_through() -> None:
    dialled = Dialled()

    assert follow("http://public.example/", dialled).body == b"hello"
    assert dialled.addresses == [PUBLIC]


@pytest.mark.parametrize("url", [*HOSTILE, *ODD, TOO_LONG])
def test_a_hostile_url_is_never_connected_to(url: str) -> None:
    dialled = Dialled()
    with pytest.raises((EgressRefused, EgressFailed)):
        follow(url, dialled)
    assert dialled.addresses == []


@pytest.mark.parametrize("url", HOSTILE)
def test_a_redirect_to_a_hostile_url_is_never_followed(url: str) -> None:
    dialled = Dialled(moved(url))
    with pytest.raises((EgressRefused, EgressFailed)):
        follow("http://public.example/", dialled)
    assert set(dialled.addresses) == {PUBLIC}  # a reference without a host stays where it was


def test_a_second_hop_is_judged_like_the_first() -> None:
    dialled = Dialled(moved("http://public.example/again"))
    with pytest.raises(EgressRefused, match="redirects more than 5 times"):
        follow("http://public.example/", dialled)
    assert dialled.addresses == [PUBLIC] * 6


def test_a_name_that_changes_its_address_is_refused_at_its_next_connection() -> None:
    answers = [[PUBLIC], ["127.0.0.1"]]

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return answers.pop(0)

    dialled = Dialled(moved("/again"))
    with pytest.raises(EgressRefused, match="loopback"):
        asyncio.run(Hops(POLICY, rebinding, dialled).follow("http://rebound.example/"))
    assert dialled.addresses == [PUBLIC]


def test_an_exempt_origin_does_not_exempt_where_it_redirects_to() -> None:
    policy = EgressPolicy(allow=frozenset({"127.0.0.1:8123"}))
    dialled = Dialled(moved("http://127.0.0.1:9000/"))
    with pytest.raises(EgressRefused, match="port 9000 is not among those allowed"):
        follow("http://127.0.0.1:8123/", dialled, policy)
    with pytest.raises(EgressRefused, match="loopback"):
        follow("http://127.0.0.1:8123/", Dialled(moved("http://127.0.0.1/")), policy)
    assert dialled.addresses == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://public.example/", 'only http and https leave here, not "ftp"'),
        (
            "http://me:secret@public.example/",
            'the host "public.example" is refused: it carries a user name or password',
        ),
        ("http://public.example:22/", "port 22 is not among those allowed (80, 443, 8123)"),
        ("http:///x", "has no host"),
        (TOO_LONG, "the URL has 9022 characters; at most 8192 are allowed"),
        ("http://[::1/", "is not a URL"),
        ("http://10.0.0.1/", "is not public: 10.0.0.0/8 (private, RFC 1918)"),
    ],
)
def test_a_refusal_says_what_was_expected_and_what_came(url: str, told: str) -> None:
    with pytest.raises(EgressRefused) as caught:
        follow(url, Dialled())
    assert told in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:secret@public.example/",
        "ftp://user:secret@public.example/x",
        "http://user:secret@public.example:22/",
        "//user:secret@public.example/",
        "mailto:user:secret@public.example",
        "http:user:secret@public.example/x",
        "http://user:secret@[::1/",
        "http://user:secret@/",
        "http://user:secret/@public.example/",
        "ftp://user:se@secret@public.example/",
    ],
)
def test_a_password_is_never_quoted(url: str) -> None:
    for text, dialled in ((url, Dialled()), ("http://public.example/", Dialled(moved(url)))):
        try:
            follow(text, dialled)
        except (EgressRefused, EgressFailed) as error:
            assert "secret" not in str(error)  # noqa: PT017 - a redirect without a host may stay where it was


@settings(deadline=None)
@given(st.sampled_from(["", "http://"]), st.one_of(st.text(), st.text(alphabet=r"0123456789abcdefx.:[]@%/\#?")))
def test_no_text_fails_in_another_way(scheme: str, rest: str) -> None:
    with suppress(EgressRefused, EgressFailed):
        follow(scheme + rest, Dialled())
    with suppress(EgressRefused, EgressFailed):
        follow("http://public.example/", Dialled(moved((scheme + rest).encode("utf-8", "replace").decode())))
