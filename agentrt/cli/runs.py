"""`agentrt runs`: what stands in a journal, run by run and fact by fact, and what becomes of it."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import assert_never

import msgspec

from agentrt.cli.leaving import run_command
from agentrt.cli.printing import on_one_line, print_lines
from agentrt.errors import JournalFailed, SettingInvalid
from agentrt.events import (
    ApprovalAsked,
    ApprovalGiven,
    CancelAsked,
    ClientAsked,
    Fact,
    HandedOff,
    MessageAdded,
    ModelReplied,
    OutputRejected,
    RunEnded,
    RunResumed,
    RunStarted,
    Steered,
    Summarised,
    ToolReturned,
    ToolStarted,
)
from agentrt.journal.journal import Journal, RunRow
from agentrt.journal.sqlite import SqliteJournal
from agentrt.messages import text_of
from agentrt.runs.state import fold


def runs(arguments: argparse.Namespace) -> int:
    """List a journal's runs or show one; returns the exit code."""
    path = Path(arguments.journal.removeprefix("sqlite:")).expanduser()
    if not path.exists():  # to look is not to make one
        raise JournalFailed(f'there is no journal "{path}"')
    if arguments.action == "resume":
        from agentrt.cli.replay import resume  # noqa: PLC0415 - it brings the runtime, the server and the view

        stragglers: list[str] = []
        resumed = resume(arguments, f"sqlite:{path}", partial(_found, beginning=arguments.run), stragglers)
        return run_command(resumed, left_behind=lambda: bool(stragglers))
    return run_command(_runs(arguments, SqliteJournal(path)))


async def _runs(arguments: argparse.Namespace, journal: Journal) -> int:
    try:
        if arguments.action == "list":
            rows = await journal.runs(thread=arguments.thread, unfinished=arguments.unfinished)
            lines = _json(rows) if arguments.json else _listed(rows, await _resting(journal, rows))
        else:
            run_id = await _found(journal, arguments.run)
            if arguments.action == "replay":
                from agentrt.cli.replay import replay  # noqa: PLC0415 - as above

                return await replay(arguments, journal, run_id)
            facts = await journal.read(run_id)
            lines = _json(facts) if arguments.json else _told(facts)
    finally:
        await journal.aclose()
    print_lines(lines)
    return 0


async def _resting(journal: Journal, rows: Sequence[RunRow]) -> set[str]:
    """Those of the runs that wait for a person."""
    resting: set[str] = set()
    for row in rows:
        if row.ended is None:
            with suppress(JournalFailed):  # what is wrong is said by who shows the run
                if fold(await journal.read(row.run_id)).resting:
                    resting.add(row.run_id)
    return resting


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


def _listed(rows: Sequence[RunRow], resting: Collection[str]) -> list[str]:
    table = [("RUN", "STARTED", "OUTCOME", "AGENT", "THREAD")]
    table += [
        (
            row.run_id,
            _date(row.started_at),
            row.ended or ("waiting" if row.run_id in resting else "unfinished"),
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
        f"{fact.at - began:9.3f} s  {type(fact).__name__:14}  {on_one_line(_said(fact))}".rstrip() for fact in facts
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
        case RunEnded():
            tokens = f"{fact.usage.input_tokens} tokens in and {fact.usage.output_tokens} out"
            return f"{fact.outcome}, {tokens}{fact.message and f': {fact.message}'}"
        case _:
            return _said_into(fact)


def _said_into(
    fact: MessageAdded
    | ApprovalAsked
    | ApprovalGiven
    | ClientAsked
    | Steered
    | OutputRejected
    | HandedOff
    | Summarised
    | CancelAsked,
) -> str:
    """What a fact says that comes between the model and its tools."""
    match fact:
        case MessageAdded() | Steered():
            return text_of(fact.message)
        case ApprovalAsked() | ClientAsked():
            return f"{fact.name} {fact.arguments}"
        case ApprovalGiven():
            by = f" by {fact.by}" if fact.by else ""
            return f"{fact.call_id} {'approved' if fact.approved else 'denied'}{by}{fact.reason and f': {fact.reason}'}"
        case OutputRejected():
            return fact.message
        case HandedOff():
            return fact.agent
        case Summarised():
            return f"{fact.covers} messages: {fact.text}"
        case CancelAsked():
            return f"{fact.mode}{f', {fact.call_id}' if fact.call_id else ''}{fact.reason and f': {fact.reason}'}"
        case _:
            assert_never(fact)


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
