"""An assistant that answers from documents of your own.

    OPENAI_API_KEY=... python examples/rag_assistant.py "Until when may I return a lamp?"

The documents are indexed in memory; the model searches them, as often and with as many searches side by
side as it likes, and cites what it used. Any OpenAI-compatible service does: set OPENAI_BASE_URL.
"""

from __future__ import annotations

import asyncio
import sys

from agentrt import Agent, Runtime, run
from agentrt.index.index import Document
from agentrt.index.sqlite import SqliteIndex
from agentrt.pipeline.chunk import split
from agentrt_tools.retrieval import search_tool

DOCUMENTS = {
    "Returns": "Whatever you bought here may be returned within thirty days, in its box, with the receipt. "
    "Lamps are tested before the money goes back, which takes two working days.",
    "Opening hours": "We are open from nine to six, on Saturdays from ten to four. On Sundays we are closed.",
    "Delivery": "Orders above fifty euros are delivered free of charge. Lamps travel insured.",
}

INSTRUCTIONS = """\
Answer from the documents only. Search first; search for several things in one turn if that helps.
Name the document behind each statement in brackets. If the documents do not tell, say so.
"""


async def main(question: str) -> None:
    """Index, ask, print the answer and what it cost."""
    index = SqliteIndex()
    for title, text in DOCUMENTS.items():
        await index.put(Document(id=title, title=title, url=f"shop/{title}", chunks=split(text)))

    assistant = Agent(
        name="assistant", model="openai:gpt-5-mini", instructions=INSTRUCTIONS, tools=[search_tool(index, k=3)]
    )
    async with Runtime():
        answer = await run(assistant, question, deadline=60)
    print(answer.output)
    print(f"[{answer.usage.requests} requests, {answer.usage.total_tokens} tokens]")
    await index.aclose()


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "Until when may I return a lamp?"))
