"""What is in the file under a `SqliteJournal`."""

from __future__ import annotations

from typing import Literal

from agentrt.database import Form
from agentrt.errors import JournalFailed

Synchronous = Literal["NORMAL", "FULL"]

FORM = Form(
    kind="a journal",
    application=b"agrt",
    version=1,
    schema="""
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
    ended TEXT                       -- the outcome; NULL while the run lives
) STRICT;
CREATE INDEX runs_by_thread ON runs (thread, place);
CREATE INDEX runs_unfinished ON runs (place) WHERE ended IS NULL;
""",
    refused=JournalFailed,
    failed=JournalFailed,
)
