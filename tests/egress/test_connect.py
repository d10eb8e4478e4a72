from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

import httpcore2
import pytest

from agentrt.egress.connect import CheckedNetwork, system_resolve
from agentrt.egress.policy import EgressPolicy
from agentrt.errors import EgressRefused

NAMES = {
    "public.example": ["93.184.216.34", "2606:2800:220:1::1"],
    "inside.example": ["10.0.0.7"],
    "mixed.example": ["93.184.216.34", "127.0.0.1"],
    "nowhere.example": [],
    "rubbish.example": ["not an address"],
    "many.example": [f"93.184.216.{last}" for last in range(10)],
}


class Dialled(httpcore2.AsyncNetworkBackend):
    """Notes every address that was to be connected to; those in `dead` do not answer."""

    def __init__(self, *dead: str) -> None:
        self.addresses: list[str] = []
        self.dead = dead

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self.addresses.append(host)
        if host in self.dead:
            raise httpcore2.ConnectError("dead")
        return httpcore2.AsyncMockStream([])


class Names:
    """A resolver that counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in NAMES:
            raise OSError("no such name")
        return NAMES[host]


def connect(host: str, port: int = 80, *, allow: frozenset[str] = frozenset(), dead: Sequence[str] = ()) -> list[str]:
    """The addresses dialled."""
    dialled = Dialled(*dead)
    network = CheckedNetwork(EgressPolicy(allow=allow), Names(), dialled)
    asyncio.run(network.connect_tcp(host, port))
    return dialled.addresses


def refusal(call: Callable[[CheckedNetwork], Coroutine[Any, Any, object]], error: type[Exception]) -> str:
    dialled = Dialled("93.184.216.34", "2606:2800:220:1::1")
    with pytest.raises(error) as caught:
        asyncio.run(call(CheckedNetwork(EgressPolicy(), Names(), dialled)))
    assert error is not EgressRefused or dialled.addresses == []
    return str(caught.value)


def test_a_name_is_resolved_once_and_its_checked_address_is_dialled() -> None:
    names, dialled = Names(), Dialled()
    asyncio.run(CheckedNetwork(EgressPolicy(), names, dialled).connect_tcp("public.example", 80))

    assert names.asked == ["public.example"]
    assert dialled.addresses == ["93.184.216.34"]


def test_one_private_answer_among_public_ones_refuses_the_name() -> None:
    told = refusal(lambda network: network.connect_tcp("mixed.example", 80), EgressRefused)
    assert told == 'the address 127.0.0.1 of "mixed.example" is not public: 127.0.0.0/8 (loopback, RFC 1122)'


def test_an_answer_that_is_not_an_address_is_refused() -> None:
    assert "is not an IP address" in refusal(lambda net: net.connect_tcp("rubbish.example", 80), EgressRefused)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0", "::1", "::ffff:7f00:1"]
)
def test_a_literal_is_checked_without_asking_for_names(host: str) -> None:
    names, dialled = Names(), Dialled()
    with pytest.raises(EgressRefused):
        asyncio.run(CheckedNetwork(EgressPolicy(), names, dialled).connect_tcp(host, 80))

    assert (names.asked, dialled.addresses) == ([], [])


def test_a_public_literal_is_dialled() -> None:
    assert connect("8.8.8.8") == ["8.8.8.8"]


def test_the_next_address_is_tried_when_one_is_dead() -> None:
    assert connect("public.example", dead=["93.184.216.34"]) == ["93.184.216.34", "2606:2800:220:1::1"]


def test_only_the_first_four_addresses_are_tried() -> None:
    with pytest.raises(httpcore2.ConnectError):
        connect("many.example", dead=NAMES["many.example"])
    dialled = Dialled(*NAMES["many.example"])
    with pytest.raises(httpcore2.ConnectError):
        asyncio.run(CheckedNetwork(EgressPolicy(), Names(), dialled).connect_tcp("many.example", 80))
    assert dialled.addresses == NAMES["many.example"][:4]


def test_an_allowed_origin_may_be_private_and_its_neighbour_may_not() -> None:
    allow = frozenset({"inside.example:8080", "[::1]:9000"})

    assert connect("inside.example", 8080, allow=allow) == ["10.0.0.7"]
    assert connect("::1", 9000, allow=allow) == ["::1"]
    for host, port in (("inside.example", 80), ("10.0.0.7", 8080), ("::1", 9001)):
        with pytest.raises(EgressRefused):
            connect(host, port, allow=allow)


def test_no_address_and_no_answer_are_told_apart_from_a_refusal() -> None:
    assert "has no address" in refusal(lambda net: net.connect_tcp("nowhere.example", 80), httpcore2.ConnectError)
    assert "could not be resolved" in refusal(
        lambda net: net.connect_tcp("unknown.example", 80), httpcore2.ConnectError
    )
    told = refusal(lambda net: net.connect_tcp("public.example", 80), httpcore2.ConnectError)
    assert told == 'could not connect to 2606:2800:220:1::1 of "public.example", port 80: dead'


def test_the_machines_resolver_knows_localhost() -> None:
    assert set(asyncio.run(system_resolve("localhost", 80))) <= {"127.0.0.1", "::1"}


def test_a_name_that_cannot_be_asked_for_is_an_error_and_no_crash() -> None:
    with pytest.raises(httpcore2.ConnectError, match="could not be resolved"):
        asyncio.run(CheckedNetwork(EgressPolicy()).connect_tcp("a" * 70 + ".example", 80))
