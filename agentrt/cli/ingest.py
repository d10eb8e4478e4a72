"""`agentrt ingest`: put documents into an index, or list those that could not be put there."""

from __future__ import annotations

import argparse
import asyncio
import shlex
import signal
import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from agentrt.cli.configured import overridden
from agentrt.cli.leaving import run_command
from agentrt.cli.printing import on_one_line, print_lines
from agentrt.cli.stages import Show, bars, in_words, lines
from agentrt.configuration.config import Configuration
from agentrt.errors import SettingInvalid
from agentrt.index.embedder import Embedder
from agentrt.index.index import Quarantined
from agentrt.index.sqlite import SqliteIndex
from agentrt.ingesting import ingest as ingest_documents
from agentrt.pipeline.report import PipelineSettings, Report, Snapshot

QUARANTINE = "quarantine"
"""In place of a source: list the quarantine. A folder of that name is `./quarantine`."""


def ingest(arguments: argparse.Namespace) -> int:
    """Fill an index, or list its quarantine; returns the exit code."""
    # A supervisor's way to say Ctrl-C.
    signal.signal(signal.SIGTERM, lambda _number, _frame: signal.raise_signal(signal.SIGINT))
    configuration = Configuration.read(arguments.config)
    options = overridden(configuration.ingest, arguments, ("index", "allow", "prune"))
    if "index" not in options:
        raise SettingInvalid('which index? Give --index FILE, or write index = "kb.sqlite" under [ingest]')
    arguments.index, arguments.prune = options["index"], options.get("prune", False)
    if arguments.source == QUARANTINE:
        if not Path(arguments.index).exists():  # to look is not to make one
            raise SettingInvalid(f'there is no index "{arguments.index}"')
        return run_command(_list(arguments))
    settings = options.get("settings") or PipelineSettings()
    given = overridden({}, arguments, ("workers", "stop_after"))
    options["settings"] = msgspec.structs.replace(settings, **given)
    return run_command(_ingest(arguments, options, configuration.runtime))


async def _ingest(arguments: argparse.Namespace, options: Mapping[str, Any], runtime: Mapping[str, Any]) -> int:
    last: Snapshot | None = None
    async with embedder_named(arguments.embed, arguments.dims, runtime) as embedder:
        with _shown(as_json=arguments.json) as show:

            def told(snapshot: Snapshot) -> None:
                nonlocal last
                last = snapshot
                show(snapshot)

            try:
                report = await ingest_documents(arguments.source, **options, embedder=embedder, progress=told)
            except asyncio.CancelledError:
                so_far = f": {in_words(last)}" if last is not None else ""
                print(f"agentrt: interrupted{so_far}. The same command goes on from there.", file=sys.stderr)
                raise
    if arguments.json:
        print(msgspec.json.encode(report).decode())
    else:
        print_lines(_summary(report, arguments))
    return 0 if report.stored + report.unchanged else 1


def _shown(*, as_json: bool) -> AbstractContextManager[Show]:
    console = Console(stderr=True)
    return bars(console) if console.is_terminal and not as_json else _said()


@contextmanager
def _said() -> Generator[Show]:
    yield lines(lambda line: print(line, file=sys.stderr, flush=True))


def _summary(report: Report, arguments: argparse.Namespace) -> Generator[str]:
    stored = f"{report.stored:,} stored in {_many(report.passages, 'passage')}"
    counts = [stored, f"{report.unchanged:,} unchanged"]
    if arguments.prune:
        counts.append(f"{report.removed:,} removed")
    counts.append(f"{report.quarantined:,} in quarantine")
    pace = f"{report.seconds:.1f} s, {report.total / report.seconds:,.0f} documents/s" if report.seconds else "0 s"
    yield f"{_many(report.total, 'document')}: {', '.join(counts)}; {pace}{_slowest(report)}."
    if arguments.prune and not report.pruned:
        yield "Nothing was removed: a part of the source could not be read, so what is gone is not known."
    for failure in report.failures[:3]:
        yield f"  {on_one_line(f'{failure.stage}: {failure.url}: {failure.error}')}"
    if any(failure.kind == "egress_refused" for failure in report.failures):
        yield "What is not public is fetched only from where --allow HOST:PORT says so."
    if report.quarantined:
        yield f"All in quarantine: agentrt ingest {QUARANTINE} --index {shlex.quote(arguments.index)}"


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _slowest(report: Report) -> str:
    if report.bottleneck is None:
        return ""
    name, share = report.bottleneck
    return f"; {name} was busy {share:.0%} of the time".replace("%", " %")


async def _list(arguments: argparse.Namespace) -> int:
    index = SqliteIndex(arguments.index)
    try:
        rows = await index.quarantined()
    finally:
        await index.aclose()
    print_lines(_as_json(row) if arguments.json else _as_line(row) for row in rows)
    return 0


def _as_json(row: Quarantined) -> str:
    shown = {name: getattr(row, name) for name in row.__struct_fields__ if name != "content"}
    return msgspec.json.encode(shown).decode()


def _as_line(row: Quarantined) -> str:
    tried = f" ({row.attempts} attempts)" if row.attempts > 1 else ""
    return on_one_line(f"{row.stage} ({row.kind}): {row.url}: {row.error}{tried}")


@asynccontextmanager
async def embedder_named(
    name: str | None, dims: int | None, runtime: Mapping[str, Any]
) -> AsyncGenerator[Embedder | None]:
    """The embedder that a person means, for as long as the block runs; none for None. A provider's is in a Runtime.

    Raises:
        SettingInvalid: It is no name of one, or what it needs is not installed.
        ProviderUnknown, KeyMissing: Its provider cannot be asked.
    """
    if name is None:
        yield None
    elif name == "local:minilm":
        from agentrt.local.minilm import MiniLM  # noqa: PLC0415 - of the extra `embed`

        embedder = MiniLM()
        try:
            yield embedder
        finally:
            await embedder.aclose()
    elif name.startswith("local:"):
        raise SettingInvalid(f'"{name}": expected local:minilm, the one that runs on this machine')
    else:
        from agentrt.runtime import Runtime  # noqa: PLC0415 - who asks no provider needs no client

        async with Runtime(**runtime) as opened:
            yield opened.embedder(name, dims=dims)
