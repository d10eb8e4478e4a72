"""The fetch tool: a document's text, through the one way out."""

from __future__ import annotations

from agentrt.egress.egress import Egress
from agentrt.egress.fetched import Fetched
from agentrt.errors import EgressFailed, EgressRefused, ToolError, ToolInvalid
from agentrt.offloop import aside
from agentrt.toolbox.define import Tool, tool
from agentrt_tools.markup import text_of_html

_PAGE = 2_000_000
"""Characters of a page of HTML that are read."""


def fetch_tool(egress: Egress, *, max_chars: int = 50_000) -> Tool:
    """The tool `fetch_document(url)`: the text of what is there, HTML without its tags. Its effect is "egress".

    Where it may go is the policy of `egress`. At most `max_chars` characters come, and the last line says so when
    there is more. A refusal, a failure and a status other than 2xx are told to the model in words.

    Raises:
        ToolInvalid: `max_chars` is less than 1.
    """
    if max_chars < 1:
        raise ToolInvalid(f'tool "fetch_document" was given max_chars={max_chars}; it needs 1 or more')

    @tool(effect="egress", timeout=egress.policy.timeout + 5, max_result=4 * max_chars + 200)
    async def fetch_document(url: str) -> str:
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
        text = await _readable(fetched)
        if not text:
            raise ToolError("the document has no text", code="document_empty")
        if len(text) <= max_chars:
            return text
        return f"{text[:max_chars]}\n[cut here: {len(text) - max_chars:,} of {len(text):,} characters are left out]"

    return fetch_document


async def _readable(fetched: Fetched) -> str:
    text = fetched.text
    if fetched.content_type in {"text/html", "application/xhtml+xml"}:
        return await aside(lambda: text_of_html(text[:_PAGE]))
    return text.strip()
