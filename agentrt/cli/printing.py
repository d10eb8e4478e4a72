"""Lines that a command prints: none of them obeyed by a terminal, none too many for a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from agentrt.cli.leaving import leave


def on_one_line(text: str) -> str:
    """The text on one line, without what a terminal would obey."""
    return "".join(char if char.isprintable() else "\ufffd" for char in " ".join(text.split()))


def print_lines(lines: Iterable[str]) -> None:
    """Print them; where nobody reads any more, the process ends."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        leave(0)
