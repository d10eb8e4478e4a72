"""Scenes that are cut short at each of their steps: see `tests/simulation/scenes.py`.

A seed is a scene and a way to cut it: its run is cancelled, in front of what is ready at that step or behind it, with a
quick journal or a slow one, by its handle or by who awaits it; or its process ends there, and another carries on. The
scene is played once for each step, until the cut comes too late.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from tests.simulation.plan import Cut, Life, Plan
from tests.simulation.scenes import SCENES, cut_at, ended_at
from tests.simulation.simulation import lived

Way = Callable[[Plan, int], Plan]
"""The scene, cut at a step."""

SLOW = 0.004
"""Seconds that the slow journal takes."""

WAYS: Mapping[str, Way] = {
    "cancelled in front": lambda plan, n: cut_at(plan, Cut(n)),
    "cancelled behind": lambda plan, n: cut_at(plan, Cut(n, behind=True)),
    "cancelled in front, slow journal": lambda plan, n: cut_at(plan, Cut(n), delay=SLOW),
    "cancelled behind, slow journal": lambda plan, n: cut_at(plan, Cut(n, behind=True), delay=SLOW),
    "stopped after its tools": lambda plan, n: cut_at(plan, Cut(n, how="after_tools")),
    "stopped after its turn": lambda plan, n: cut_at(plan, Cut(n, how="after_turn")),
    "one call is stopped": lambda plan, n: cut_at(plan, Cut(n, how="call")),
    "something is said into it": lambda plan, n: cut_at(plan, Cut(n, how="steer")),
    "something is said into it now": lambda plan, n: cut_at(plan, Cut(n, how="steer now"), delay=SLOW),
    "who awaits it is cancelled": lambda plan, n: cut_at(plan, Cut(n), by="verb"),
    "the runtime is left": lambda plan, n: ended_at(plan, Life(cut=Cut(n), by="cancel")),
    "the runtime is left, suspending": lambda plan, n: ended_at(plan, Life(cut=Cut(n), by="suspend")),
    "the process dies": lambda plan, n: ended_at(plan, Life(SLOW, cut=Cut(n), by="death")),
}

ALL = [(scene, way) for scene in SCENES for way in WAYS]
"""A seed is a place in this list."""


def steps(seed: int, *, collect: bool = True) -> Counter[str]:
    """One scene, cut in one way at every step. `collect`: see `lived`.

    Raises:
        AssertionError: names the scene, the way and the step at which something was wrong.
    """
    scene, way = ALL[seed % len(ALL)]
    done: Counter[str] = Counter(scenes=way == next(iter(WAYS)))
    step, in_time = 0, 1
    while in_time:
        step += 1
        world = lived(WAYS[way](SCENES[scene], step), collect=collect)
        assert not world.complaints, "\n".join(
            (f"{scene}; {way} at step {step}:", *world.complaints, "what was logged:", *world.log)
        )
        in_time = world.done["cuts"]
        done[way] += in_time
        done["cuts"] += in_time
        done["facts"] += world.done["facts"]
    return done
