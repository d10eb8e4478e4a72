"""Cuts a text into passages where its author did: before headings, between paragraphs. Pure.

One rule set serves plain text, Markdown and reStructuredText, because the same signs mean the same in all three: an
empty line ends a paragraph, `#` at the beginning of a line or a row of punctuation below it makes a heading, and a
fence holds code together. A heading goes with what follows it. What is longer than a passage may be is cut at the end
of a line, of a sentence, of a word, in this order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from agentrt.index.index import Chunk

_ATX = re.compile(r"#{1,6}[ \t]")
_ROW = r"[=\-~^\"'`*+#.:_]"
_HEADING = re.compile(rf"#{{1,6}}[ \t][^\n]*|(?:({_ROW})\1{{2,}}[ \t]*\n)?[^\n]+\n({_ROW})\2{{2,}}[ \t]*(?=\n|\Z)")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_INK = re.compile(r"\S")
_CUTS = ("\n", ". ", " ")


class _Block(NamedTuple):
    """`start:end` of the text; whether it begins with a heading, and whether it is nothing else."""

    start: int
    end: int
    opens: bool
    bare: bool


def split(text: str, *, size: int = 1200) -> tuple[Chunk, ...]:
    """The passages of `text` in order, none longer than `size` characters and none blank.

    Every character that is not white space stands in exactly one of them.
    """
    chunks: list[Chunk] = []
    held: list[_Block] = []

    def close(blocks: list[_Block]) -> None:
        if blocks:
            start, end = blocks[0].start, blocks[-1].end
            chunks.append(Chunk(text[start:end], start, end))

    for block in _blocks(text, size):
        if held and block.opens and held[-1].end - held[0].start >= size // 4 and not held[-1].bare:
            close(held)
            held = []
        elif held and block.end - held[0].start > size:
            keep = 1 if held[-1].bare and block.end - held[-1].start <= size else 0
            close(held[: len(held) - keep])
            held = held[len(held) - keep :]
        held.append(block)
    close(held)
    return tuple(chunks)


def _blocks(text: str, size: int) -> Iterator[_Block]:
    for start, end in _paragraphs(text):
        heading = _HEADING.match(text, start, end)
        bare = heading is not None and heading.end() == end
        for number, (first, last) in enumerate(_pieces(text, start, end, size)):
            yield _Block(first, last, heading is not None and number == 0, bare)


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """Runs of lines without an empty one, also ended by a `#` heading; a fenced piece of code is never cut."""
    start = end = at = 0
    fence = ""
    for line in text.splitlines(keepends=True):
        blank = not line.strip()
        if not fence and (blank or _ATX.match(line)):
            if end > start:
                yield start, end
            start = end = at
        if not blank:
            start = at if end <= start else start
            end = at + len(line.rstrip())
        fence = _fence(line, fence)
        at += len(line)
    if end > start:
        yield start, end


def _fence(line: str, fence: str) -> str:
    """The fence that is open after the line: a closing one is of the same sign and at least as long."""
    sign = _FENCE.match(line)
    if sign is None:
        return fence
    if not fence:
        return sign[1]
    return "" if sign[1].startswith(fence) else fence


def _pieces(text: str, start: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    while end - start > size:
        cut = _cut(text, start, start + size)
        if kept := len(text[start:cut].rstrip()):
            yield start, start + kept
        ink = _INK.search(text, cut, end)
        start = end if ink is None else ink.start()
    if end > start:
        yield start, end


def _cut(text: str, start: int, limit: int) -> int:
    """Where to cut `start:limit`, in its second half if there is a good place."""
    for sign in _CUTS:
        at = text.rfind(sign, start + (limit - start) // 2, limit)
        if at >= 0:
            return at + len(sign.rstrip(" "))
    return limit
