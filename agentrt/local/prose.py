"""The prose of a document, without its markup: what in it can be quoted.

Documents come as Markdown, as reStructuredText or as plain text in the manner of Python's own
reference, and nothing says which, so one reader takes all three. It goes line by line, leaves out what
is no prose (headings, code, tables, images, notes, link targets), undresses the rest and cuts it into
sentences. It would rather lose a sentence than pass on a line of code.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import msgspec

LONGEST = 400
"""Characters of the longest sentence that is quoted."""
LONGEST_LIST = 320
"""Characters of a sentence and the items it takes along."""


class Sentence(msgspec.Struct, frozen=True):
    """One sentence as it may be quoted.

    `listed`: it stands in a list. `leads`: it announced one with a colon and takes its items along, as many as
    fit, and " …" for the rest.
    """

    text: str
    listed: bool = False
    leads: bool = False


class _Paragraph(msgspec.Struct, frozen=True):
    text: str
    listed: bool
    indented: bool


_BLOCK_TAG = re.compile(r"<!--|-->|<(/?)(h[1-6]|pre|table|style|script|summary|picture|svg)\b[^<>]*>", re.IGNORECASE)
_BREAKING = re.compile(r"</?(?:p|div|ul|ol|br|hr|center|details|blockquote)\b[^<>]*>", re.IGNORECASE)
_ITEM = re.compile(r"<li\b[^<>]*>", re.IGNORECASE)
_INLINE = re.compile(
    r"</?(?:a|abbr|b|code|em|font|i|img|kbd|li|small|source|span|strong|sub|sup|u|video)\b[^<>]*>", re.IGNORECASE
)

_FENCE = re.compile(r"\s*```")
_QUOTED = re.compile(r"\s*>(?!>) ?")
_SKIPS_BLOCK = re.compile(r"\s*(?:\.\.(?: |$)|!!! |\?\?\?|(?:Note|Warning|Caution|Tip|See also):\s*$)")
_SKIPS_LINE = re.compile(r"\s*(?:$|#{1,6} |>>>|[|+]|\[[^\]]+\]:\s|:[\w-][^:`]*:(?:\s|$)|::+$)")
_BORDER = re.compile(r"\s*=+(?: +=+)+\s*$")
_UNDERLINE = re.compile(r"\s*([=\-~^\"'*+#`:._])\1{2,}\s*$")
_BULLET = re.compile(r"\s*(?:[-*+•]|\d{1,2}[.)])\s+(?=\S)")

# A character the pattern cannot do without, the pattern, what takes its place. Each pattern stops at the next
# character of its own kind or after a fixed length, so that no text costs more than its length.
_UNDRESS: tuple[tuple[str, re.Pattern[str], str], ...] = tuple(
    (needed, re.compile(pattern), replacement)
    for needed, pattern, replacement in (
        ("[", r"!\[[^\[\]]*\](?:\([^()]*\)|\[[^\[\]]*\])", ""),  # an image
        ("[", r"\[\s*\](?:\([^()]*\)|\[[^\[\]]*\])", ""),  # the link around one
        (
            "[",
            r"\[([^\[\]]+)\](?:\([^()\s]*(?:\([^()]*\)[^()\s]*)?(?:\s+\"[^\"()]*\")?\)|\[[^\[\]]*\])",
            r"\1",
        ),  # a link
        ("[", r" ?\[(?:\d+|#\w*|\^\w+)\]_?", ""),  # a footnote's mark
        ("[", r"\[(?<![\w\]`]\[)([A-Za-z][^\[\]`\"']*)\](?![\w(:\[])", r"\1"),  # a link whose target stands elsewhere
        ("``", r"``([^`]+)``", r"`\1`"),
        ("`", r":[\w:+.-]{1,40}:`~?([^`<]*[^`<\s])(?:\s*<[^>`]*>)?`", r"\1"),  # a role
        ("`", r"`([^`<]*[^`<\s])\s*<[^>`]*>`__?", r"\1"),
        ("`", r"`([^`]+)`__?", r"\1"),
        ("_", r"(?<![\w`.])([A-Za-z][\w.-]{0,60}[A-Za-z0-9])__?(?=[\s.,;:!?)]|$)", r"\1"),  # a reference
        ("|", r"\|[A-Za-z][\w -]*\|_?", ""),  # a substitution
        ("**", r"\*\*([^*]+)\*\*", r"\1"),
        ("*", r"\*(?<![\w*]\*)([^\s*]|[^\s*][^*]*[^\s*])\*(?![\w*])", r"\1"),
        ("_", r"_(?<!\w_)([^\s_]|[^\s_][^_]*[^\s_])_(?!\w)", r"\1"),
        ("<", r"<(https?://[^<>\s]*)>", r"\1"),
        ("\\", r"\\([\\`*_{}\[\]()#+.!|<>-])", r"\1"),
    )
)

_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|resp|approx|Dr|Mr|St|No|Inc)|\b[A-Z])\.$")
# A small letter begins a sentence only on a new line: there it is a name, elsewhere mostly an abbreviation's doing.
_SENTENCE_END = re.compile(r"[.!?][\"”’')\]`]*(?:[^\S\n]*\n\s*|\s+(?=[\"“‘'(`\[]*[A-Z0-9]))")
# Code, markup that was not understood, navigation, what steers a terminal or the direction of writing, history.
_NOT_PROSE = re.compile(
    r"::=|>>>|://| [|•·] |\s[=<>]=?\s|[{}$\\]|\w\(\w+=|^import |^[^a-zA-Z]*$"
    r"|[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]"
    r"|^(?:Changed|New|Added|Deprecated|Removed) (?:in|since) |^(?:For|See) .*\b(?:see|also)\b"
)
_WORD = re.compile(r"[^\W\d_]{2,}|\b[aAI]\b")


def sentences(text: str, mentioning: re.Pattern[str] | None = None) -> Iterator[Sentence]:
    """The sentences of `text` that can be quoted, in its order.

    With `mentioning`, only those of paragraphs in which it is found: a long document then costs a fifth.
    """
    lead: str | None = None
    items: list[str] = []
    for paragraph in _paragraphs(_without_html(text)):
        if lead is not None and not paragraph.listed and not paragraph.indented:
            yield from _led(lead, items)
            lead, items = None, []
        if mentioning is not None and lead is None and not mentioning.search(paragraph.text):
            continue
        undressed = _undress(paragraph.text)
        if lead is not None and paragraph.listed:
            items.append(" ".join(undressed.split()))
        for number, sentence in enumerate(_split(undressed)):
            if sentence.endswith(":") and not paragraph.listed:
                lead = sentence
            elif _is_prose(sentence, strict=paragraph.indented or paragraph.listed or number > 0):
                yield Sentence(sentence, paragraph.listed)
    if lead is not None:
        yield from _led(lead, items)


def _led(lead: str, items: list[str]) -> Iterator[Sentence]:
    """The sentence that announces a list, with as much of the list as fits; none if no list came."""
    fitting: list[str] = []
    room = LONGEST_LIST - len(lead)
    for item in items:
        room -= len(item) + 2
        if room < 0:
            break
        fitting.append(item)
    if not fitting or not _is_prose(lead.rstrip(":"), strict=False):
        return
    text = lead
    for item in fitting:
        text += (" " if text[-1] in ".:!?" else "; ") + item
    yield Sentence(text if len(fitting) == len(items) else text + " …", leads=True)


def _without_html(text: str) -> str:
    if "<" not in text:
        return text
    kept: list[str] = []
    start = 0
    opened: re.Match[str] | None = None
    for tag in _BLOCK_TAG.finditer(text):
        if opened is None and not tag[0].startswith(("</", "-->")):
            opened = tag
        elif opened is not None and _closes(tag, opened):
            kept.append(text[start : opened.start()])
            start, opened = tag.end(), None
    kept.append(text[start:])
    return _INLINE.sub("", _ITEM.sub("\n- ", _BREAKING.sub("\n\n", "\n\n".join(kept))))


def _closes(tag: re.Match[str], opened: re.Match[str]) -> bool:
    if opened[0] == "<!--":
        return tag[0] == "-->"
    return tag[1] == "/" and tag[2].lower() == opened[2].lower()


def _paragraphs(text: str) -> Iterator[_Paragraph]:
    lines: list[str] = []
    listed = indented = in_table = False
    for line in _outside_blocks(text):
        if in_table or _BORDER.match(line):
            in_table = bool(line.strip())
            continue
        bullet = _BULLET.match(line)
        underline = _UNDERLINE.match(line)
        ends = underline or _SKIPS_LINE.match(line)
        if underline and len(lines) == 1:
            lines = []  # It was a heading.
        if lines and (bullet or ends):
            yield _Paragraph("\n".join(lines), listed, indented)
            lines = []
        if ends:
            continue
        if not lines:
            listed, indented = bullet is not None, line[:1].isspace()
        lines.append(line[bullet.end() :] if bullet else line)
    if lines:
        yield _Paragraph("\n".join(lines), listed, indented)


def _outside_blocks(text: str) -> Iterator[str]:
    """The lines that stand in no fence, directive, note or literal block, with a blank line for each block."""
    fenced = noted = False
    margin: int | None = None  # While not None, blank lines and lines indented deeper are left out.
    for raw in text.expandtabs(4).split("\n"):
        quoted = _QUOTED.match(raw)
        noted = quoted is not None and (noted or raw[quoted.end() :].startswith("[!"))
        line = raw[quoted.end() :] if quoted else raw
        if _FENCE.match(line):
            fenced = not fenced
            yield ""
        if fenced or noted or _FENCE.match(line):
            continue
        indent = len(line) - len(line.lstrip())
        if margin is not None and (not line.strip() or indent > margin):
            continue
        margin = None
        if _SKIPS_BLOCK.match(line):
            margin = indent
            yield ""
            continue
        yield line
        if line.rstrip().endswith("::"):
            margin = indent
            yield ""


def _undress(paragraph: str) -> str:
    text = html.unescape(paragraph)
    for needed, pattern, replacement in _UNDRESS:
        if needed in text:
            text = pattern.sub(replacement, text)
    return text.strip()


def _split(text: str) -> Iterator[str]:
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if not _ABBREVIATION.search(text[max(start, end.start() - 8) : end.start() + 1]):
            yield " ".join(text[start : end.end()].split())
            start = end.end()
    if rest := " ".join(text[start:].split()):
        yield rest


def _is_prose(sentence: str, *, strict: bool) -> bool:
    """Whether it reads like a sentence; `strict` asks for a capital in front and a full stop behind."""
    if len(sentence) > LONGEST or _NOT_PROSE.search(sentence) or sentence.endswith(":"):
        return False
    words = _WORD.findall(sentence)
    if len(words) < 4 or sum(map(len, words)) < 0.6 * len(sentence):
        return False
    opening = sentence.lstrip("\"“‘'(`")[:1]
    return not strict or ((opening.isupper() or opening.isdigit()) and sentence[-1] in '.!?)”"')
