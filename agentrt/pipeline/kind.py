"""What kind of document some bytes are. Pure.

A server says so by Content-Type. Of a file, and where the server does not know, the first bytes tell, then the name,
and what else is text in UTF-8 is read as text. What calls itself a PDF and is none is read as nothing else: it was
damaged, and its owner wants to know.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal

from agentrt.pipeline.document import DocumentFailed, Raw

Kind = Literal["text", "html", "pdf"]

_BY_MEDIA: dict[str, Kind] = {
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/pdf": "pdf",
    "application/json": "text",
    "application/jsonl": "text",
    "application/x-ndjson": "text",
}
_UNKNOWN_MEDIA = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_XML = frozenset({"text/xml", "application/xml"})
_HTML_NAMES = frozenset({".html", ".htm", ".xhtml"})
_HTML = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:<!--.{0,1000}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_XHTML = re.compile(rb"<html\b", re.I)
_SNIFFED = 4096


def kind_of(raw: Raw) -> Kind:
    """How this document is read.

    Raises:
        DocumentFailed: There is no reader for it.
    """
    head = raw.content[:_SNIFFED]
    if raw.media in _BY_MEDIA:
        return _BY_MEDIA[raw.media]
    if raw.media in _XML:
        return _read_as(_markup(head), raw)
    if raw.media.startswith("text/"):
        return "text"
    if raw.media not in _UNKNOWN_MEDIA:
        return _read_as(None, raw)
    suffix = PurePosixPath(raw.name.lower()).suffix
    if b"%PDF-" in head[:1024] or suffix == ".pdf":
        return "pdf"
    if _HTML.match(head) or suffix in _HTML_NAMES:
        return "html"
    if head.lstrip().startswith(b"<?xml"):
        return _read_as(_markup(head), raw)
    return _read_as("text" if _is_text(head) else None, raw)


def _markup(head: bytes) -> Kind | None:
    return "html" if _XHTML.search(head) else None


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return len(head) == _SNIFFED and error.start > _SNIFFED - 4  # the cut went through a character
    return True


def _read_as(kind: Kind | None, raw: Raw) -> Kind:
    if kind is None:
        what = f'"{raw.media}"' if raw.media not in _UNKNOWN_MEDIA else "of an unknown kind"
        raise DocumentFailed(f"the document is {what}; UTF-8 text, Markdown, HTML and PDF are read", kind="unsupported")
    return kind
