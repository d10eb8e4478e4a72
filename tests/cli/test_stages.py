from __future__ import annotations

from agentrt.cli.stages import in_words, lines
from agentrt.pipeline.document import Counted
from agentrt.pipeline.report import Snapshot


def snapshot(seconds: float, total: int | None = None) -> Snapshot:
    counted = Counted(stored=1200, unchanged=3, quarantined=1)
    return Snapshot(listed=1500, total=total, counted=counted, stages=(), seconds=seconds)


def test_where_there_is_no_terminal_a_line_comes_every_five_seconds() -> None:
    said: list[str] = []
    show = lines(said.append)
    for tenth in range(170):
        show(snapshot(tenth / 10))
    assert [line.partition(" s  ")[0].strip() for line in said] == ["5.0", "10.0", "15.0"]
    assert said[0].endswith("1,200 stored, 3 unchanged, 1 in quarantine; 1,500 listed")


def test_the_words_say_when_all_are_listed() -> None:
    assert in_words(snapshot(1)).endswith("; 1,500 listed")
    assert in_words(snapshot(1, total=1500)).endswith("; 1,500 listed, all of them")
