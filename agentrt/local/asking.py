"""How people ask about packages: patterns over the question, each with a group `subject`.

Nothing here knows a package. A word counts as the name of one because of where it stands: "what needs X",
"dependencies of X", "tell me about X and Y".
"""

from __future__ import annotations

import re


def _any_of(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in patterns)


_PACKAGES = r"(?:packages?|distributions?|librar(?:y|ies)|projects?|anything|everything|something)"
_NEEDS = r"(?:needs?|requires?|depends?\s+(?:up)?on|rel(?:y|ies)\s+on|pulls?\s+in|imports?)"
_BETWEEN = r"(?:\s+(?!(?:do|does|did|is|was|should|can)\b)[\w-]+){0,6}?"
_WORD = r"[A-Za-z0-9](?:[\w.-]{0,60}[A-Za-z0-9])?"
_SUBJECT = (
    r"(?:the\s+)?(?:(?:package|library|module|distribution)\s+)?[`\"'“‘]?"
    r"(?!(?:a|an|each|it|me|more|some|that|the|them|these|this|to|which|you)\b)"
    rf"(?P<subject>{_WORD})[`\"'”’]?"
)
# A second question behind the first.
_MORE_ASKED = r"(?:and|or|then)\s+(?:what|how|why|who|which|tell|say|describe|explain|list|show|for|in)\b"
_END = rf"(?=\s*(?:$|[?!;:,.](?:\s|$)|{_MORE_ASKED}|(?:here|in|at|directly|installed|for|right|by|as|now)\b))"

WHO_NEEDS = _any_of(
    rf"\b(?:what|which|who|{_PACKAGES})\b{_BETWEEN}\s+{_NEEDS}\s+{_SUBJECT}{_END}",
    rf"\b(?:who|{_PACKAGES})\b{_BETWEEN}\s+uses?\s+{_SUBJECT}{_END}",
    rf"\b(?:dependents|dependants|reverse\s+dependencies|users)\s+of\s+{_SUBJECT}{_END}",
    rf"\bwhy\s+(?:is|was|do\s+(?:i|we)\s+(?:have|need))\s+{_SUBJECT}\s+(?:here|installed|needed|required)\b",
)
"""The dependents of one package."""

# ---- one package or several -------------------------------------------------------------------------

_KIND = r"(?:packages?|library|libraries|modules?|distributions?)"
_NAME = (
    rf"(?:(?:the\s+)?{_KIND}\s+|the\s+(?=[^\s,]+\s+{_KIND}\b))?[`\"“‘']?"
    r"(?!(?:a|all|an|and|any|anyone|anything|each|every|everything|he|how|i|it|its|me|more|most|my|one|or|our|people"
    r"|please|she|some|someone|something|that|the|their|them|there|these|they|this|those|to|we|what|which|who|why|you|your)\b)"
    rf"{_WORD}(?:[`\"”’']+(?!\w))?(?:\s+{_KIND}\b)?"
)
_WITH = r"(?:\s*,\s*(?:and\s+|or\s+)?|\s*&\s*|\s+(?:and|or)\s+)"
_VERSUS = r"\s+(?:and|or|vs\.?|versus|with|to|from|against)\s+"
_NAMES = rf"(?P<subject>{_NAME}(?:{_WITH}{_NAME}){{0,9}})"
_TWO = rf"(?P<subject>{_NAME}{_VERSUS}{_NAME})"
_STOP = rf"(?=\s*(?:$|[?!;:,.](?:\s|$)|{_MORE_ASKED}))"
_TO_RUN = r"(?:\s+(?:to\s+(?:run|work|be\s+installed)|here|at\s+all|directly|exactly|in\s+this\s+environment))?"
_NEED = r"(?:need|require|depend\s+(?:up)?on|rely\s+on|pull\s+in|bring\s+in)"

WHAT_IT_NEEDS = _any_of(
    rf"\b(?:what|which)(?:\s+(?!do\b|does\b)[\w-]+){{0,3}}?\s+(?:do|does)\s+{_NAMES}\s+{_NEED}{_TO_RUN}{_STOP}",
    rf"\b(?:what|which|how\s+many)(?:\s+\w+)?\s+(?:dependencies|requirements|{_KIND})\s+(?:do|does)\s+{_NAMES}"
    rf"\s+(?:have|need|require|use|install){_TO_RUN}{_STOP}",
    rf"\bdependencies\s+(?:of|for)\s+{_NAMES}{_TO_RUN}{_STOP}",
    rf"\brequirements\s+of\s+{_NAMES}{_TO_RUN}{_STOP}",
    rf"(?:^|\s)(?P<subject>{_NAME})['’]s?\s+(?:[\w-]+\s+)?dependencies\b",
    rf"\b(?:what|which)(?:\s+(?!by\b)[\w-]+){{0,3}}?\s+(?:needed|required)\s+by\s+{_NAMES}{_TO_RUN}{_STOP}",
)
"""The requirements of the packages named."""

WHETHER_IT_NEEDS = _any_of(rf"^(?:do|does)\s+{_NAMES}\s+(?:really\s+)?{_NEED}\s+{_NAME}{_TO_RUN}{_STOP}")
"""Perhaps the requirements of packages: whether the words name any, only the tools can tell."""

EACH_OF_THEM = re.compile(r"\b(?:what|tell|say|describe|explain)\b.*\b(?:each|they|them|those|these)\b", re.IGNORECASE)
"""Behind such a question: what each of those found is, too."""

_HAVE = r"(?:is|are|do\s+(?:i|we)\s+have|have\s+(?:i|we))"

IS_IT_HERE = _any_of(
    rf"\b(?:is|are)\s+{_NAMES}\s+installed\b",
    rf"\bdo\s+(?:i|we)\s+have\s+{_NAMES}\s+installed\b",
    rf"\bversions?\s+of\s+{_NAMES}\s+{_HAVE}(?:\s+(?:installed|here))?{_STOP}",
    rf"\b(?:which|what)\s+{_NAMES}\s+versions?\s+{_HAVE}(?:\s+(?:installed|here))?{_STOP}",
    rf"\binstalled\s+versions?\s+of\s+{_NAMES}{_STOP}",
)
"""Packages, and nothing else: of a word that names none it is to be said that it is not installed."""

_BESIDE = r"(?:differ(?:ent)?\s+from|compared?\s+(?:to|with))"
_FOR_ME = r"(?:\s+(?:to\s+)?me)?"

WHAT_IT_IS = _any_of(
    rf"\bwhat(?:\s+is|\s+are|['’]s)\s+{_NAMES}(?:\s+(?:about|for|good\s+for|used\s+for))?{_STOP}",
    rf"\bwhat\s+(?:do|does)\s+{_NAMES}\s+do{_STOP}",
    rf"\bwhat\s+can\s+(?:i|we|one|you)\s+do\s+with\s+{_NAMES}{_STOP}",
    rf"\b(?:tell\s+me|know|say|read|info|information)(?:\s+\w+)?\s+(?:about|on)\s+{_NAMES}{_STOP}",
    rf"\b(?:describe|explain|introduce|summari[sz]e){_FOR_ME}\s+{_NAMES}{_STOP}",
    rf"\bcompare{_FOR_ME}\s+{_TWO}{_STOP}",
    rf"\bcompare{_FOR_ME}\s+{_NAMES}{_STOP}",
    rf"\bdifferences?\s+between\s+{_NAMES}{_STOP}",
    rf"\bhow\s+(?:do|does|is|are)\s+(?P<subject>{_NAME}\s+{_BESIDE}\s+{_NAME}){_STOP}",
    rf"^(?P<subject>{_NAME}\s+(?:vs\.?|versus)\s+{_NAME}){_STOP}",
    rf"\bwhat\s+{_NAMES}\s+(?:does|do|is|are){_STOP}",
    rf"(?<!latest\s)(?<!newest\s)\bversions?\s+of\s+{_NAMES}{_STOP}",
    rf"(?:^|\s)(?P<subject>{_NAME})['’]s\s+version{_STOP}",
)
"""Perhaps packages: whether the words name any, only the tools can tell."""

_BETWEEN_NAMES = re.compile(rf"\s+{_BESIDE}\s+|{_WITH}|{_VERSUS}", re.IGNORECASE)
_IN_A_NAME = re.compile(
    rf"(?:(?:the\s+)?{_KIND}\s+|the\s+)?[`\"“‘']?(?P<name>{_WORD})[`\"”’']*(?:\s+{_KIND})?", re.IGNORECASE
)


def names(subject: str) -> list[str]:
    """The names in what a pattern for several packages found, as they were written, each once."""
    found = filter(None, (_IN_A_NAME.fullmatch(part.strip()) for part in _BETWEEN_NAMES.split(subject)))
    return list(dict.fromkeys(match["name"] for match in found))
