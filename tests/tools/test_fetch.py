from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpcore2
import pytest

from agentrt.egress.egress import Egress
from agentrt.errors import ToolInvalid
from agentrt.toolbox.call import Caller
from agentrt.toolbox.context import Context, Tell
from agentrt.toolbox.outcome import ToolOutcome
from agentrt_tools.fetch import fetch_tool


async def resolve(host: str, port: int) -> Sequence[str]:
    return ["93.184.216.34"]


def fetched(
    answer: bytes, url: str = "http://docs.example/x", max_chars: int = 50_000, tell: Tell = lambda _: None
) -> ToolOutcome:
    """What the model gets when the whole internet says `answer`."""

    async def main() -> ToolOutcome:
        async with Egress(resolve=resolve, network=httpcore2.AsyncMockBackend([answer])) as egress:
            caller = Caller()
            arguments = '{"url": "' + url + '"}'
            context = Context[object](None, tell=tell)
            outcome = await caller.call(fetch_tool(egress, max_chars=max_chars), arguments, context)
            caller.close()
            return outcome

    return asyncio.run(main())


def page(body: str, kind: str = "text/plain; charset=utf-8", status: str = "200 OK") -> bytes:
    data = body.encode()
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


def test_text_comes_as_it_is_and_html_without_its_tags() -> None:
    assert fetched(page("# Grün\n\n*as* it is\n", "text/markdown")).content == "# Grün\n\n*as* it is"
    assert fetched(page("<h1>Grün</h1><p>a &amp; b", "text/html; charset=utf-8")).content == "Grün\n\na & b"


def test_a_long_document_is_cut_and_says_so() -> None:
    outcome = fetched(page("x" * 2500), max_chars=1000)
    assert outcome.content == "x" * 1000 + "\n[cut here: 1,500 of 2,500 characters are left out]"


def test_a_very_long_page_says_that_only_its_beginning_was_read() -> None:
    hidden = f"<!--{'x' * 2_000_000}-->"
    unread = f"only the first 2,000,000 of {len(hidden) + 4:,} characters of HTML were read"

    assert fetched(page(f"seen{hidden}", "text/html")).content == f"seen\n[cut here: {unread}]"
    assert fetched(page(f"seen{hidden}", "text/html"), max_chars=1).content == (
        f"s\n[cut here: 3 of 4 characters are left out; {unread}]"
    )
    assert unread in fetched(page(f"    {hidden}", "text/html")).content
    assert fetched(page("<p>" + "x" * 1_999_997, "text/html"), max_chars=1).content.endswith(
        "1,999,997 characters are left out]"
    )


def test_the_toolbox_does_not_cut_what_the_tool_lets_through() -> None:
    assert fetched(page("€" * 30_000)).content == "€" * 30_000


@pytest.mark.parametrize(
    ("answer", "url", "code", "told"),
    [
        (page(""), "http://10.0.0.1/", "egress_refused", "10.0.0.0/8"),
        (page(""), "file:///etc/passwd", "egress_refused", "only http and https"),
        (page("", "image/png"), "http://docs.example/", "egress_refused", "image/png"),
        (b"rubbish\r\n\r\n", "http://docs.example/", "egress_failed", "could not be read"),
        (page("gone", status="404 Not Found"), "http://docs.example/", "http_status", "the server answered 404"),
        (page(" \n"), "http://docs.example/", "document_empty", "the document has no text"),
    ],
)
def test_what_went_wrong_is_told_in_words(answer: bytes, url: str, code: str, told: str) -> None:
    outcome = fetched(answer, url)
    assert (outcome.status, outcome.code) == ("error", code)
    assert told in outcome.content


def test_viewers_are_shown_the_document_and_nothing_where_none_came() -> None:
    told: list[object] = []
    url = "http://docs.example/x"
    fetched(page("<title>Green\n is &amp; good</title><p>text", "text/html"), url, tell=told.append)
    assert told == [{"sources": [{"id": url, "title": "Green is & good", "uri": url}]}]

    fetched(page("\n## Green\n\ntext", "text/markdown"), url, tell=told.append)
    assert told[1:] == [{"sources": [{"id": url, "title": "Green", "uri": url}]}]

    fetched(page("gone", status="404 Not Found"), url, tell=told.append)
    assert len(told) == 2


def test_the_tool_is_declared_as_going_out() -> None:
    tool = fetch_tool(Egress())
    assert (tool.name, tool.effect, tool.timeout) == ("fetch_document", "egress", 65)
    with pytest.raises(ToolInvalid, match="max_chars=0"):
        fetch_tool(Egress(), max_chars=0)
