"""An assistant that answers from a folder of your own documents.

    OPENAI_API_KEY=... python examples/rag_assistant.py FOLDER "Until when may I return a lamp?"

Text, Markdown, reStructuredText, HTML and PDF are read (HTML and PDF need the extra `ingest`) and indexed in memory;
name a file instead, and the next start finds them there. The model searches, as often and with as many searches side
by side as it likes, and cites what it used. Any OpenAI-compatible service does: set OPENAI_BASE_URL.
"""

from __future__ import annotations

import asyncio
import sys

from agentrt import Agent, Runtime, ingest, run
from agentrt.index.sqlite import SqliteIndex
from agentrt_tools.retrieval import search_tool

INSTRUCTIONS = """\
Answer from the documents only. Search first; search for several things in one turn if that helps.
Name the document behind each statement in brackets. If the documents do not tell, say so.
"""


async def main(folder: str, question: str) -> None:
    """Index, ask, print the answer and what it cost."""
    index = SqliteIndex()
    report = await ingest(folder, index=index)
    print(f"[{report.stored} documents, {report.passages} passages, {report.quarantined} that could not be read]")

    assistant = Agent(
        name="assistant", model="openai:gpt-5-mini", instructions=INSTRUCTIONS, tools=[search_tool(index, k=3)]
    )
    async with Runtime():
        answer = await run(assistant, question, deadline=60)
    print(answer.output)
    print(f"[{answer.usage.requests} requests, {answer.usage.total_tokens} tokens]")
    await index.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], " ".join(sys.argv[2:])))
