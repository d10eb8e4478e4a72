"""Put a folder into an index, and search it.

    python examples/ingest_folder.py FOLDER "what to look for"

Text, Markdown, reStructuredText, HTML and PDF are read; HTML and PDF need the extra `ingest`. The index is the file
`kb.sqlite`. Run it again, or after it was killed: only what has changed is done.
"""

from __future__ import annotations

import asyncio
import sys

from agentrt import ingest
from agentrt.index.sqlite import SqliteIndex
from agentrt.pipeline.report import Snapshot


def show(snapshot: Snapshot) -> None:
    """One line that is written over and over."""
    counted = snapshot.counted
    print(f"\r{counted.stored} stored, {counted.unchanged} unchanged, {snapshot.listed} listed", end="", flush=True)


async def main(folder: str, query: str) -> None:
    """Fill the index, say what could not be read, and print the best passages."""
    report = await ingest(folder, index="kb.sqlite", prune=True, progress=show)
    print(f"\n{report.total} documents in {report.seconds:.1f} s")
    for failure in report.failures:
        print(f"  not {failure.url}: {failure.error}")

    index = SqliteIndex("kb.sqlite")
    for hit in await index.search(query, k=3):
        print(f"\n{hit.title} ({hit.url})\n{hit.text[:300]}")
    await index.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], " ".join(sys.argv[2:])))
