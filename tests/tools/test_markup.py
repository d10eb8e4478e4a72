from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt_tools.markup import text_of_html


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("plain", "plain"),
        ("<p>One\n  two</p><p>Three</p>", "One two\n\nThree"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<b>bold</b>er and <i>bolder</i> still", "bolder and bolder still"),
        ("<ul><li>one</li><li>two</li></ul>after", "one\ntwo\n\nafter"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<h1>Title</h1>Text", "Title\n\nText"),
        ("<pre>def f():\n    return 1\n</pre>", "def f():\n    return 1"),
        ("before<script>if (a < b) { x('</p>') }</script>after", "beforeafter"),
        ("<style>p { color: red }</STYLE >shown", "shown"),
        ("<head><title>T</title><meta x></head><body><header>Head</header>Body", "Head\n\nBody"),
        ("<svg/>after", "after"),
        ("<script>never ended <p>text", ""),
        ("a<!-- <p>hidden</p> -->b", "ab"),
        ("a<!-- never ended <p>hidden", "a"),
        ("<!DOCTYPE html><?xml version='1.0'?>x", "x"),
        ("1 &lt; 2 &amp;&amp; 3 &gt; 2 &#8364; &#x20AC; &nbsp;|", "1 < 2 && 3 > 2 € € |"),
        ("&unknown; &#99999999999999999999; & &;", "&unknown; &#99999999999999999999; & &;"),
        ("a < b and c > d", "a < b and c > d"),
        ("<p <p <p text", "<p <p <p text"),
    ],
)
def test_a_page_reads_as_a_person_would_read_it(page: str, text: str) -> None:
    assert text_of_html(page) == text


@given(
    st.one_of(
        st.text(),
        st.lists(st.sampled_from(["<", ">", "p", "</", "!--", "-->", "script", "pre", " ", "a", "&", "#", ";"])).map(
            "".join
        ),
    )
)
def test_every_text_is_read(page: str) -> None:
    text = text_of_html(page)
    assert text == text.strip()


HOSTILE = [
    "<a ",
    "<",
    "</",
    "<!--",
    "<!",
    "<?",
    "<![CDATA[",
    "<script>",
    "<script></script",
    "<a href='",
    "&",
    "&#",
    "<p>",
    "<pre>",
    "<a" + "a" * 50,
    " ",
]


@pytest.mark.parametrize("sign", HOSTILE)
def test_no_page_takes_more_than_linear_time(sign: str) -> None:
    page = (sign * 1_000_000)[:1_000_000]
    began = time.process_time()
    text_of_html(page)
    assert time.process_time() - began < 4, "quadratic time would be minutes"
