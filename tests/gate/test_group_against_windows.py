"""Before a provider that counts, a group with the default burst wastes nothing, and finds out what nobody told it."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from itertools import count
from random import Random

import pytest

from agentrt.gate.group import Group
from agentrt.gate.headers import Allowance
from agentrt.gate.limits import Limits
from agentrt.testing.windows import Kind, Quota, Window


class Provider:
    """Answers after 0.05 to 2 s, out of order, and tells how its windows stood when the request came."""

    def __init__(self, *windows: Window) -> None:
        self.quota = Quota(*windows)
        self._random = Random(7)
        self._answers: list[tuple[float, int, float, Mapping[str, Allowance]]] = []
        self._number = count()

    def send(self, tokens: int, now: float) -> None:
        self.quota.knock(tokens, now)
        said: Mapping[str, Allowance] = {
            standing.window.of: Allowance(standing.window.limit, max(0.0, standing.left), standing.full_in)
            for standing in self.quota.standings(now)
        }
        heappush(self._answers, (now + self._random.uniform(0.05, 2.0), next(self._number), now, said))

    def answers(self, until: float) -> list[tuple[float, float, Mapping[str, Allowance]]]:
        come: list[tuple[float, float, Mapping[str, Allowance]]] = []
        while self._answers and self._answers[0][0] <= until:
            at, _, began, said = heappop(self._answers)
            come.append((at, began, said))
        return come


def flood(group: Group, provider: Provider, seconds: float, tokens: int = 0) -> None:
    """As many calls as the group lets through."""
    now = 0.0
    while now < seconds:
        for at, began, said in provider.answers(now):
            group.learn(said, at, began)
        wait = max(group.waits(tokens, now))
        if wait == 0:
            group.take(tokens, now)
            provider.send(tokens, now)
        now += min(wait, 0.05) + 1e-6


@pytest.mark.parametrize("kind", ["fixed", "sliding", "bucket"])
@pytest.mark.parametrize("requests", [60, 600])
def test_under_a_backlog_what_is_told_costs_no_rate_and_draws_no_refusal(kind: Kind, requests: int) -> None:
    group, provider = Group(Limits(requests=requests)), Provider(Window(requests, kind=kind))
    flood(group, provider, 600)
    assert not provider.quota.refused
    assert len(provider.quota.passed) >= 0.95 * requests * 10


@pytest.mark.parametrize("kind", ["fixed", "sliding", "bucket"])
def test_tokens_likewise(kind: Kind) -> None:
    group, provider = Group(Limits(tokens=60_000)), Provider(Window(60_000, of="tokens", kind=kind))
    flood(group, provider, 600, tokens=800)
    assert not provider.quota.refused
    assert sum(seen.tokens for seen in provider.quota.passed) >= 0.95 * 600_000


@pytest.mark.parametrize("kind", ["fixed", "sliding", "bucket"])
def test_a_limit_half_of_what_was_configured_is_found_out(kind: Kind) -> None:
    group, provider = Group(Limits(requests=1200)), Provider(Window(600, kind=kind))
    flood(group, provider, 600)
    assert len(provider.quota.refused) <= 20
    assert len(provider.quota.passed) >= 0.93 * 6000


@pytest.mark.parametrize("kind", ["fixed", "sliding", "bucket"])
def test_a_limit_that_nobody_configured_is_found_out(kind: Kind) -> None:
    group, provider = Group(Limits()), Provider(Window(60, kind=kind))
    group.learn({"requests": Allowance(60, 60, 0)}, 0.0, 0.0)
    flood(group, provider, 600)
    assert len(provider.quota.refused) <= 10
    assert len(provider.quota.passed) >= 0.9 * 600
