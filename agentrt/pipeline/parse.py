"""From the bytes of a document to its passages. Plain functions without a clock, for a thread or a worker process."""

from __future__ import annotations

import re

import msgspec

from agentrt.pipeline.chunk import split
from agentrt.pipeline.document import DocumentFailed, Parsed
from agentrt.pipeline.kind import Kind
from agentrt.surrogates import mended_text

READER = "1"
"""Another one makes every document be done anew: change it with the text that the readers make, or how it is cut."""

_HEADING = re.compile(
    r"\s*(?:#[ \t]+([^\n]+)|(?:([=*#-])\2{2,}[ \t]*\n)?[ \t]*([^\n]+)\n([=*#-])\4{2,}[ \t]*(?:\n|\Z))"
)


class Order(msgspec.Struct, frozen=True):
    """One document to be read. `chunk_size` is the most characters of a passage."""

    kind: Kind
    content: bytes
    charset: str
    chunk_size: int


def parse(order: Order) -> Parsed:
    """Read a document and cut it into passages.

    Raises:
        DocumentFailed: It cannot be read, or there is nothing in it.
    """
    title, text = map(mended_text, _read(order))
    chunks = split(text, size=order.chunk_size)
    if not chunks:
        why = " (pages that are pictures?)" if order.kind == "pdf" else ""
        raise DocumentFailed(f"the document has no text{why}", kind="empty")
    return Parsed(title, chunks)


def _read(order: Order) -> tuple[str, str]:
    match order.kind:
        case "html":
            from agentrt.pipeline.html_page import decode, read_html  # noqa: PLC0415 - of the extra `ingest`

            # In UTF-8, for that is what is parsed: beside the tree there need not be a `str` of twice its size.
            return read_html(decode(order.content, order.charset).encode(errors="ignore"))
        case "pdf":
            from agentrt.pipeline.pdf_file import read_pdf  # noqa: PLC0415 - of the extra `ingest`

            return read_pdf(order.content)
        case "text":
            text = order.content.decode(order.charset, "replace").removeprefix("\ufeff")
            return _title(text), text


def _title(text: str) -> str:
    """The heading that a text begins with, in Markdown or reStructuredText."""
    heading = _HEADING.match(text[:1000])
    return (heading[1] or heading[3]).strip().rstrip("#").strip() if heading else ""
