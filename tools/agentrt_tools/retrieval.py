"""The retrieval tool: what an index knows about a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from agentrt.errors import ToolInvalid
from agentrt.index.index import Hit, Index
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool, tool
from agentrt_tools.sources import Source, show_sources


class Passage(TypedDict):
    """One result. A greater score is better; scores of two searches cannot be compared."""

    title: str
    url: str
    text: str
    score: float


def search_tool(index: Index, k: int = 5) -> Tool:
    """The tool `search(query)`: at most `k` passages of the index, the best first. Its effect is "read".

    Viewers of the run are shown the documents that the passages are from.

    Raises:
        ToolInvalid: `k` is less than 1.
    """
    if k < 1:
        raise ToolInvalid(f'tool "search" was given k={k}; it needs 1 or more')

    @tool(effect="read", timeout=10)
    async def search(context: Context, query: str) -> list[Passage]:
        """Find passages in the indexed documents. Each comes with the title and URL of its document.

        Args:
            query: The question, or words that an answer would contain; `code` in backticks counts more.
        """
        hits = await index.search(query, k)
        await show_sources(context, _documents(hits))
        return [Passage(title=hit.title, url=hit.url, text=hit.text, score=_score(hit)) for hit in hits]

    return search


def _documents(hits: Sequence[Hit]) -> list[Source]:
    """Each document once, with the score of its best passage, which comes first."""
    found: dict[str, Source] = {}
    for hit in hits:
        found.setdefault(hit.document, Source(id=hit.document, title=hit.title, uri=hit.url, score=_score(hit)))
    return list(found.values())


def _score(hit: Hit) -> float:
    return round(hit.score, 4)
