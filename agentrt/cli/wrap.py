"""Text broken between words while it is still arriving."""

from __future__ import annotations

import re

from rich.cells import cell_len

_PARTS = re.compile(r"\n|[^\S\n]+|\S+")


class Wrap:
    """Takes text in any pieces; gives back what can be printed now, in lines of at most `width` cells.

    A word is held back until its end is known; `rest` gives the last one. A word longer than a line is
    left to the terminal to break.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._column = 0
        self._held = ""
        self._blank = ""  # what stands between two words, until it is known whether a line ends there

    def feed(self, text: str) -> str:
        parts = _PARTS.findall(self._held + text)
        self._held = parts.pop() if parts and not parts[-1].isspace() else ""
        return "".join(map(self._placed, parts))

    def rest(self) -> str:
        held, self._held = self._held, ""
        return self._placed(held) if held else ""

    def _placed(self, part: str) -> str:
        if part == "\n":
            self._column, self._blank = 0, ""
            return part
        if part.isspace():
            self._blank += part
            return ""
        blank, self._blank = self._blank, ""
        needed = self._column + cell_len(blank) + cell_len(part)
        if needed <= self._width or not self._column:
            self._column = needed
            return blank + part
        self._column = cell_len(part)
        return f"\n{part}"
