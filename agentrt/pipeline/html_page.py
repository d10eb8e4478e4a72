"""The text of an HTML page as the chunker likes it: headings as `#` lines, code between fences, a line for each item.

The page is parsed by lexbor (in the package `selectolax`), in C. What is read is what stands in the page's own main
part, if it has one. Runs in a worker process: pages come from strangers.
"""

from __future__ import annotations

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

_UNSEEN = [
    "aside", "button", "footer", "form", "iframe", "nav", "noscript", "object", "script", "select", "style", "svg",
    "template", "textarea",
]  # fmt: skip
_UNSEEN_ROLES = "[role=navigation], [role=search], [role=banner], [role=contentinfo]"
_MAINS = ("main", "[role=main]", "article", "body")
_INLINE = frozenset(
    {"a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "img"}
    | {"ins", "kbd", "label", "mark", "output", "q", "ruby", "s", "samp", "small", "span", "strike", "strong", "sub"}
    | {"sup", "time", "tt", "u", "var", "wbr"}
)
_LINES = frozenset({"br", "caption", "dd", "div", "dt", "figcaption", "li", "summary", "tr"})
_CELLS = frozenset({"td", "th"})
_HEADINGS = {f"h{level}": "#" * level + " " for level in range(1, 7)}
_PERMALINK = "¶"
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([a-z0-9_-]{2,20})", re.I)


def decode(content: bytes, charset: str) -> str:
    """The page in characters: by the stated charset, else by the one it states itself, else as well as it goes."""
    stated = _META_CHARSET.search(content[:2048])
    for name in (charset, stated[1].decode() if stated else "windows-1252"):
        try:
            return content.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    return content.decode(charset, "replace")


def read_html(page: str | bytes) -> tuple[str, str]:
    """Title and text of the page, whose bytes are in UTF-8 if it comes in bytes; either may be empty."""
    tree = LexborHTMLParser(page)
    title = tree.css_first("title")
    named = " ".join(title.text().split()) if title is not None else ""
    tree.strip_tags(_UNSEEN)
    text = ""
    for selector in _MAINS:
        main = tree.css_first(selector)
        if main is None:
            continue
        if selector == "body":
            for node in main.css(_UNSEEN_ROLES):
                node.decompose()
        if text := _Text().of(main):
            break
    return named, text


class _Text:
    """Text as it grows. A gap goes between two pieces once both are there: none in a line, else the one asked for."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._gap = ""
        self._space = False
        self._mark = ""
        self._block: int | None = None

    def of(self, main: LexborNode) -> str:
        """What a person would read of this part."""
        pre: int | None = None
        for node in main.traverse(include_text=True):
            if not node.is_text_node:
                self._enter(node.tag or "")
                continue
            block, inside_pre = _block_of(node)
            if inside_pre is None:
                self._add(node.text_content or "", block)
            elif inside_pre.mem_id != pre:  # its first text: take all of it at once, as it stands
                pre = inside_pre.mem_id
                self._add_code(inside_pre.text())
        return "".join(self._pieces)

    def _enter(self, tag: str) -> None:
        if tag in _INLINE:
            return
        if tag in _CELLS:
            self._gap = self._gap or " | "
        elif tag in _LINES:
            self._gap = "\n\n" if self._gap == "\n\n" else "\n"
            self._mark = "- " if tag == "li" else ""
        elif self._gap not in {"\n", " | "}:  # the first block of an item or a cell stands beside its mark
            self._gap = "\n\n"

    def _add(self, raw: str, block: LexborNode) -> None:
        text = " ".join(raw.split())
        if text in {"", _PERMALINK}:
            self._space |= text == ""
            return
        gap = self._gap
        heading = _HEADINGS.get(block.tag or "")
        if block.mem_id == self._block and (not gap or heading):  # the line goes on
            gap = " " if gap or self._space or raw[0].isspace() else ""
        elif heading:
            gap, self._mark = "\n\n", heading
        self._put(gap if gap or block.mem_id == self._block else "\n\n", text)
        self._block = block.mem_id
        self._space = raw[-1].isspace()

    def _add_code(self, raw: str) -> None:
        code = raw.strip("\n").rstrip()
        if not code:
            return
        fence = "```"
        while fence in code:
            fence += "`"
        self._mark = ""
        self._put("\n\n", f"{fence}\n{code}\n{fence}")
        self._block = None

    def _put(self, gap: str, text: str) -> None:
        if self._pieces:
            self._pieces.append(gap)
        self._pieces += [self._mark, text]
        self._gap = self._mark = ""


def _block_of(text: LexborNode) -> tuple[LexborNode, LexborNode | None]:
    """The nearest element around it that makes a block, and the `pre` around it if that is the one."""
    node = text.parent
    while node is not None and node.tag in _INLINE and node.parent is not None:
        node = node.parent
    assert node is not None
    return node, node if node.tag == "pre" else None
