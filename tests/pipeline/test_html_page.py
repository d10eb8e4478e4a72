from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.pipeline.html_page import decode, read_html

TAGS = ["p", "div", "h1", "b", "a", "li", "ul", "table", "tr", "td", "pre", "code", "main", "br", "script", "span"]


def text(page: str) -> str:
    return read_html(page)[1]


def test_paragraphs_headings_items_and_cells_are_told_apart() -> None:
    page = """<html><head><title> A  page </title><style>p {}</style></head><body><nav>Menu</nav>
        <h1>Head <em>line</em><a href="#x">¶</a></h1><p>One <b>two</b>,three<br>four.</p>tail
        <ul><li><p>a</p><p>b</p><li>c</ul>
        <table><tr><th>A<th>B<tr><td><p>1</p><td>2</table><h3>Sub</h3>text<script>no()</script></body></html>"""

    assert read_html(page) == (
        "A page",
        "# Head line\n\nOne two,three\nfour.\n\ntail\n\n- a\n\nb\n- c\n\nA | B\n1 | 2\n\n### Sub\n\ntext",
    )


def test_code_stays_as_it_stands_between_fences() -> None:
    page = "<p>So:</p><pre>\n<span># no heading</span>\n    <b>x</b> = 1\n\n```\n</pre><p>then</p>"
    assert text(page) == "So:\n\n````\n# no heading\n    x = 1\n\n```\n````\n\nthen"


@pytest.mark.parametrize("main", ["<main>{}</main>", "<div role=main>{}</div>", "<article>{}</article>"])
def test_the_main_part_is_read_where_there_is_one(main: str) -> None:
    assert text(f"<header>top</header>{main.format('<p>It is here.')}<footer>end</footer>") == "It is here."


def test_an_empty_main_part_is_no_main_part() -> None:
    assert text("<main> </main><p>It is here.") == "It is here."


def test_what_leads_elsewhere_is_not_read() -> None:
    page = "<div role=navigation>Menu</div><nav>Menu</nav><p>It is here.</p><form>Search</form><footer>(c)</footer>"
    assert text(page) == "It is here."


def test_a_page_may_be_as_broken_as_it_likes() -> None:
    assert text("<p>a<div>b<td>c</p></b>&nbsp;&#xD800;&lt;d").startswith("a\nb")
    assert text("<div>" * 30_000 + "deep").strip() == "deep"
    assert read_html("") == ("", "")


@given(st.lists(st.one_of(st.text(max_size=8), st.sampled_from(TAGS).map(lambda tag: f"<{tag}>"), st.just("</p>"))))
def test_every_text_is_a_page(pieces: list[str]) -> None:
    title, said = read_html("".join(pieces))
    assert title == title.strip()
    assert said == said.strip()
    assert "\n\n\n" not in said or "```" in said


@pytest.mark.parametrize(
    ("content", "charset", "page"),
    [
        ("für".encode(), "utf-8", "für"),
        ("für".encode("latin-1"), "iso8859-1", "für"),
        (b'<meta charset="iso-8859-2">' + "łódź".encode("iso-8859-2"), "utf-8", '<meta charset="iso-8859-2">łódź'),
        ("für “uns”".encode("windows-1252"), "utf-8", "für “uns”"),
        (b"\x81\xff", "utf-8", "\ufffd\ufffd"),
        (b'<meta charset="nonsense">\x81', "utf-8", '<meta charset="nonsense">\ufffd'),
    ],
)
def test_characters_are_those_of_the_header_or_of_the_page_or_a_good_guess(
    content: bytes, charset: str, page: str
) -> None:
    assert decode(content, charset) == page
