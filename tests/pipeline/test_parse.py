from __future__ import annotations

import pytest

from agentrt.pipeline.document import DocumentFailed
from agentrt.pipeline.kind import Kind
from agentrt.pipeline.parse import Order, parse
from tests.pipeline.documents import pdf


def order(kind: Kind, content: bytes, charset: str = "utf-8", chunk_size: int = 1200) -> Order:
    return Order(kind, content, charset, chunk_size)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# The title #\n\ntext", "The title"),
        ("\n\nThe title\n=====\ntext", "The title"),
        ("=====\nThe title\n=====\n\ntext", "The title"),
        ("A sentence that is no heading.\n\nText\n====\n", ""),
        ("## A section\n", ""),
        ("#hashtag", ""),
        ("\ufeff# The title", "The title"),
    ],
)
def test_a_text_is_called_by_the_heading_that_it_begins_with(text: str, title: str) -> None:
    assert parse(order("text", text.encode())).title == title


def test_passages_are_of_the_size_that_was_ordered() -> None:
    parsed = parse(order("text", b"word " * 1000, chunk_size=100))
    assert len(parsed.chunks) == 50
    assert all(len(chunk.text) <= 100 for chunk in parsed.chunks)


def test_html_is_cut_at_its_headings() -> None:
    page = "<title>T</title>" + "".join(f"<h2>Part {n}</h2><p>{'word ' * 100}</p>" for n in range(3))
    parsed = parse(order("html", page.encode(), chunk_size=600))

    assert parsed.title == "T"
    assert [chunk.text.splitlines()[0] for chunk in parsed.chunks] == ["## Part 0", "## Part 1", "## Part 2"]


def test_a_pdf_has_pages_and_perhaps_a_title() -> None:
    parsed = parse(order("pdf", pdf("The first page.", "The second.", title="A book")))

    assert parsed.title == "A book"
    assert [chunk.text for chunk in parsed.chunks] == ["The first page.\n\nThe second."]
    assert parse(order("pdf", pdf("x"))).title == ""


@pytest.mark.parametrize("content", [b"", b"nonsense", pdf("x")[:60]])
def test_what_is_not_a_pdf_is_called_so(content: bytes) -> None:
    with pytest.raises(DocumentFailed, match="is not a PDF that can be read") as failed:
        parse(order("pdf", content))
    assert failed.value.kind == "not_a_pdf"


@pytest.mark.parametrize(("kind", "content"), [("text", b" \n"), ("html", b"<p> </p>"), ("pdf", pdf(""))])
def test_a_document_without_text_is_its_own_class_of_failure(kind: Kind, content: bytes) -> None:
    with pytest.raises(DocumentFailed, match="the document has no text") as failed:
        parse(order(kind, content))
    assert failed.value.kind == "empty"


def test_half_a_character_does_no_harm() -> None:
    content = "text \ud800 more".encode("utf-16-le", "surrogatepass")
    (chunk,) = parse(order("text", content, "utf-16-le")).chunks
    assert chunk.text.encode()
    (chunk,) = parse(order("html", b"<p>one+2AA-two", "utf-7")).chunks
    assert chunk.text == "onetwo"
