from __future__ import annotations

from agentrt.index.index import Quarantined
from agentrt.pipeline.document import Counted, Ended, Stored, Unchanged
from agentrt.pipeline.report import Failure
from agentrt.pipeline.tally import Tally

ROW = Quarantined(
    id="u", url="u", source="s", stage="read", kind="http_404", error="gone", attempts=1, size=None,
    correlation="c", at=0.0, content=None,
)  # fmt: skip


def test_each_end_is_counted_once_and_the_first_failures_are_kept() -> None:
    tally = Tally()
    ends: list[Ended] = [Stored("a", 3), Stored("b", 4), Unchanged("c"), *[ROW] * 25]
    for ended in ends:
        tally.count(ended)
    tally.removed = 2

    assert tally.counted == Counted(stored=2, unchanged=1, quarantined=25, removed=2, passages=7)
    assert tally.failures == [Failure(url="u", stage="read", kind="http_404", error="gone")] * 20
