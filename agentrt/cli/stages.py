"""How a filling shows itself: a bar for each stage where there is a terminal, else a line now and then."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from agentrt.pipeline.report import Snapshot

Show = Callable[[Snapshot], None]

_EVERY = 5.0
"""Seconds between two lines."""


@contextmanager
def bars(console: Console) -> Generator[Show]:
    """A bar for each stage, gone at the end; nothing where `console` is no terminal."""
    progress = Progress(
        TextColumn("{task.description:>9}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("[dim]{task.fields[about]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    known: dict[str, TaskID] = {}

    def show(snapshot: Snapshot) -> None:
        coming = snapshot.total
        for stage in snapshot.stages:
            if stage.name not in known:
                known[stage.name] = progress.add_task(stage.name, total=None, about="")
            ended = stage.done + stage.failed
            about = f"{stage.busy} busy, {stage.queued} queued" if stage.busy or stage.queued else ""
            if stage.failed:
                about += f"  {stage.failed} failed"
            progress.update(known[stage.name], total=coming, completed=ended, about=about)
            if coming is not None:  # those that end here do not come to the next stage
                coming -= stage.failed + (snapshot.counted.unchanged if stage.name == "check" else 0)

    with progress:
        yield show


def lines(say: Callable[[str], None]) -> Show:
    """A line every five seconds."""
    said = 0.0

    def show(snapshot: Snapshot) -> None:
        nonlocal said
        if snapshot.seconds - said >= _EVERY:
            said = snapshot.seconds
            say(f"{said:7.1f} s  {in_words(snapshot)}")

    return show


def in_words(snapshot: Snapshot) -> str:
    """How far it has come, in a line."""
    counted = snapshot.counted
    return (
        f"{counted.stored:,} stored, {counted.unchanged:,} unchanged, {counted.quarantined:,} in quarantine; "
        f"{snapshot.listed:,} listed{'' if snapshot.total is None else ', all of them'}"
    )
