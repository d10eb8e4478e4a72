from __future__ import annotations

import pytest

from agentrt.pipeline.document import DocumentFailed, Raw
from agentrt.pipeline.kind import kind_of


@pytest.mark.parametrize(
    ("media", "name", "content", "kind"),
    [
        ("text/html", "x", b"plain", "html"),
        ("application/xhtml+xml", "x", b"", "html"),
        ("application/pdf", "x", b"plain", "pdf"),
        ("text/plain", "x.html", b"<html>", "text"),
        ("text/markdown", "x", b"%PDF-", "text"),
        ("application/json", "x", b"{}", "text"),
        ("application/xml", "x", b'<?xml version="1.0"?><html xmlns="x">', "html"),
        ("", "x.txt", b"some text", "text"),
        ("", "x.md", "Ünïcode\n".encode(), "text"),
        ("", "x.py", b"import os\n", "text"),
        ("", "x", b"", "text"),
        ("", "x.html", b"no tag", "html"),
        ("", "x.HTM", b"no tag", "html"),
        ("", "x.PDF", b"not found, says the server", "pdf"),
        ("", "x", b"\xef\xbb\xbf \n<!-- hi -->\n<!DOCTYPE html><p>", "html"),
        ("", "x.txt", b"<HTML lang=en>", "html"),
        ("", "x.txt", b"<htmlx>", "text"),
        ("", "x.txt", b"%PDF-1.7 ...", "pdf"),
        ("application/octet-stream", "x", b"\0\0\n%PDF-1.7", "pdf"),
        ("application/octet-stream", "x", b"text", "text"),
        ("", "cut", b"x" * 4095 + "ü".encode(), "text"),
    ],
)
def test_the_stated_type_counts_and_then_the_first_bytes(media: str, name: str, content: bytes, kind: str) -> None:
    assert kind_of(Raw(content, media, "utf-8", name)) == kind


@pytest.mark.parametrize(
    ("media", "content", "told"),
    [
        ("image/png", b"text", 'the document is "image/png"'),
        ("application/xml", b"<?xml version='1.0'?><feed>", 'the document is "application/xml"'),
        ("", b"<?xml version='1.0'?><feed>", "the document is of an unknown kind"),
        ("", b"\x89PNG\r\n\x1a\n", "the document is of an unknown kind"),
        ("", b"text\0text", "the document is of an unknown kind"),
    ],
)
def test_what_nobody_reads_is_its_own_class_of_failure(media: str, content: bytes, told: str) -> None:
    with pytest.raises(DocumentFailed, match=told) as failed:
        kind_of(Raw(content, media, "utf-8", "x.bin"))
    assert failed.value.kind == "unsupported"
