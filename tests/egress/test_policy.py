from __future__ import annotations

from typing import Any

import pytest

from agentrt.egress.policy import EgressPolicy
from agentrt.errors import SettingInvalid


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"max_bytes": -1}, "max_bytes=-1"),
        ({"max_decoded": 0}, "max_decoded=0"),
        ({"max_ratio": 0}, "max_ratio=0"),
        ({"redirects": -1}, "redirects=-1"),
        ({"per_host_concurrency": 0}, "per_host_concurrency=0"),
        ({"per_host_wait": 0}, "per_host_wait=0"),
        ({"per_host_rate": 0}, "per_host_rate=0; it needs"),
        ({"per_host_rate": 0.5}, "per_host_rate=0.5; it needs"),
        ({"ports": frozenset({0})}, "port 0"),
        ({"allow": frozenset({"127.0.0.1"})}, "127.0.0.1"),
        ({"allow": frozenset({"http://a:1"})}, "http://a:1"),
        ({"allow": frozenset({"Host:80"})}, "Host:80"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_with_its_name(setting: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingInvalid, match=told.replace(".", r"\.")):
        EgressPolicy(**setting)


def test_an_origin_is_exempt_only_with_its_very_port() -> None:
    policy = EgressPolicy(allow=frozenset({"127.0.0.1:8123", "[::1]:80"}))

    assert policy.exempts("127.0.0.1", 8123)
    assert policy.exempts("::1", 80)
    assert not policy.exempts("127.0.0.1", 8124)
    assert not policy.exempts("localhost", 8123)


def test_a_type_is_read_by_its_name_or_by_its_family() -> None:
    policy = EgressPolicy()

    assert policy.reads("text/html")
    assert policy.reads("application/json")
    assert not policy.reads("application/octet-stream")
    assert not policy.reads("textual/html")
    assert not policy.reads("")
