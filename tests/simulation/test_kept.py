"""Seeds and steps that once found a bug. `python -m bench.soak runs --first SEED --seeds 1` replays one."""

from __future__ import annotations

import pytest

from tests.simulation.plan import Cut, plan_of
from tests.simulation.scenes import SCENES, cut_at
from tests.simulation.simulation import lived

MENDED = {
    31: "a run that left its line names the run before it",
    83: "two runs of a thread named each other as the one before",
    99: "two runs of a thread named each other as the one before",
    313: "a feed forgot that it had failed, and showed facts that were not kept",
    481: "a run that left its line names one that never began, and is named by it once that is asked for again",
    509: "a run that left its line names one that never began, and is named by it once that is asked for again",
    2425: "a run that rested takes call ids that its thread has used since",
    4851: "two people approve of a call at once, and the run ends as an error of ours",
    7367: "two people give a result at once, and the run ends as an error of ours",
}


@pytest.mark.parametrize("seed", MENDED)
def test_what_was_mended_stays_mended(seed: int) -> None:
    assert lived(plan_of(seed)).complaints == []


@pytest.mark.parametrize("step", range(60, 75))
def test_a_run_that_leaves_its_line_in_the_step_in_which_another_begins_confuses_nobody(step: int) -> None:
    assert lived(cut_at(SCENES["three in a thread"], Cut(step))).complaints == []
