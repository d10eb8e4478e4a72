from __future__ import annotations

import msgspec
import pytest

from agentrt.local.plan import Call, Inquiry
from agentrt.local.results import Hit, Sources, document, hits, quoted, rows, said, unread

NUMBERS = msgspec.json.Decoder(list[int])


def inquiry(results: dict[Call, str], *offered: str) -> Inquiry:
    return Inquiry("why?", "it", dict.fromkeys(offered, "it"), results)


@pytest.mark.parametrize(
    ("said", "read"), [("[1, 2]", [1, 2]), ("[]", []), ("", None), ("oops", None), ('["a"]', None)]
)
def test_rows_that_cannot_be_read_are_none_and_not_an_empty_list(said: str, read: list[int] | None) -> None:
    assert rows(inquiry({Call("count", "x"): said}), "count", "x", NUMBERS) == read


def test_a_call_that_was_not_made_has_no_rows() -> None:
    assert rows(inquiry({}), "count", "x", NUMBERS) is None
    assert hits(inquiry({Call("search", "why?"): '[{"title": "T", "url": "u", "score": 1}]'})) == [Hit("T", "u")]


def test_a_remark_is_no_document_and_is_told_instead() -> None:
    fetched = inquiry({Call("fetch_document", "u"): "404", Call("fetch_document", "v"): "Title\n\nText."})
    assert document(fetched, "u") is None
    assert unread(fetched, "u") == "its document could not be read: `fetch_document` said “404”"
    assert document(fetched, "v") == "Title\n\nText."
    assert unread(inquiry({}), "u").endswith("for I may not call `fetch_document`")
    assert unread(inquiry({}, "fetch_document"), "u") == "its document was not read"


def test_what_was_said_is_cut_and_cannot_steer_a_terminal() -> None:
    assert quoted("a\n\x1b[2J  b") == "“a [2J b”"
    assert quoted("x" * 900) == f"“{'x' * 200}…”"
    assert said(inquiry({}), "count", "x") == "“”"


def test_a_document_cited_twice_has_one_number() -> None:
    sources = Sources()
    assert str(sources) == ""
    assert [sources.cite("A", "u"), sources.cite("B", "v"), sources.cite("A", "u")] == ["[1]", "[2]", "[1]"]
    assert str(sources) == "\n\nSources:\n[1] A: u\n[2] B: v"
