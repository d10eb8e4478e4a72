"""The ways by which requests go out: what is promised of sockets holds for each of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agentrt.model import openai
from agentrt.model.connections import Connections
from agentrt.model.service import Service
from agentrt.model.settings import Settings
from agentrt.model.straight import Straight

WAYS = ("package", "straight", "fast")
"""Through the `openai` package, without it over the same connections, and without it over aiohttp."""


def go_by(way: str, patch: pytest.MonkeyPatch) -> None:
    """Let every `OpenAIModel` of this test that has no transport of its own send by `way`."""
    usual = openai._connections

    def fast(settings: Settings) -> Connections:
        return usual(replace(settings, fast=True))

    def straight(connections: Connections) -> Service:
        return Service(connections, Straight(connections))

    if way == "fast":
        pytest.importorskip("aiohttp", reason="needs the extra: fast")
        patch.setattr(openai, "_connections", fast)
    elif way == "straight":
        patch.setattr(openai, "_service", straight)
