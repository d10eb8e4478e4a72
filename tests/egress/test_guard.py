from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.egress.guard import is_public, why_not

PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "172.15.255.255", "172.32.0.1", "100.63.255.255", "100.128.0.0"]
PUBLIC += ["2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "2001:4860:4860::8888"]
PUBLIC += ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]

PRIVATE = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.0.9"),
    *("168.63.129.16", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192"),
    *("192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.175.48.1", "198.18.0.1"),
    *("198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::2", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:0:1"),
    *("64:ff9b::7f00:1", "64:ff9b::169.254.169.254", "64:ff9b:1::8.8.8.8", "100::1", "100:0:0:1::1", "5f00::1"),
    *("2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1"),
    *("2002:7f00:1::", "2002:808:808::", "2620:4f:8000::1", "3fff::1", "4000::1", "fc00::1", "fd00:ec2::254"),
    *("fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "2a00:1450::5efe:127.0.0.1", "2a00:1450::200:5efe:10.0.0.1"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_public(address: str) -> None:
    assert why_not(address) is None


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_of_a_special_network_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.1", "2130706433", "1.2.3.4.5", "2606:4700::1%eth0", "8.8.8.8/32"]
)
def test_what_is_not_a_plain_address_is_not_public(text: str) -> None:
    assert not is_public(text)


def test_the_reason_names_the_network_and_its_source() -> None:
    assert why_not("10.1.2.3") == "is not public: 10.0.0.0/8 (private, RFC 1918)"
    assert why_not("::ffff:10.1.2.3") == "carries 10.1.2.3, which is not public: 10.0.0.0/8 (private, RFC 1918)"


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_in_a_mapped_or_nat64_form_is_judged_as_itself(address: IPv4Address) -> None:
    mapped = IPv6Address((0xFFFF << 32) | int(address))
    nat64 = IPv6Address((0x64FF9B << 96) | int(address))
    assert is_public(str(address)) == is_public(str(mapped)) == is_public(str(nat64))


@given(st.ip_addresses())
def test_what_python_calls_private_is_not_public_to_us(address: IPv4Address | IPv6Address) -> None:
    carries_v4 = address.version == 6 and int(address) >> 32 in (0xFFFF, 0x64FF9B << 64)
    if is_public(str(address)) and not carries_v4:
        assert address.is_global


@given(st.text(max_size=40))
def test_no_text_makes_the_guard_fail(text: str) -> None:
    is_public(text)
