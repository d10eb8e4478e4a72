"""Which sentence of a document to quote: the one that says what a thing does, or those that answer a question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from math import log

import msgspec

from agentrt.local.prose import Sentence, sentences

OPENING = 20_000
"""Characters of a document in which it must have said what it is about."""
CANDIDATES = 16
"""Sentences looked at."""
CERTAIN = 3.0
"""What a sentence scores that names the package and a verb, or begins with "This library ..."."""

_VERB = re.compile(
    r"(?:\.\w+)*"
    r"(?:[,:]? ?\([^)]*\)| '[^']*'|(?: for)? (?:Python|framework|library|module|package|plugin|project|tool)){0,3}"
    r" (?:is|are|adds|allows|brings|builds|contains|defines|enables|exposes|extends|gives|helps|implements|lets|makes"
    r"|offers|provides|reads|serves|supports|turns)\b",
    re.IGNORECASE,
)
_INTRODUCES = re.compile(r"(?:an?|this is (?:an?|the)|this (?:library|package|module|project|tool)) ", re.IGNORECASE)
_KIND = re.compile(
    r"\b(?:library|package|module|tools?|toolkit|framework|extension|linter|parser|client|server|manager|installer"
    r"|implementation|backend|bindings?|backport|port|plugin|wrapper|checker|formatter|collection|utilit(?:y|ies))\b",
    re.IGNORECASE,
)
_BESIDE_THE_POINT = re.compile(
    r"\b(?:install(?:ed|ing)?|licen[cs]ed?|copyright|documentation|docs|bugs?|issues?|questions|contribut\w+"
    r"|sponsors?|funding|subscription|code of conduct|maintained|part of|supported|deprecated|announc\w+|launched"
    r"|alternatively)\b|^(?:It|They|You|You're|We|I|Use|Please|But|See)\b",
    re.IGNORECASE,
)


def about(text: str, name: str, *, certain: bool = False) -> str | None:
    """The sentence in which a package's README says what the package does, or None.

    `certain` is for a text that may be any part of a README: only a sentence that speaks of the package will do.
    """
    best, highest = None, CERTAIN if certain else 0.0
    place = 0
    for sentence in islice(sentences(text[:OPENING]), CANDIDATES):
        score = _introduces(sentence, name) + (1 if place == 0 else -0.5 * place)
        if score > highest:
            best, highest = sentence.text, score
        place += not sentence.listed
    return best


def _introduces(sentence: Sentence, name: str) -> float:
    text = sentence.text
    score = 1.5
    if _says_what_it_is(text, name):
        score += 4
    elif _INTRODUCES.match(text):
        score += 2
    if _KIND.search(text):
        score += 1
    if _BESIDE_THE_POINT.search(text):
        score -= 3
    if sentence.listed:
        score -= 2
    if sentence.leads:
        score -= 1
    return score


def _says_what_it_is(text: str, name: str) -> bool:
    """Whether it begins with the package's name, however spelt, and a verb of being or doing."""
    plain = re.sub(r"^(?:The|This) |[`\"“”]", "", text)
    wanted = _squash(name)
    ends = [match.start() for match in re.finditer(r"\b(?=\W)", plain[:60])]
    return any(_squash(plain[:end]) == wanted and _VERB.match(plain, end) for end in ends)


def same_name(one: str, other: str) -> bool:
    """Whether two spellings are of one package: case, hyphens, underscores, dots and blanks do not count."""
    return _squash(one) == _squash(other)


def _squash(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


# ---- sentences that answer a question --------------------------------------------------------------


class Quote(msgspec.Struct, frozen=True):
    """A sentence of the document with that number in the sequence given."""

    document: int
    text: str


MOST = 4
"""Sentences quoted for one question."""
OF_ONE = 3
"""Of them, those of one document."""

LONGEST_QUESTION = 1_000
"""Characters of a question that are looked at."""
LONGEST_DOCUMENT = 60_000
"""Characters of a document that are."""
ENOUGH = 0.4
"""Share of the question's weight that a sentence must carry."""

_DEFINES = re.compile(r"\b(?:is|are|allows?|lets?|means?|provides?|returns|evaluates|can be)\b")
_LEANS = re.compile(
    r"(?:[a-z]\w* (?!\w+s\b)|(?:Also|Alternatively|And|But|For example|Hence|However|It|Note|Or|Otherwise|So|Such|That"
    r"|The (?:above|following|former|latter|same)|Then|These|They|This|Those|Thus|You|You've|In this)\b)"
)
_EVERYDAY = """
a about an and any are as at be between by can could describe did do does each every explain for from get give had has
have how i if in installed into is it its make makes may me mean meaning means my of on one or package packages please
python should show so tell than that the their them there these they this those to use used uses using was way we were
what when where which while who why will with work working works would you your
"""
_STOPWORDS = frozenset(_EVERYDAY.split())
_CODE = re.compile(r"[`\"“‘']([^\s`\"“”'’]{1,40}(?: [^\s`\"“”'’]{1,20})?)[`\"”’']")
_NAMED = re.compile(r"\b(\w+) (?:block|clause|expression|keyword|loop|operator|statement)s?\b", re.IGNORECASE)
_TOKEN = re.compile(r"\w+(?:[.'’-]\w+)*")


def answering(question: str, documents: Sequence[tuple[str, str]]) -> list[Quote]:
    """The sentences that share the most telling words with the question; none if nothing does.

    `documents` are pairs of title and text, the most promising first.
    """
    wanted = _terms(question[:LONGEST_QUESTION])
    if not wanted:
        return []
    asks_how = question[:4].lower() == "how "
    mentioning = re.compile("|".join(re.escape(term.strip("`")) for term in sorted(wanted)), re.IGNORECASE)
    found: list[tuple[int, int, Sentence, frozenset[str]]] = []
    for document, (_, text) in enumerate(documents):
        for place, sentence in enumerate(sentences(text[:LONGEST_DOCUMENT], mentioning)):
            found.append((document, place, sentence, wanted & _terms(sentence.text)))
    weight = {term: log(1 + len(found) / (1 + sum(term in words for *_, words in found))) for term in wanted}
    titled = [1 + 0.5 * len(wanted & _terms(title)) / len(wanted) for title, _ in documents]
    ranked: list[tuple[float, int, int, str]] = []
    for document, place, sentence, words in found:
        share = sum(weight[term] for term in words) / sum(weight.values())
        if share >= ENOUGH:
            worth = share * titled[document] * 0.9**document * (1 + 0.5 / (1 + 0.3 * place)) * _manner(sentence, wanted)
            if sentence.leads and asks_how:
                worth *= 1.5
            ranked.append((worth, document, place, sentence.text))
    return _choice(sorted(ranked, key=lambda rank: -rank[0]))


def _manner(sentence: Sentence, wanted: frozenset[str]) -> float:
    """How well it would stand alone: best if it begins with what was asked for, badly if it leans on its neighbours."""
    text = sentence.text
    worth = 1.0
    if wanted <= _terms(text[:45]) and _DEFINES.search(text[:75]):
        worth = 1.5
    elif _LEANS.match(text):
        worth = 0.4
    if sentence.listed or (len(text) > 280 and not sentence.leads):
        worth *= 0.8
    return worth


def _choice(ranked: Sequence[tuple[float, int, int, str]]) -> list[Quote]:
    """The best few, the document with the best of all first, within a document in its own order."""
    chosen: list[tuple[int, int, str]] = []
    for worth, document, place, text in ranked:
        crowded = sum(d == document for d, _, _ in chosen) >= OF_ONE or any(text in t for _, _, t in chosen)
        if worth >= 0.5 * ranked[0][0] and not crowded and len(chosen) < MOST:
            chosen.append((document, place, text))
    order = list(dict.fromkeys(document for document, _, _ in chosen))
    chosen.sort(key=lambda quote: (order.index(quote[0]), quote[1]))
    return [Quote(document, text) for document, _, text in chosen]


def _terms(text: str) -> frozenset[str]:
    """The words that count, bare of endings. A small word counts when it is named as code: `with`, the if statement."""
    named = " ".join([*_CODE.findall(text), *_NAMED.findall(text)]).lower().split()
    code = {f"`{word}`" for word in named if word in _STOPWORDS}
    words = {_bare(word) for word in _TOKEN.findall(text) if word.lower() not in _STOPWORDS}
    return frozenset(words | code)


def _bare(word: str) -> str:
    bare = re.sub(r"['’]s?$", "", word.lower())
    if bare.endswith("s") and not bare.endswith("ss") and len(bare) > 3:
        bare = bare[:-1]
    for ending in ("ing", "ed", "e"):
        if bare.endswith(ending) and len(bare) - len(ending) > 3:
            return bare.removesuffix(ending)
    return bare
