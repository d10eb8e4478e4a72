"""Reads a manifest, a document a line, in pieces of any size. Pure: bytes in, references out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from agentrt.pipeline.document import Broken, Listed, Reference

LONGEST_LINE = 1024 * 1024
"""Bytes. A file without line ends is no manifest, and need not fit into memory to be called so."""


class Line(msgspec.Struct):
    """One line; it needs one of `url` and `path`."""

    path: str | None = None
    url: str | None = None
    title: str = ""


Place = Callable[[Line], Reference]
"""Where the document of a line is; raises ValueError where that is nowhere."""


class ManifestReader:
    """`feed` for every piece, then `finish` once. `name` is the manifest's address, `place` finds a line's document."""

    def __init__(self, name: str, place: Place) -> None:
        self._name = name
        self._place = place
        self._rest = bytearray()
        self._number = 0
        self._skipping = False

    def feed(self, piece: bytes) -> Iterator[Listed]:
        """The documents of the lines that this piece completes; a line that is none is `Broken`."""
        *lines, rest = piece.split(b"\n")
        for line in lines:
            yield from self._line(line)
        self._rest += rest
        if len(self._rest) > LONGEST_LINE:
            if not self._skipping:
                yield self._broken(self._number + 1, f"it is longer than {LONGEST_LINE} bytes")
            self._skipping = True
            self._rest.clear()

    def finish(self) -> Iterator[Listed]:
        """The document of the last line, if nothing ended it."""
        yield from self._line(b"")

    def _line(self, ending: bytes) -> Iterator[Listed]:
        line = bytes(self._rest) + ending
        self._rest.clear()
        self._number += 1
        if self._skipping:
            self._skipping = False
        elif line.strip():
            yield self._read(line)

    def _read(self, line: bytes) -> Listed:
        try:
            return self._place(msgspec.json.decode(line, type=Line))
        except (msgspec.MsgspecError, ValueError) as error:
            return self._broken(self._number, str(error))

    def _broken(self, number: int, why: str) -> Broken:
        return Broken(f"{self._name}#line-{number}", f"line {number} of the manifest is not a document: {why}")
