"""Reads a Content-Type header. Pure."""

from __future__ import annotations

import codecs

_TEXT_CODECS = frozenset(
    {"utf-8", "utf-16", "utf-16-le", "utf-16-be", "ascii", "koi8-r", "koi8-u", "shift_jis", "euc_jp", "iso2022_jp"}
    | {"gbk", "gb2312", "gb18030", "big5", "euc_kr", "cp866", "cp874", "mac-roman"}
    | {f"iso8859-{number}" for number in range(1, 17)}
    | {f"cp{number}" for number in range(1250, 1259)}
)
"""Charsets of the web under Python's names. The rest of Python's codecs are not charsets of documents, and some cost
quadratic time (idna) or decode to no text at all."""


def media_type(header: str) -> tuple[str, str]:
    """The type in lower case ("" if there is none), and the codec of its charset ("utf-8" if it names none of ours)."""
    kind, *parameters = (part.strip() for part in header.split(";"))
    charset = "utf-8"
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = _codec(value.strip().strip("\"'"))
            break
    return kind.lower(), charset


def _codec(name: str) -> str:
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return "utf-8"
    return found if found in _TEXT_CODECS else "utf-8"
