"""`agentrt models`: the language models that run on this machine, to be downloaded, listed and removed."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from agentrt.cli.printing import print_lines
from agentrt.errors import AgentrtError
from agentrt.local import download
from agentrt.local.weights import WEIGHTS, Weights, folder, in_words, is_kept, known


def models(arguments: argparse.Namespace) -> int:
    """Do what is asked for; returns the exit code."""
    where = folder(os.environ)
    try:
        if arguments.action == "get":
            return _get(known(arguments.model), where)
        if arguments.action == "remove":
            return _remove(known(arguments.model), where)
        lines = [_line(weights, where) for weights in WEIGHTS.values()]
    except OSError as error:
        raise AgentrtError(f"{where} cannot be used: {error}") from error
    print_lines(lines)
    return 0


def _get(weights: Weights, where: Path) -> int:
    if not is_kept(weights, where):
        with _shown(Console(stderr=True), weights) as progress:
            download.download(weights, where, progress)
    print(f"local:{weights.name} is ready: {where / weights.file}")
    return 0


def _remove(weights: Weights, where: Path) -> int:
    if not download.remove(weights, where):
        print(f"agentrt: {weights.name} is not in {where}", file=sys.stderr)
        return 1
    print(f"Removed {weights.name} from {where}.")
    return 0


def _line(weights: Weights, where: Path) -> str:
    if is_kept(weights, where):
        state = str(where / weights.file)
    elif (partial := download.partial_of(weights, where)).is_file():
        state = f"{in_words(partial.stat().st_size)} are there; `agentrt models get {weights.name}` goes on"
    else:
        state = f"not downloaded; `agentrt models get {weights.name}` does it"
    return f"local:{weights.name}  {in_words(weights.size)}  {weights.about}\n    {state}"


@contextmanager
def _shown(console: Console, weights: Weights) -> Generator[download.Progress]:
    """A bar on a terminal, else a line for each part."""
    if not console.is_terminal:
        yield lambda came: print(f"{came:,} of {weights.size:,} bytes", file=sys.stderr, flush=True)
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress("{task.description}", *columns, console=console) as progress:
        task = progress.add_task(weights.name, total=weights.size)
        yield lambda came: progress.update(task, completed=came)
