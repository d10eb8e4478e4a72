"""The retrieval tool: what an index knows about a question."""

from __future__ import annotations

from typing import TypedDict

from agentrt.errors import ToolInvalid
from agentrt.index.index import Index
from agentrt.toolbox.define import Tool, tool


class Passage(TypedDict):
    """One result. A greater score is better; scores of two searches cannot be compared."""

    title: str
    url: str
    text: str
    score: float


def search_tool(index: Index, k: int = 5) -> Tool:
    """The tool `search(query)`: at most `k` passages of the index, the best first. Its effect is "read".

    Raises:
        ToolInvalid: `k` is less than 1.
    """
    if k < 1:
        raise ToolInvalid(f'tool "search" was given k={k}; it needs 1 or more')

    @tool(effect="read", timeout=10)
    async def search(query: str) -> list[Passage]:
        """Find passages in the indexed documents. Each comes with the title and URL of its document.

        Args:
            query: The question, or words that an answer would contain; `code` in backticks counts more.
        """
        hits = await index.search(query, k)
        return [Passage(title=hit.title, url=hit.url, text=hit.text, score=round(hit.score, 4)) for hit in hits]

    return search
