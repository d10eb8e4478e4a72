"""The agentrt side of `bench.ingest`: `python -m bench.ingest_ours MANIFEST EMBEDDINGS INDEX` prints JSON."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from random import Random
from urllib.parse import urlsplit

from agentrt import ingest
from agentrt.gate.gate import Gate
from agentrt.gate.limits import Limits
from agentrt.model.embeddings import OpenAIEmbeddings
from agentrt.model.openai import OpenAIModel
from agentrt.pipeline.embedding import GateEmbedder
from bench.servers_for_ingest import DIMS, MODEL


async def fill(manifest: str, embeddings: str, index: str) -> dict[str, float]:
    """One ingest of all that the manifest names."""
    chat = OpenAIModel("bench", base_url=embeddings, api_key="none")
    gate = Gate("bench", Limits(), random=Random(1))
    embedder = GateEmbedder(OpenAIEmbeddings(chat), gate, MODEL, dims=DIMS)
    try:
        report = await ingest(manifest, index=index, embedder=embedder, allow={urlsplit(manifest).netloc})
    finally:
        await chat.aclose()
    return {
        "stored": report.stored,
        "unchanged": report.unchanged,
        "quarantined": report.quarantined,
        "passages": report.passages,
    }


def main() -> None:
    """Ingest and say how it went."""
    manifest, embeddings, index = sys.argv[1:]
    wall, cpu = time.perf_counter(), time.process_time()
    said = asyncio.run(fill(manifest, embeddings, index))
    said["seconds"] = time.perf_counter() - wall
    said["cpu"] = time.process_time() - cpu
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps(said | {"children_cpu": workers.ru_utime + workers.ru_stime}))


if __name__ == "__main__":
    main()
