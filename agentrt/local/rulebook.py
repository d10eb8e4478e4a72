"""The two rules: who needs a package, and everything else.

They know the tools `dependents`, `search` and `fetch_document` by name and by the form of their results,
and no package, document or file. What they print is quoted from results; what a result does not say,
they do not know.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from agentrt.local.plan import Call, Inquiry, Rule
from agentrt.local.quote import about, answering, same_name

READ = 3
"""Documents that are read for a question."""
REMARK = 300
"""A result of one line and at most this many characters is no document but what the tool had to say."""


class Row(msgspec.Struct, frozen=True):
    """A row of `dependents`: who needs it, under what condition, with what extra, documented where."""

    name: str
    version: str = ""
    condition: str | None = None
    extra: str | None = None
    url: str | None = None


class Hit(msgspec.Struct, frozen=True):
    """A row of `search`: a piece of a document."""

    title: str
    url: str
    text: str = ""


class _Sources:
    """The documents quoted from, numbered as they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._titles: list[str] = []

    def cite(self, title: str, url: str) -> str:
        if url not in self._numbers:
            self._numbers[url] = len(self._titles) + 1
            self._titles.append(title)
        return f"[{self._numbers[url]}]"

    def __str__(self) -> str:
        lines = [f"[{n}] {title}: {url}" for (url, n), title in zip(self._numbers.items(), self._titles, strict=True)]
        return "\n\nSources:\n" + "\n".join(lines) if lines else ""


def _rows(inquiry: Inquiry) -> list[Row] | None:
    """The rows of `dependents`, or None if they cannot be read."""
    try:
        return msgspec.json.decode(inquiry.result("dependents", inquiry.subject) or "", type=list[Row])
    except msgspec.DecodeError:
        return None


def _hits(inquiry: Inquiry) -> list[Hit] | None:
    try:
        return msgspec.json.decode(inquiry.result("search", inquiry.question) or "", type=list[Hit])
    except msgspec.DecodeError:
        return None


def _document(inquiry: Inquiry, url: str) -> str | None:
    """The fetched text, or None if there is none or it is a remark."""
    text = inquiry.result("fetch_document", url)
    return None if text is None or _is_remark(text) else text


def _is_remark(text: str) -> bool:
    return len(text) <= REMARK and "\n" not in text.strip()


def _said(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 2 * REMARK]).split())
    return f"“{line[:200]}…”" if len(line) > 200 else f"“{line}”"


def _unread(inquiry: Inquiry, url: str) -> str:
    """Why a document could not be quoted."""
    said = inquiry.result("fetch_document", url)
    if said is not None:
        return f"its document could not be read: `fetch_document` said {_said(said)}"
    if "fetch_document" in inquiry.offered:
        return "its document was not read"
    return "its document was not read, for I may not call `fetch_document`"


# ---- who needs a package ---------------------------------------------------------------------------


def _dependents_calls(inquiry: Inquiry) -> Sequence[Call]:
    return [
        Call("dependents", inquiry.subject),
        Call("search", inquiry.question),
        *(Call("fetch_document", row.url) for row in _rows(inquiry) or () if row.url),
    ]


def _dependents_answer(inquiry: Inquiry) -> str:
    subject, rows = inquiry.subject, _rows(inquiry)
    if rows is None:
        said = _said(inquiry.result("dependents", inquiry.subject) or "")
        return f"I cannot tell which installed packages need {subject}: `dependents` gave no list, it said {said}."
    sources = _Sources()
    needing = _merged([row for row in rows if not row.extra])
    names = {row.name for row in needing}
    optional = _merged([row for row in rows if row.extra and row.name not in names])
    match len(needing):
        case 0:
            text = f"No installed package needs {subject}" + (" without an extra." if optional else ".")
        case 1:
            text = f"One installed package needs {subject}:\n"
        case count:
            text = f"{count} installed packages need {subject}:\n"
    text += "".join(f"\n- {_line(inquiry, row, sources)}" for row in needing)
    if optional:
        text += "\n\nOptional, only with an extra:\n"
        text += "".join(f"\n- {_line(inquiry, row, sources)}" for row in optional)
    return text + _itself(inquiry, sources) + str(sources)


def _merged(rows: Sequence[Row]) -> list[Row]:
    """One row a name, with all its conditions and extras, in the order of the names."""
    merged: dict[str, Row] = {}
    for row in rows:
        known = merged.setdefault(row.name, row)
        if known is not row:
            condition = _both(known.condition, row.condition, " or ")
            extra = _both(known.extra, row.extra, ", ")
            merged[row.name] = msgspec.structs.replace(known, condition=condition, extra=extra)
    return [merged[name] for name in sorted(merged)]


def _both(one: str | None, other: str | None, between: str) -> str | None:
    if not one or not other:
        return None  # One of the ways takes no condition.
    return one if other in one.split(between) else one + between + other


def _line(inquiry: Inquiry, row: Row, sources: _Sources) -> str:
    head = f"{row.name} {row.version}".strip()
    if row.extra:
        head += f", extra {row.extra}"
    if row.condition:
        head += f" (given {row.condition})"
    if not row.url:
        return f"{head}: no document of it is known"
    document = _document(inquiry, row.url)
    if document is None:
        return f"{head}: {_unread(inquiry, row.url)}"
    sentence = about(document, row.name)
    mark = sources.cite(row.name, row.url)
    return (
        f"{head}: “{sentence}” {mark}"
        if sentence
        else f"{head}: its document has no sentence that says what it does {mark}"
    )


def _itself(inquiry: Inquiry, sources: _Sources) -> str:
    """What the package asked about is, if the search came upon its own document."""
    for hit in _hits(inquiry) or ():
        if same_name(hit.title, inquiry.subject) and (sentence := about(hit.text, hit.title, certain=True)):
            return f"\n\n{hit.title} itself: “{sentence}” {sources.cite(hit.title, hit.url)}"
    return ""


# ---- any other question ----------------------------------------------------------------------------


def _first(hits: Sequence[Hit] | None) -> dict[str, str]:
    """Title by address of the documents to read."""
    titles: dict[str, str] = {}
    for hit in hits or ():
        if hit.url not in titles and len(titles) < READ:
            titles[hit.url] = hit.title
    return titles


def _question_calls(inquiry: Inquiry) -> Sequence[Call]:
    urls = _first(_hits(inquiry))
    return [Call("search", inquiry.question), *(Call("fetch_document", url) for url in urls)]


def _question_answer(inquiry: Inquiry) -> str:
    hits = _hits(inquiry)
    if hits is None:
        return (
            f"I cannot tell: `search` gave no list, it said {_said(inquiry.result('search', inquiry.question) or '')}."
        )
    if not hits:
        return "I found nothing about that: `search` returned no document."
    titles = _first(hits)
    urls = list(titles)
    texts: list[tuple[str, str]] = []
    for url in urls:
        pieces = "\n\n".join(hit.text for hit in hits if hit.url == url)
        texts.append((titles[url], _document(inquiry, url) or pieces))
    sources = _Sources()
    quotes = [
        f"“{quote.text}” {sources.cite(titles[urls[quote.document]], urls[quote.document])}"
        for quote in answering(inquiry.question, texts)
    ]
    text = "\n\n".join(quotes)
    if not quotes:
        text = f"I found nothing that answers that; I looked in: {', '.join(titles.values())}."
    for url in urls:
        if _document(inquiry, url) is None:
            text += f"\n\n{titles[url]}: {_unread(inquiry, url)}."
    return text + str(sources)


# ---- the patterns ----------------------------------------------------------------------------------

_PACKAGES = r"(?:packages?|distributions?|librar(?:y|ies)|projects?|anything|everything|something)"
_NEEDS = r"(?:needs?|requires?|depends?\s+(?:up)?on|rel(?:y|ies)\s+on|pulls?\s+in|imports?)"
_BETWEEN = r"(?:\s+(?!(?:do|does|did|is|was|should|can)\b)[\w-]+){0,6}?"
_SUBJECT = (
    r"(?:the\s+)?(?:(?:package|library|module|distribution)\s+)?[`\"'“‘]?"
    r"(?!(?:a|an|each|it|me|more|some|that|the|them|these|this|to|which|you)\b)"
    r"(?P<subject>[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?)[`\"'”’]?"
)
_END = (
    r"(?=\s*(?:$|[?!;:,.](?:\s|$)|(?:and|or|then)\s+(?:what|how|why|who|which|tell|say|describe|explain|list|show|for|in)\b"
    r"|(?:here|in|at|directly|installed|for|right|by|as|now)\b))"
)
_DEPENDENTS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:what|which|who|{_PACKAGES})\b{_BETWEEN}\s+{_NEEDS}\s+{_SUBJECT}{_END}",
        rf"\b(?:who|{_PACKAGES})\b{_BETWEEN}\s+uses?\s+{_SUBJECT}{_END}",
        rf"\b(?:dependents|dependants|reverse\s+dependencies|users)\s+of\s+{_SUBJECT}{_END}",
        rf"\bwhy\s+(?:is|was|do\s+(?:i|we)\s+(?:have|need))\s+{_SUBJECT}\s+(?:here|installed|needed|required)\b",
    )
)
_ANYTHING = (re.compile(r"(?P<subject>.+)", re.DOTALL),)

RULES = (
    Rule(
        patterns=_DEPENDENTS,
        needs="dependents",
        lacking="which installed packages need {subject}",
        calls=_dependents_calls,
        render=_dependents_answer,
    ),
    Rule(
        patterns=_ANYTHING,
        needs="search",
        lacking="what the documents say about that",
        calls=_question_calls,
        render=_question_answer,
    ),
)
