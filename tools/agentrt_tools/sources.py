"""Where a result comes from, told to whoever watches: a tool emits `{"sources": [...]}`, and the server shows them."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import NotRequired, TypedDict

from agentrt.toolbox.context import Context

_LONGEST = 120
"""Characters of a title."""

# Possessive, as in markup.py: a page comes from a stranger.
_TITLE = re.compile(r"<title(?:\s[^<>]*+)?+>([^<]*+)", re.IGNORECASE)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*+>")


class Source(TypedDict):
    """A document. `id` is the same wherever it is named; a greater `score` fits better."""

    id: str
    title: str
    uri: str
    score: NotRequired[float]


async def show_sources(context: Context[object], sources: Sequence[Source]) -> None:
    """Tell viewers what a result is made from; nothing where there is nothing to tell."""
    if sources:
        await context.emit({"sources": sources})


def title_of(text: str, page: str = "") -> str:
    """A document's title: that of its page of HTML, else the first line of its text that has a word."""
    found = _TITLE.search(page)
    written = (_TAG.sub(" ", line) for line in text.splitlines())
    lines = (" ".join(line.split()) for line in (html.unescape(found[1]) if found else "", *written))
    title = next((line.lstrip("# ") for line in lines if re.search(r"\w", line)), "")
    return title if len(title) <= _LONGEST else f"{title[: _LONGEST - 1]}…"
