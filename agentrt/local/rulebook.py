"""The rules in the order in which they are tried: those about packages, then the one for any other question.

They know their tools by name and by the form of the results, and no package, document or file. What they
print is quoted from results; what a result does not say, they do not know.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agentrt.local.packages import PACKAGE_RULES
from agentrt.local.plan import Call, Inquiry, Rule
from agentrt.local.quote import answering
from agentrt.local.results import Hit, Sources, document, hits, said, unread

READ = 3
"""Documents that are read for a question."""


def _first(found: Sequence[Hit] | None) -> dict[str, str]:
    """Title by address of the documents to read."""
    titles: dict[str, str] = {}
    for hit in found or ():
        if hit.url not in titles and len(titles) < READ:
            titles[hit.url] = hit.title
    return titles


def _question_calls(inquiry: Inquiry) -> Sequence[Call]:
    urls = _first(hits(inquiry))
    return [Call("search", inquiry.question), *(Call("fetch_document", url) for url in urls)]


def _question_answer(inquiry: Inquiry) -> str:
    found = hits(inquiry)
    if found is None:
        return f"I cannot tell: `search` gave no list, it said {said(inquiry, 'search', inquiry.question)}."
    if not found:
        return "I found nothing about that: `search` returned no document."
    titles = _first(found)
    urls = list(titles)
    texts: list[tuple[str, str]] = []
    for url in urls:
        pieces = "\n\n".join(hit.text for hit in found if hit.url == url)
        texts.append((titles[url], document(inquiry, url) or pieces))
    sources = Sources()
    quotes = [
        f"“{quote.text}” {sources.cite(titles[urls[quote.document]], urls[quote.document])}"
        for quote in answering(inquiry.question, texts)
    ]
    text = "\n\n".join(quotes)
    if not quotes:
        text = f"I found nothing that answers that; I looked in: {', '.join(titles.values())}."
    for url in urls:
        if document(inquiry, url) is None:
            text += f"\n\n{titles[url]}: {unread(inquiry, url)}."
    return text + str(sources)


RULES = (
    *PACKAGE_RULES,
    Rule(
        patterns=(re.compile(r"(?P<subject>.+)", re.DOTALL),),
        needs="search",
        lacking="what the documents say about that",
        calls=_question_calls,
        render=_question_answer,
    ),
)
