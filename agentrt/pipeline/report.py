"""How a filling works, how far it has come, and how it ended."""

from __future__ import annotations

import msgspec

from agentrt.errors import SettingInvalid
from agentrt.pipeline.document import Counted
from agentrt.pipeline.stage import StageCounts

MIB = 1024 * 1024


class PipelineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a pipeline works. All are more than 0.

    Attributes:
        readers: Documents that are downloaded or read at once.
        workers: Documents that are parsed at once: HTML and PDF each in a worker process, texts in a thread. Of HTML
            it is 1 MiB for each worker together, or a single larger page.
        embeds: Batches of texts that the embedder has at once.
        in_flight: Documents that are under way at once, from being listed to being stored.
        in_flight_bytes: Bytes of them, as they came.
        max_bytes: Bytes of one document.
        chunk_size: Characters of a passage, at most.
        parse_seconds: How long one document may take a worker process.
        parse_bytes: How much memory one worker process may have.
        embed_batch: Texts in a batch for the embedder; `embed_wait` seconds are waited for it to fill.
        store_batch: Documents in a commit; `store_wait` seconds are waited for it to fill.
        attempts: How often something is tried that may go well the next time.
        stop_after: Failures in a row at one stage after which the whole is given up.
        kept_bytes: Size up to which the bytes of a document are kept in quarantine.
        grace: Seconds that documents under way have to be stored after a cancel.
        per_host: Documents that one host is asked for at once.
        per_host_rate: Documents that one host is asked for in a second; None is as fast as it answers.

    Raises:
        SettingInvalid: One of them is 0 or less.
    """

    readers: int = 10
    workers: int = 2
    embeds: int = 5
    in_flight: int = 100
    in_flight_bytes: int = 64 * MIB
    max_bytes: int = 20 * MIB
    chunk_size: int = 1200
    parse_seconds: float = 30.0
    parse_bytes: int = 1024 * MIB
    embed_batch: int = 64
    embed_wait: float = 0.1
    store_batch: int = 50
    store_wait: float = 0.1
    attempts: int = 3
    stop_after: int = 20
    kept_bytes: int = MIB
    grace: float = 2.0
    per_host: int = 8
    per_host_rate: float | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SettingInvalid(f"PipelineSettings was given {name}={value}; it needs more than 0")


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """How far it has come.

    Attributes:
        listed: Documents that the source has named so far.
        total: All that it names; None until it has named the last.
        counted: Those that have ended, and how.
        stages: In the order in which a document passes them.
        seconds: Since the beginning.
    """

    listed: int
    total: int | None
    counted: Counted
    stages: tuple[StageCounts, ...]
    seconds: float


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A document that is in quarantine, in short."""

    url: str
    stage: str
    kind: str
    error: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended: `stored`, `unchanged` and `quarantined` together are the documents of the source, `total`.

    Attributes:
        removed: Documents that were in the index and that the source names no more.
        pruned: Whether those were looked for and removed. They are not where a part of the source could not be read.
        passages: Of the documents stored.
        failures: The first of those in quarantine; all of them stand in the index.
        stages: How each stage ended.
        seconds: From the beginning to the end.
    """

    total: int
    stored: int
    unchanged: int
    quarantined: int
    removed: int
    pruned: bool
    passages: int
    failures: tuple[Failure, ...]
    stages: tuple[StageCounts, ...]
    seconds: float

    @property
    def bottleneck(self) -> tuple[str, float] | None:
        """The stage that was busy for the greatest share of the time (0 to 1), and that share; None if none was."""
        if not self.stages or self.seconds <= 0:
            return None
        name, worked = max(((s.name, s.worked / s.places) for s in self.stages), key=lambda pair: pair[1])
        return (name, min(1.0, worked / self.seconds)) if worked else None
