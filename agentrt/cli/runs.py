"""`agentrt runs`: what stands in a journal, run by run and fact by fact."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_never

import msgspec

from agentrt.cli.leaving import run_command
from agentrt.cli.printing import on_one_line, print_lines
from agentrt.errors import JournalFailed, SettingInvalid
from agentrt.events import (
    CancelAsked,
    Fact,
    ModelReplied,
    RunEnded,
    RunResumed,
    RunStarted,
    ToolReturned,
    ToolStarted,
)
from agentrt.journal.journal import Journal, RunRow
from agentrt.journal.sqlite import SqliteJournal
from agentrt.messages import text_of


def runs(arguments: argparse.Namespace) -> int:
    """List a journal's runs or show one; returns the exit code."""
    path = Path(arguments.journal.removeprefix("sqlite:")).expanduser()
    if not path.exists():  # to look is not to make one
        raise JournalFailed(f'there is no journal "{path}"')
    return run_command(_runs(arguments, SqliteJournal(path)))


async def _runs(arguments: argparse.Namespace, journal: Journal) -> int:
    try:
        if arguments.action == "list":
            rows = await journal.runs(thread=arguments.thread, unfinished=arguments.unfinished)
            lines = _json(rows) if arguments.json else _listed(rows)
        else:
            facts = await journal.read(await _found(journal, arguments.run))
            lines = _json(facts) if arguments.json else _told(facts)
    finally:
        await journal.aclose()
    print_lines(lines)
    return 0


async def _found(journal: Journal, beginning: str) -> str:
    """The one run whose id begins so."""
    ids = [row.run_id for row in await journal.runs() if row.run_id.startswith(beginning)]
    if beginning in ids:
        return beginning
    if not ids:
        raise SettingInvalid(f'no run of this journal begins with "{beginning}"')
    if len(ids) > 1:
        raise SettingInvalid(f'{len(ids)} runs of this journal begin with "{beginning}": give more of the id')
    return ids[0]


def _json(records: Iterable[RunRow | Fact]) -> list[str]:
    return [msgspec.json.encode(record).decode() for record in records]


def _listed(rows: Sequence[RunRow]) -> list[str]:
    table = [("RUN", "STARTED", "OUTCOME", "AGENT", "THREAD")]
    table += [
        (
            row.run_id,
            _date(row.started_at),
            row.ended or "unfinished",
            on_one_line(row.agent),
            on_one_line(row.thread or ""),
        )
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table]


def _told(facts: Sequence[Fact]) -> list[str]:
    """A line for each fact: seconds since the first, its kind, what it says."""
    began = facts[0].at
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    lines = [
        f"{fact.at - began:9.3f} s  {type(fact).__name__:12}  {on_one_line(_said(fact))}".rstrip() for fact in facts
    ]
    return [line if width is None or len(line) <= width else f"{line[: width - 1]}…" for line in lines]


def _said(fact: Fact) -> str:
    match fact:
        case RunStarted():
            asked = text_of(fact.messages[-1]) if fact.messages else ""
            thread = f", thread {fact.thread}" if fact.thread is not None else ""
            return f"{_date(fact.at)}, {fact.agent} on {fact.model}{thread}: {asked}"
        case RunResumed():
            return f"{_date(fact.at)}, epoch {fact.epoch}"
        case ModelReplied():
            calls = ", ".join(call.name for call in fact.message.tool_calls)
            return f"{fact.finish}: {fact.message.content or f'calls {calls}'}"
        case ToolStarted():
            return f"{fact.name} {fact.arguments}"
        case ToolReturned():
            return f"{fact.name} {fact.code or fact.status}, {fact.seconds * 1e3:.0f} ms: {fact.content}"
        case CancelAsked():
            return fact.reason
        case RunEnded():
            tokens = f"{fact.usage.input_tokens} tokens in and {fact.usage.output_tokens} out"
            return f"{fact.outcome}, {tokens}{fact.message and f': {fact.message}'}"
        case _:
            assert_never(fact)


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
