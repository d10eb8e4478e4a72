"""A few small rounds of every campaign of `bench/soak.py`."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.soak import CAMPAIGNS, failing
from bench.soak_chunks import chunks
from bench.soak_gate import gate


@pytest.mark.parametrize("seed", range(5))
def test_fuzzed_chunks_raise_nothing_but_our_own_errors(seed: int) -> None:
    done = chunks(seed, replies=40)
    assert done["replies"] > 0
    assert done["failures"] > 0


@pytest.mark.parametrize("seed", range(3))
def test_a_gate_is_as_good_as_new_after_many_cancels(seed: int) -> None:
    done = gate(seed, cancels=500)
    assert done["cancels"] >= 500
    assert done["calls that succeeded afterwards"] == 200


def test_a_seed_is_the_same_round_every_time() -> None:
    assert chunks(7, replies=5) == chunks(7, replies=5)
    assert gate(7, cancels=100) == gate(7, cancels=100)


def test_seeds_that_fail_are_named_and_the_others_still_run(capsys: pytest.CaptureFixture[str]) -> None:
    def campaign(seed: int) -> Counter[str]:
        assert seed != 2, "two is bad"
        return Counter(rounds=1)

    done: Counter[str] = Counter()
    assert failing(campaign, range(4), 60.0, done) == [2]
    assert done == Counter(seeds=4, rounds=3)
    assert "seed 2 failed" in (said := capsys.readouterr().err)
    assert "two is bad" in said


def test_every_campaign_says_how_long_it_is() -> None:
    assert all(full > 0 for _, full in CAMPAIGNS.values())
