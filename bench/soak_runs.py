"""Runs in a world where anything may happen: see `tests/simulation`."""

from __future__ import annotations

from collections import Counter

from tests.simulation.plan import plan_of
from tests.simulation.simulation import lived


def runs(seed: int, *, collect: bool = True) -> Counter[str]:
    """One world, on the virtual clock. `collect`: see `lived`.

    Raises:
        AssertionError: a fact was lost, doubled or shown too early, a deed done before its fact or twice, something
            was left behind; see `tests/simulation/invariants.py`.
    """
    world = lived(plan_of(seed), collect=collect)
    assert not world.complaints, "\n".join((*world.complaints, "what was logged:", *world.log))
    return world.done
