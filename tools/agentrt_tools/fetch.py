"""The fetch tool: a document's text, through the one way out."""

from __future__ import annotations

from agentrt.egress.egress import Egress
from agentrt.egress.fetched import Fetched
from agentrt.errors import EgressFailed, EgressRefused, ToolError, ToolInvalid
from agentrt.offloop import aside
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool, tool
from agentrt_tools.markup import text_of_html
from agentrt_tools.sources import Source, show_sources, title_of

_PAGE = 2_000_000
"""Characters of a page of HTML that are read."""

_NOTE = 300
"""Bytes that the last line of a cut document may have."""


def fetch_tool(egress: Egress, *, max_chars: int = 50_000) -> Tool:
    """The tool `fetch_document(url)`: the text of what is there, HTML without its tags. Its effect is "egress".

    Where it may go is the policy of `egress`. At most `max_chars` characters come. The last line says so when there is
    more, and when only the beginning of a very long page of HTML was read. A refusal, a failure and a status other
    than 2xx are told to the model in words. Viewers of the run are shown the document as a source of what is said.

    Raises:
        ToolInvalid: `max_chars` is less than 1.
    """
    if max_chars < 1:
        raise ToolInvalid(f'tool "fetch_document" was given max_chars={max_chars}; it needs 1 or more')

    longest = egress.policy.timeout + egress.policy.per_host_wait + 5

    @tool(effect="egress", timeout=longest, max_result=4 * max_chars + _NOTE)
    async def fetch_document(context: Context, url: str) -> str:
        """Fetch the text of a document by its URL, such as one that a search returned.

        Args:
            url: Where it is, beginning with http:// or https://.
        """
        try:
            fetched = await egress.get(url)
        except (EgressRefused, EgressFailed) as error:
            raise ToolError(str(error), code=error.code) from error
        if not 200 <= fetched.status < 300:
            raise ToolError(f"the server answered {fetched.status}", code="http_status")
        text, page, cuts = await _readable(fetched)
        if not text:
            raise ToolError("; ".join(["the document has no text", *cuts]), code="document_empty")
        # By the address that was asked for: one that a redirect led to may carry a key.
        await show_sources(context, [Source(id=url, title=title_of(text, page) or url, uri=url)])
        if len(text) > max_chars:
            cuts = [f"{len(text) - max_chars:,} of {len(text):,} characters are left out", *cuts]
        return f"{text[:max_chars]}\n[cut here: {'; '.join(cuts)}]" if cuts else text

    return fetch_document


async def _readable(fetched: Fetched) -> tuple[str, str, list[str]]:
    """The text, the page of HTML that it is from, if any, and in words what of the document was not read."""
    text = fetched.text
    if fetched.content_type not in {"text/html", "application/xhtml+xml"}:
        return text.strip(), "", []
    unread = [f"only the first {_PAGE:,} of {len(text):,} characters of HTML were read"] if len(text) > _PAGE else []
    page = text[:_PAGE]
    return await aside(lambda: text_of_html(page)), page, unread
