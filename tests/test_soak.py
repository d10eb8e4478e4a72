"""A few small rounds of every campaign of `bench/soak.py`."""

from __future__ import annotations

from collections import Counter

import pytest

from bench.soak import CAMPAIGNS, failing
from bench.soak_chunks import chunks
from bench.soak_gate import gate
from bench.soak_kills import kills
from bench.soak_runs import runs
from bench.soak_steps import ALL, WAYS, steps


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


def test_worlds_in_which_anything_may_happen_have_no_complaint() -> None:
    done: Counter[str] = Counter()
    for seed in range(150):
        done.update(runs(seed, collect=False))
    assert min(done[name] for name in ("runs", "deeds", "resumptions", "cuts", "decisions")) > 10


@pytest.mark.parametrize(
    ("scene", "way"),
    [
        ("text", "cancelled behind"),
        ("side by side", "cancelled in front, slow journal"),
        ("a write", "the process dies"),
        ("a read", "something is said into it now"),
        ("a call that waits for a person", "stopped after its tools"),
        ("it waits for a permit", "cancelled in front"),
        ("it cuts", "who awaits it is cancelled"),
    ],
)
def test_a_scene_may_be_cut_short_at_any_step(scene: str, way: str) -> None:
    done = steps(ALL.index((scene, way)), collect=False)
    assert done["cuts"] > 10


def test_there_are_fifty_scenes_and_each_is_cut_in_every_way() -> None:
    scenes = {scene for scene, _ in ALL}
    assert len(scenes) >= 50
    assert len(ALL) == len(scenes) * len(WAYS)


def test_processes_are_killed_and_nothing_is_lost_or_done_twice() -> None:
    done = kills(1, times=3)
    assert done["facts that were acknowledged before a kill"] > 0
    assert done["effects"] > 0


def test_a_seed_is_the_same_round_every_time() -> None:
    assert chunks(7, replies=5) == chunks(7, replies=5)
    assert gate(7, cancels=100) == gate(7, cancels=100)
    assert runs(7) == runs(7)


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
