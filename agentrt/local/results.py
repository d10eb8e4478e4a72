"""What tools brought, as the rules read it, and how it is cited.

A result that is not what was expected is no error here: it is what the tool had to say, and is told so.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from agentrt.local.plan import Inquiry

REMARK = 300
"""A result of one line and at most this many characters is no document but what the tool had to say."""


class Hit(msgspec.Struct, frozen=True):
    """A row of `search`: a piece of a document."""

    title: str
    url: str
    text: str = ""


class Sources:
    """The documents quoted from, numbered as they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._titles: list[str] = []

    def cite(self, title: str, url: str) -> str:
        """The mark to put behind a quotation from that document."""
        if url not in self._numbers:
            self._numbers[url] = len(self._titles) + 1
            self._titles.append(title)
        return f"[{self._numbers[url]}]"

    def __str__(self) -> str:
        lines = [f"[{n}] {title}: {url}" for (url, n), title in zip(self._numbers.items(), self._titles, strict=True)]
        return "\n\nSources:\n" + "\n".join(lines) if lines else ""


_Row = TypeVar("_Row")
_HITS = msgspec.json.Decoder(list[Hit])


def rows(inquiry: Inquiry, tool: str, value: str, decoder: msgspec.json.Decoder[list[_Row]]) -> list[_Row] | None:
    """The rows a call brought, or None if it was not made or its result cannot be read."""
    try:
        return decoder.decode(inquiry.result(tool, value) or "")
    except msgspec.DecodeError:
        return None


def hits(inquiry: Inquiry) -> list[Hit] | None:
    """The rows of the search for the question."""
    return rows(inquiry, "search", inquiry.question, _HITS)


def document(inquiry: Inquiry, url: str) -> str | None:
    """The fetched text, or None if there is none or it is a remark."""
    text = inquiry.result("fetch_document", url)
    return None if text is None or _is_remark(text) else text


def _is_remark(text: str) -> bool:
    return len(text) <= REMARK and "\n" not in text.strip()


def said(inquiry: Inquiry, tool: str, value: str) -> str:
    """The beginning of what a call brought, as `quoted` has it."""
    return quoted(inquiry.result(tool, value) or "")


def quoted(text: str) -> str:
    """The beginning of a text in quotation marks and on one line, without what steers a terminal."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 2 * REMARK]).split())
    return f"“{line[:200]}…”" if len(line) > 200 else f"“{line}”"


def unread(inquiry: Inquiry, url: str) -> str:
    """Why a document could not be quoted."""
    if inquiry.result("fetch_document", url) is not None:
        return f"its document could not be read: `fetch_document` said {said(inquiry, 'fetch_document', url)}"
    if "fetch_document" in inquiry.offered:
        return "its document was not read"
    return "its document was not read, for I may not call `fetch_document`"
