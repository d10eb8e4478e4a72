from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.egress.media import media_type


@pytest.mark.parametrize(
    ("header", "read"),
    [
        ("", ("", "utf-8")),
        ("Text/HTML", ("text/html", "utf-8")),
        ("text/html; charset=ISO-8859-1", ("text/html", "iso8859-1")),
        ('text/html; boundary=x; Charset="windows-1252"', ("text/html", "cp1252")),
        ("text/plain; charset=klingon", ("text/plain", "utf-8")),
        ("text/plain; charset=a\x00b", ("text/plain", "utf-8")),
    ],
)
def test_a_header_is_read_as_type_and_codec(header: str, read: tuple[str, str]) -> None:
    assert media_type(header) == read


@pytest.mark.parametrize("codec", ["idna", "hex", "zip", "rot13", "unicode_escape", "punycode", "undefined", "utf-7"])
def test_a_codec_that_is_not_a_charset_of_documents_is_read_as_utf_8(codec: str) -> None:
    assert media_type(f"text/plain; charset={codec}") == ("text/plain", "utf-8")


@given(st.text())
def test_every_header_yields_a_codec_that_decodes(header: str) -> None:
    _, charset = media_type(header)
    assert isinstance(b"abc".decode(charset, "replace"), str)
