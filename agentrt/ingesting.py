"""The verb `ingest`: what is done with documents. It stands apart, so that who runs an agent loads no pipeline."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Collection
from contextlib import AsyncExitStack
from pathlib import Path

from agentrt.egress.egress import Egress
from agentrt.egress.policy import EgressPolicy
from agentrt.errors import SettingInvalid
from agentrt.index.embedder import Embedder
from agentrt.index.index import IngestIndex
from agentrt.index.sqlite import SqliteIndex
from agentrt.pipeline.document import Reference
from agentrt.pipeline.journey import Parts
from agentrt.pipeline.pipeline import Pipeline
from agentrt.pipeline.report import PipelineSettings, Report, Snapshot
from agentrt.pipeline.source import source_of

_TYPES = EgressPolicy().content_types | {"", "application/pdf", "application/octet-stream", "binary/octet-stream"}
"""What may be fetched: what is read, and what a server knows no type for. The first bytes tell what that is."""

_PATIENCE = 300.0
"""Seconds for which a document waits for its host; nobody waits for it in person."""


async def ingest(  # noqa: PLR0913 - a verb
    source: str | Path | AsyncIterable[Reference],
    *,
    index: str | Path | IngestIndex,
    embedder: Embedder | None = None,
    settings: PipelineSettings | None = None,
    allow: Collection[str] = (),
    prune: bool = False,
    progress: Callable[[Snapshot], None] | None = None,
) -> Report:
    """Put documents into an index, and those that have not changed since the last time not again.

    Each ends exactly once: stored, unchanged or in quarantine. Killed or cancelled at any moment, the same call goes on
    where it was; who searches meanwhile finds each document whole, the old one or the new one.

    Args:
        source: A folder, a file, a manifest (`*.jsonl`: `{"url" or "path": ..., "title": ...}` a line), the address of
            a page or of a manifest, or an async iterable of references.
        index: The file of the index, made where there is none; or an index, which stays open.
        embedder: Makes vectors for the passages; not closed. Without one the index is searched by words.
        allow: Origins, "host:port", that may be private or on another port than 80 and 443.
        prune: Remove what an earlier call put in from this same source, and the source names no more.
        progress: Called, without awaiting, with how far it has come, ten times a second at most, and at the end.

    Raises:
        Unreadable: The source names no document, or is a manifest that is not there; nothing was changed.
        IngestStopped: Too many documents failed in a row at one stage.
        ConfigurationError: Something cannot work as written, such as a PDF without the extra `ingest`, or no embedder
            for an index that has vectors.
        AgentrtError: The index, the way to the manifest, or the embedder failed for all.
    """
    async with AsyncExitStack() as stack:
        egress = await stack.enter_async_context(Egress(_policy(allow, settings or PipelineSettings())))
        skip, there = frozenset[Path](), True
        if isinstance(index, str | Path):
            skip, there = _files_of(Path(index)), _is_there(Path(index))
            index = SqliteIndex(index)
            stack.push_async_callback(index.aclose)
        if embedder is None and there and (await index.counts()).vectors:
            raise SettingInvalid(
                "the index has vectors, and what is stored without an embedder would lose its own: "
                "give the embedder that made them (--embed), or another index"
            )
        listed = source_of(source, egress, skip)
        parts = Parts(index=index, egress=egress, embedder=embedder)
        return await Pipeline(listed, parts, settings, prune=prune, progress=progress).run()


def _policy(allow: Collection[str], settings: PipelineSettings) -> EgressPolicy:
    return EgressPolicy(
        allow=frozenset(allow),
        content_types=_TYPES,
        per_host_wait=_PATIENCE,
        per_host_concurrency=settings.per_host,
        per_host_rate=settings.per_host_rate,
    )


def _is_there(index: Path) -> bool:
    return index.exists()


def _files_of(index: Path) -> frozenset[Path]:
    """The index may lie in the folder that it indexes."""
    real = index.resolve()
    return frozenset(real.with_name(real.name + suffix) for suffix in ("", "-wal", "-shm", "-journal"))
