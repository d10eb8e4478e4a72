"""The simulation itself: a seed is the same world every time, and its parts do what they say."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from agentrt.errors import JournalFailed
from agentrt.events import CancelAsked, RunResumed
from agentrt.testing import run_virtual
from tests.simulation.journal import Desk, Disk
from tests.simulation.plan import plan_of
from tests.simulation.provider import CONNECTIONS, FAULTS, REPLIES, STATUSES
from tests.simulation.scenes import SCENES
from tests.simulation.shop import REPEATABLE, TOOLS
from tests.simulation.simulation import lived


def all_facts(seed: int) -> bytes:
    return msgspec.json.encode([list(facts.values()) for facts in lived(plan_of(seed)).disk._facts.values()])


def test_a_seed_is_the_same_world_every_time_to_the_last_fact() -> None:
    seeds = range(0, 60, 3)
    first = [all_facts(seed) for seed in seeds]
    somewhere_else = [object() for _ in range(10_000)][::3]  # addresses differ from now on
    assert [all_facts(seed) for seed in reversed(seeds)] == first[::-1]
    del somewhere_else


def test_the_provider_fails_in_every_way_on_the_lists() -> None:
    assert (len(STATUSES) > 20, len(CONNECTIONS) > 15, len(REPLIES) > 200) == (True, True, True)
    assert len(FAULTS) == len(STATUSES) + len(CONNECTIONS) + len(REPLIES)


def test_there_are_tools_of_every_kind() -> None:
    assert {one.run_in for one in TOOLS} == {"loop", "thread", "client"}  # a process is not on the virtual clock
    assert {one.effect for one in TOOLS} == {"read", "egress", None}
    assert 0 < len(REPEATABLE) < len(TOOLS)


@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_that_nobody_cuts_goes_well(scene: str) -> None:
    world = lived(SCENES[scene])
    assert world.complaints == []
    assert world.done["runs"] >= 1


def test_a_process_that_dies_acknowledges_nothing_more_and_may_have_kept_some_of_what_stood_in_line() -> None:
    left: set[int] = set()

    async def main(seed: int) -> None:
        disk, died = Disk(), list[bool]()
        desk = Desk(disk, Random(seed), delay=1.0, dies_at=3, on_death=lambda: died.append(True))
        epoch = await desk.take("r")
        kept = [desk.append("r", epoch, RunResumed(epoch=epoch, seq=seq)) for seq in (1, 2, 3)]
        assert died == [True]
        assert all(isinstance(one.exception(), JournalFailed) for one in kept)
        assert disk.acknowledged == {}
        assert isinstance(desk.append("r", epoch, CancelAsked(epoch=epoch, seq=4)).exception(), JournalFailed)
        left.add(len(await disk.read("r")))

    for seed in range(20):
        run_virtual(main(seed))
    assert left == {0, 1, 2, 3}
