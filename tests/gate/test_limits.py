"""Limits say what is wrong with them, in their own units."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest

from agentrt.errors import SettingInvalid
from agentrt.gate.limits import Limits


def test_by_default_only_the_calls_in_flight_are_limited() -> None:
    limits = Limits()
    assert (limits.requests, limits.tokens, limits.concurrency) == (None, None, 20)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"requests": 0}, "requests=0): needs more than 0 requests per 60 s, or None"),
        ({"requests": -3, "per": 1}, "requests=-3): needs more than 0 requests per 1 s"),
        ({"requests": nan}, "requests=nan)"),
        ({"requests": "50"}, "requests='50')"),
        ({"requests": True}, "requests=True)"),
        ({"tokens": 0}, "tokens=0): needs more than 0 tokens per 60 s, or None"),
        ({"tokens": inf}, "tokens=inf)"),
        ({"per": 0}, "per=0): a period needs more than 0 seconds"),
        ({"burst": -1}, "burst=-1): needs 0 or more seconds of the rate"),
        ({"concurrency": 0}, "concurrency=0): needs a whole number of calls, 1 or more"),
        ({"concurrency": 2.5}, "concurrency=2.5)"),
        ({"concurrency": None}, "concurrency=None)"),
    ],
)
def test_a_limit_that_makes_no_sense_says_what_was_expected(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        Limits(**wrong)
    assert said in str(caught.value)


def test_the_smallest_sensible_limits_are_accepted() -> None:
    Limits(requests=0.5, tokens=1, per=0.001, burst=0, concurrency=1)
