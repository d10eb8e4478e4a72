"""Counts how documents end, each once."""

from __future__ import annotations

from typing import assert_never

from agentrt.index.index import Quarantined
from agentrt.pipeline.document import Counted, Ended, Stored, Unchanged
from agentrt.pipeline.report import Failure

_FAILURES_TOLD = 20


class Tally:
    """The counts, and the first failures in short: the index has them all in full."""

    def __init__(self) -> None:
        self._stored = self._unchanged = self._quarantined = self._passages = 0
        self.removed = 0
        self.failures: list[Failure] = []

    @property
    def counted(self) -> Counted:
        return Counted(
            stored=self._stored,
            unchanged=self._unchanged,
            quarantined=self._quarantined,
            removed=self.removed,
            passages=self._passages,
        )

    def count(self, ended: Ended) -> None:
        """One document has ended."""
        match ended:
            case Stored():
                self._stored += 1
                self._passages += ended.passages
            case Unchanged():
                self._unchanged += 1
            case Quarantined():
                self._quarantined += 1
                if len(self.failures) < _FAILURES_TOLD:
                    self.failures.append(Failure(url=ended.url, stage=ended.stage, kind=ended.kind, error=ended.error))
            case _:
                assert_never(ended)
