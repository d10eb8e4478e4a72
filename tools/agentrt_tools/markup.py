"""The text of an HTML page. Pure, and linear in the length of the page whatever stands in it.

Not `html.parser`: several of its expressions take quadratic time (in Python 3.11.7, 80 kB of "<a " take 78 s), and
pages come from strangers. This reader knows no grammar, only where a tag begins and ends, what is never text, and
where a line does.
"""

from __future__ import annotations

import html
import re

_UNSEEN = frozenset({"noscript", "script", "style", "svg", "template", "textarea", "title"})
_PARAGRAPHS = frozenset(
    {"article", "blockquote", "dl", "fieldset", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6"}
    | {"header", "hr", "main", "nav", "ol", "p", "pre", "section", "table", "ul"}
)
_LINES = frozenset({"address", "br", "caption", "dd", "div", "dt", "figcaption", "li", "option", "tr"})
_GAPS = frozenset({"td", "th"})

# Possessive, and ended by the next "<": a tag that is never closed costs its own length and no more.
_TAG = re.compile(r"<!--|<[!?][^<>]*+>|<(/?)([a-zA-Z][a-zA-Z0-9:-]*+)[^<>]*+>")
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_BLANKS = re.compile(r"\s+")


def text_of_html(page: str) -> str:
    """What a person would read, with an empty line between paragraphs; `pre` keeps its lines."""
    text = _Text()
    at = 0
    while (tag := _TAG.search(page, at)) is not None:
        text.add(page[at : tag.start()])
        name = (tag[2] or "").lower()
        if tag[0] == "<!--":
            at = _behind(page, "-->", tag.end())
        elif name in _UNSEEN and not tag[1] and not tag[0].endswith("/>"):
            at = _end_of(page, name, tag.end())
        else:
            text.tag(name, closes=bool(tag[1]))
            at = tag.end()
    text.add(page[at:])
    return str(text)


class _Text:
    """Text as it grows; what separates two pieces is put between them once both are there."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._gap = ""
        self._pre = False

    def add(self, raw: str) -> None:
        text = _REFERENCE.sub(lambda found: html.unescape(found[0]), raw)
        if not self._pre:
            text = _BLANKS.sub(" ", text)
            if text.startswith(" "):
                self._separate(" ")
            text, ends_blank = text.strip(), text.endswith(" ")
        else:
            ends_blank = False
        if text:
            self._pieces += [self._gap if self._pieces else "", text]
            self._gap = " " if ends_blank else ""

    def tag(self, name: str, *, closes: bool) -> None:
        if name in _PARAGRAPHS:
            self._separate("\n\n")
        elif name in _LINES:
            self._separate("\n")
        elif name in _GAPS:
            self._separate(" ")
        if name == "pre":
            self._pre = not closes

    def __str__(self) -> str:
        return "".join(self._pieces).strip()

    def _separate(self, gap: str) -> None:
        self._gap = max(self._gap, gap, key=("", " ", "\n", "\n\n").index)


def _behind(page: str, sign: str, at: int) -> int:
    found = page.find(sign, at)
    return len(page) if found < 0 else found + len(sign)


def _end_of(page: str, name: str, at: int) -> int:
    """Where the element that is not read ends; a page may forget to end it, and then the rest is not read."""
    found = re.compile(rf"</{name}(?![a-z0-9:-])[^<>]*+>", re.IGNORECASE).search(page, at)
    return len(page) if found is None else found.end()
