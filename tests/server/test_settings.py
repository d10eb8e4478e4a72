"""A server's figures are checked where they are given."""

from __future__ import annotations

from typing import Any

import pytest

from agentrt.errors import SettingInvalid
from agentrt.server.settings import ServeSettings


def settings(**figures: Any) -> ServeSettings:
    return ServeSettings(**figures)


ABOVE = ["heartbeat", "hello_timeout", "slow_client_timeout", "max_frame", "runs", "commands", "all_connections"]


@pytest.mark.parametrize("name", [*ABOVE, "replay_all_bytes", "approval_timeout"])
def test_a_figure_is_above_zero(name: str) -> None:
    for value in (0, -1):
        with pytest.raises(SettingInvalid, match=rf"{name}={value}\): expected more than 0"):
            settings(**{name: value})


@pytest.mark.parametrize("name", ["tick", "grace", "replay_ttl", "approval_linger"])
def test_some_may_be_zero(name: str) -> None:
    settings(**{name: 0})
    with pytest.raises(SettingInvalid, match="expected 0 or more"):
        settings(**{name: -0.1})
