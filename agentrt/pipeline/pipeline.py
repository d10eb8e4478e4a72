"""Documents turning into an index: source -> read -> check -> parse -> embed -> store.

Theory: a document is one task, which carries it from stage to stage. What a stage bounds is how much is worked on there
at once; what bounds the whole is the door, which lets in so many documents and so many bytes. So a slow stage fills the
house, the house shuts the door, and memory does not grow with the corpus. Where many are better done at once (looked
up, embedded, committed), documents meet there in batches.

A document ends exactly once, at the end of its task: stored, unchanged, or quarantined. Its end is counted when it is
committed, never before; so whoever kills the process and begins again has nothing lost and nothing doubled.

What is every document's trouble (the index, the settings, a key) is no document's: then the source is read no further,
documents that have been read go on to their end, and the error is raised. So it is after many failures in a row at one
stage, which mean that something else is wrong than the documents, and when the whole is cancelled, within a grace.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing

from agentrt.errors import AgentrtError, SettingInvalid, Unreadable
from agentrt.index.index import Quarantined
from agentrt.index.schema import kept
from agentrt.pipeline.batcher import Batcher
from agentrt.pipeline.document import Broken, Ended, IngestStopped, Listed
from agentrt.pipeline.gathering import Together
from agentrt.pipeline.journey import Job, Journey, Parts
from agentrt.pipeline.report import PipelineSettings, Report, Snapshot
from agentrt.pipeline.retry import UNWANTED, class_of, counts_in_a_row, in_words, is_fatal
from agentrt.pipeline.source import Source
from agentrt.pipeline.stage import Left, Stage
from agentrt.pipeline.tally import Tally

logger = logging.getLogger(__name__)

_TOLD = 0.1
"""Seconds between two calls of `progress`, at least."""
_REMOVED_AT_ONCE = 500


class Pipeline:
    """One filling of an index from a source. It runs once.

    Args:
        source: Names the documents.
        parts: What to work with.
        prune: Remove from the index the documents of this source that it names no more.
        progress: Called, without awaiting, with how far it has come, ten times a second at most, and at the end.
        ended: Called, without awaiting, with the end of each document.

    Raises:
        SettingInvalid: A source without a name cannot be pruned.
    """

    def __init__(
        self,
        source: Source,
        parts: Parts,
        settings: PipelineSettings | None = None,
        *,
        prune: bool = False,
        progress: Callable[[Snapshot], None] | None = None,
        ended: Callable[[Ended], None] | None = None,
    ) -> None:
        if prune and not source.name:
            raise SettingInvalid("prune=True needs a source with a name: a folder, a file or an address")
        self._source = source
        self._parts = parts
        self._settings = settings or PipelineSettings()
        self._progress = progress
        self._tell_end = ended
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._journey = Journey(source.name, parts, self._settings, self._changed)
        self._quarantining = Stage("quarantine", 1, self._changed, batches=True)
        self._quarantine: Together[Quarantined, None] | None = None
        self._door = asyncio.Semaphore(self._settings.in_flight)
        self._run = f"{parts.random.getrandbits(32):08x}"
        self._seen: set[str] | None = set() if prune else None
        self._listed = self._under_way = 0
        self._fed = self._listed_all = self._broken = False
        self._tally = Tally()
        self._feeder: asyncio.Task[None] | None = None
        self._stopped: Exception | None = None
        self._sick: Stage | None = None
        self._over = asyncio.Event()
        self._settling = False
        self._telling: asyncio.TimerHandle | None = None

    def snapshot(self) -> Snapshot:
        """How far it has come now."""
        return Snapshot(
            listed=self._listed,
            total=self._listed if self._listed_all else None,
            counted=self._tally.counted,
            stages=tuple(stage.counts for stage in self._journey.stages),
            seconds=self._loop.time() - self._began,
        )

    async def run(self) -> Report:
        """Carry every document to its end. Cancelling stops the reading and leaves the rest a grace to be stored.

        Raises:
            Unreadable: The source names no document; nothing was changed.
            IngestStopped: Too many failed in a row at one stage.
            ConfigurationError: Something cannot work as written: an extra is missing, a setting makes no sense.
            AgentrtError: The source, the index or the embedder failed for all.
        """
        if self._quarantine is not None:
            raise RuntimeError("this pipeline has run; make another")
        try:
            async with asyncio.TaskGroup() as group:
                self._open(group)
                self._feeder = group.create_task(self._feed(group), name="source")
                await self._until_over()
        except ExceptionGroup as several:
            raise several.exceptions[0] from None
        finally:
            await self._close()
        if isinstance(self._stopped, IngestStopped):
            self._stopped.counted = self._tally.counted
        if self._stopped is not None:
            raise self._stopped
        if not self._listed:
            raise Unreadable(f'"{self._source.name}" holds no document')
        pruned = self._seen is not None and not self._broken
        if pruned:
            await self._remove_what_is_gone()
        return self._report(pruned)

    # ---- what goes in ------------------------------------------------------------------------------

    def _open(self, group: asyncio.TaskGroup) -> None:
        most = self._settings.in_flight
        self._journey.open(group)
        rows = Batcher[tuple[Quarantined, asyncio.Future[None]]](most=most, weight=most, seconds=0)
        self._quarantine = Together(rows, self._keep_rows, self._quarantining, group)

    async def _feed(self, group: asyncio.TaskGroup) -> None:
        """Let in what the source names, one after another."""
        try:
            async with aclosing(self._source.documents()) as documents:
                async for listed in documents:
                    await self._door.acquire()
                    self._listed += 1
                    self._under_way += 1
                    self._note(listed)
                    group.create_task(self._document(listed, self._listed), name=f"document {self._listed}")
        except Exception as error:  # noqa: BLE001 - a user's iterator, or a manifest: `run` raises it at the end
            self._stop(error)
        else:
            self._listed_all = True
        finally:
            self._fed = True
            self._changed()

    def _note(self, listed: Listed) -> None:
        self._broken |= isinstance(listed, Broken)
        if self._seen is not None:
            self._seen.add(kept(listed.url))

    async def _until_over(self) -> None:
        """Wait until nothing is under way; after a cancel, not longer than the grace."""
        try:
            await self._over.wait()
        except asyncio.CancelledError:
            self._read_no_further()
            late = self._loop.call_later(self._settings.grace, self._over.set)
            try:
                await self._over.wait()
            finally:
                late.cancel()
                self._quiet()  # the group is about to end what is left
            raise

    # ---- one document ------------------------------------------------------------------------------

    async def _document(self, listed: Listed, number: int) -> None:
        job = Job(self._journey.listing)
        ended: Ended | None = None
        try:
            try:
                ended = await self._journey.walk(job, listed)
            except Left:
                pass
            except Exception as error:  # noqa: BLE001 - one document's trouble is not the others'
                ended = await self._failed(job, listed, number, error)
        finally:
            self._under_way -= 1
            self._door.release()
            self._changed()
        if ended is not None:
            self._tally.count(ended)
            if self._tell_end is not None:
                self._tell_end(ended)

    async def _failed(self, job: Job, listed: Listed, number: int, error: Exception) -> Quarantined | None:
        """Its end, unless the error is not its own: then it has none, and will come again."""
        if is_fatal(error):
            self._stop(error)
            return None
        if job.stage is self._sick:
            return None
        row = Quarantined(
            id=listed.url,
            url=listed.url,
            source=self._source.name,
            stage=job.stage.name,
            kind=class_of(error),
            error=in_words(error),
            attempts=job.attempts,
            size=job.size,
            correlation=f"{self._run}-{number}",
            at=self._parts.wall(),
            content=None if class_of(error) in UNWANTED else job.content,
        )
        logger.info("%s: %s failed at %s: %s", row.correlation, row.url, row.stage, row.error)
        if counts_in_a_row(error):
            job.stage.in_a_row += 1
            if job.stage.in_a_row >= self._settings.stop_after:
                self._give_up(job.stage, row)
        assert self._quarantine is not None
        try:
            with self._quarantining.visit():
                await self._quarantine.ask(row)
        except AgentrtError as failed:
            self._stop(failed)
            return None
        return row

    def _give_up(self, stage: Stage, row: Quarantined) -> None:
        self._sick = stage
        self._stop(
            IngestStopped(
                f'{stage.in_a_row} documents in a row failed at "{stage.name}", the last of them, {row.url}, '
                f"with: {row.error}. Nothing more was read.",
                self._tally.counted,
            )
        )

    def _stop(self, error: Exception) -> None:
        """Read no further. The first reason is the one that is told."""
        if self._stopped is None:
            self._stopped = error
        self._read_no_further()

    def _read_no_further(self) -> None:
        self._journey.closing = True
        if self._feeder is not None:
            self._feeder.cancel()

    async def _keep_rows(self, rows: Sequence[Quarantined]) -> list[Exception | None]:
        await self._parts.index.quarantine(rows)
        return [None] * len(rows)

    # ---- the whole ---------------------------------------------------------------------------------

    def _changed(self) -> None:
        """Somebody has moved. What follows is looked at when all who move in this turn of the loop have moved."""
        if not self._settling:
            self._settling = True
            self._loop.call_soon(self._settle)

    def _settle(self) -> None:
        self._settling = False
        if self._fed and not self._under_way:
            self._over.set()
        elif self._fed or self._under_way >= self._settings.in_flight:
            self._journey.hurry(self._under_way - self._quarantining.present)
        if self._progress is not None and self._telling is None and not self._over.is_set():
            self._telling = self._loop.call_later(_TOLD, self._tell)

    def _tell(self) -> None:
        self._telling = None
        if self._progress is not None:
            self._progress(self.snapshot())

    def _quiet(self) -> None:
        self._journey.quiet()
        if self._quarantine is not None:
            self._quarantine.gathering.close()

    async def _close(self) -> None:
        self._quiet()
        if self._telling is not None:
            self._telling.cancel()
        await self._journey.aclose()
        self._tell()

    async def _remove_what_is_gone(self) -> None:
        assert self._seen is not None
        gone = sorted(await self._parts.index.listed(self._source.name) - self._seen)
        for at in range(0, len(gone), _REMOVED_AT_ONCE):
            self._tally.removed += await self._parts.index.remove_all(gone[at : at + _REMOVED_AT_ONCE])

    def _report(self, pruned: bool) -> Report:
        counted, told = self._tally.counted, self.snapshot()
        return Report(
            total=self._listed,
            stored=counted.stored,
            unchanged=counted.unchanged,
            quarantined=counted.quarantined,
            removed=counted.removed,
            pruned=pruned,
            passages=counted.passages,
            failures=tuple(self._tally.failures),
            stages=told.stages,
            seconds=told.seconds,
        )
