"""What is in the file under a `SqliteJournal`."""

from __future__ import annotations

import sqlite3
from typing import Literal

import msgspec

from agentrt.database import Form
from agentrt.errors import JournalFailed
from agentrt.events import Fact, RunStarted
from agentrt.journal.journal import excerpt

Synchronous = Literal["NORMAL", "FULL"]


def _name_what_runs_go_on_from(database: sqlite3.Connection) -> None:
    """From version 1: what lists say of a run, and what deleting has to know, stood in its first fact only."""
    for column in ("previous TEXT", "principal TEXT", "asked TEXT NOT NULL DEFAULT ''"):
        database.execute(f"ALTER TABLE runs ADD COLUMN {column}")
    database.execute(_BY_PREVIOUS)
    decoder: msgspec.json.Decoder[Fact] = msgspec.json.Decoder(Fact)
    first = "SELECT run_id, fact, MIN(seq) FROM facts GROUP BY run_id"
    for run_id, text, _ in database.execute(first).fetchall():
        try:
            started = decoder.decode(text)
        except msgspec.DecodeError:  # it is named when the run is read
            continue
        if isinstance(started, RunStarted):
            database.execute(
                "UPDATE runs SET previous = ?, principal = ?, asked = ? WHERE run_id = ?",
                (started.previous, started.principal, excerpt(started), run_id),
            )


_BY_PREVIOUS = "CREATE INDEX runs_by_previous ON runs (previous) WHERE previous IS NOT NULL"

FORM = Form(
    kind="a journal",
    application=b"agrt",
    version=2,
    schema=f"""
CREATE TABLE epochs (
    run_id TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL           -- only its writer may append
) STRICT, WITHOUT ROWID;
CREATE TABLE facts (
    run_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    fact TEXT NOT NULL,              -- JSON of one struct of agentrt.events
    PRIMARY KEY (run_id, seq)
) STRICT;
CREATE TABLE runs (                  -- what a list says of a run, told by its facts
    place INTEGER PRIMARY KEY,       -- in the order in which they started
    run_id TEXT NOT NULL UNIQUE,
    agent TEXT NOT NULL,
    thread TEXT,
    started_at REAL NOT NULL,        -- seconds since 1970
    ended TEXT,                      -- the outcome; NULL while the run lives
    previous TEXT,                   -- the run that its conversation goes on from
    principal TEXT,
    asked TEXT NOT NULL DEFAULT ''   -- the beginning of what it was asked
) STRICT;
CREATE INDEX runs_by_thread ON runs (thread, place);
CREATE INDEX runs_unfinished ON runs (place) WHERE ended IS NULL;
{_BY_PREVIOUS};
""",
    refused=JournalFailed,
    failed=JournalFailed,
    steps={1: _name_what_runs_go_on_from},
)
