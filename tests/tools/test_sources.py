from __future__ import annotations

import asyncio
import time

from agentrt.toolbox.context import Context
from agentrt_tools.sources import Source, show_sources, title_of


def test_sources_are_emitted_as_the_server_knows_them_and_no_source_is_no_news() -> None:
    told: list[object] = []
    context = Context[object](None, tell=told.append)

    asyncio.run(show_sources(context, [Source(id="d1", title="Leases", uri="http://x/1")]))
    asyncio.run(show_sources(context, []))
    assert told == [{"sources": [{"id": "d1", "title": "Leases", "uri": "http://x/1"}]}]


def test_a_title_is_that_of_the_page_or_the_first_line_that_says_something() -> None:
    assert title_of("text", "<html><TITLE lang=de>\n Grün &lt;3 </TITLE>") == "Grün <3"
    assert title_of("# Head\n\ntext", "<titles>no") == "Head"
    assert title_of("\n---\n##\n\n  a   b \n", "<title></title>") == "a b"
    assert title_of('<p align="center">\n<h1>HTTP <em>two</em></h1>\ntext') == "HTTP two"
    assert title_of("a < b > c") == "a < b > c"
    assert title_of("") == ""
    assert title_of("x" * 500) == "x" * 119 + "…"


def test_a_page_made_to_be_slow_is_not() -> None:
    began = time.perf_counter()
    for page in ("<title " * 300_000, "<title" * 300_000, "<title>" * 300_000, "<title" + " " * 2_000_000):
        title_of("", page)
        title_of(page)
    assert time.perf_counter() - began < 2
