"""What is in the file under a `SqliteIndex`, and what is asked of it."""

from __future__ import annotations

from agentrt.database import Form
from agentrt.errors import IndexFailed, SettingInvalid
from agentrt.surrogates import mended_text

FORM = Form(
    kind="an index",
    application=b"agix",
    version=2,
    schema="""
CREATE TABLE documents (                 -- and the ledger: what is here is in, and in this version
    place INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    title TEXT NOT NULL,
    url TEXT NOT NULL,
    version TEXT NOT NULL,
    source TEXT NOT NULL
) STRICT;
CREATE INDEX documents_by_source ON documents (source);
CREATE TABLE embedders (
    place INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL                -- bytes of a vector
) STRICT;
CREATE TABLE vectors (                   -- those no chunk refers to are waiting for their document
    place INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,            -- hash of the embedder's name and the text
    embedder INTEGER NOT NULL REFERENCES embedders (place),
    vector BLOB NOT NULL                 -- float32, little-endian
) STRICT;
CREATE TABLE chunks (
    passage INTEGER PRIMARY KEY AUTOINCREMENT,   -- rowid in passages; never used again, so a passage never changes
    document INTEGER NOT NULL REFERENCES documents (place),
    starts INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    embedder INTEGER,                    -- place of who made the vector
    vector INTEGER                       -- place in vectors; NULL without one
) STRICT;
CREATE INDEX chunks_by_document ON chunks (document);
CREATE INDEX chunks_by_vector ON chunks (embedder, vector) WHERE vector IS NOT NULL;
CREATE VIRTUAL TABLE passages USING fts5 (title, text, tokenize = 'porter unicode61 remove_diacritics 2');
CREATE TABLE quarantine (
    place INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    url TEXT NOT NULL,
    source TEXT NOT NULL,
    stage TEXT NOT NULL,
    kind TEXT NOT NULL,
    error TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    size INTEGER,
    correlation TEXT NOT NULL,
    at REAL NOT NULL,                    -- seconds since 1970
    content BLOB
) STRICT;
CREATE INDEX quarantine_by_source ON quarantine (source);
""",
    refused=SettingInvalid,
    failed=IndexFailed,
)


def kept(text: str) -> str:
    """The text as the file can keep it and give it back: without lone surrogates and without NUL."""
    return mended_text(text).replace("\0", "\ufffd")


# ---- searching -------------------------------------------------------------------------------------

# A word in the title weighs as two in the text.
BY_TEXT = """
SELECT rowid, -bm25(passages, 2.0, 1.0) AS score FROM passages WHERE passages MATCH ?
ORDER BY score DESC, rowid LIMIT ?
"""
HIT = """
SELECT documents.id, documents.title, documents.url, passages.text, chunks.starts, chunks.ends, :score
FROM chunks JOIN documents ON documents.place = chunks.document JOIN passages ON passages.rowid = chunks.passage
WHERE chunks.passage = :passage
"""
FILLED_WITH = """
SELECT place, name, size FROM embedders
WHERE EXISTS (SELECT 1 FROM chunks WHERE vector IS NOT NULL AND embedder = embedders.place)
"""
WITH_VECTOR = "SELECT passage FROM chunks WHERE vector IS NOT NULL AND embedder = ?"
NEW_VECTORS = """
SELECT chunks.passage, vectors.vector FROM chunks JOIN vectors ON vectors.place = chunks.vector
WHERE chunks.embedder = ? AND chunks.passage > ? ORDER BY chunks.passage
"""

# ---- filling ---------------------------------------------------------------------------------------

PLACE = "SELECT place FROM documents WHERE id = ?"
DOCUMENT = "INSERT INTO documents (id, title, url, version, source) VALUES (?, ?, ?, ?, ?)"
CHUNK = "INSERT INTO chunks (document, starts, ends, embedder, vector) VALUES (?, ?, ?, ?, ?)"
PASSAGE = "INSERT INTO passages (rowid, title, text) VALUES (?, ?, ?)"
EMBEDDER = """
INSERT INTO embedders (name, size) VALUES (?, ?) ON CONFLICT DO UPDATE SET size = size RETURNING place, size
"""
KNOWN = "SELECT place FROM vectors WHERE key = ?"
VECTOR = "INSERT INTO vectors (key, embedder, vector) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
VECTORS_OF = "SELECT DISTINCT vector FROM chunks WHERE document = ? AND vector IS NOT NULL"
FORGET = (
    "DELETE FROM passages WHERE rowid IN (SELECT passage FROM chunks WHERE document = ?)",
    "DELETE FROM chunks WHERE document = ?",
    "DELETE FROM documents WHERE place = ?",
)
FORGET_UNUSED = """
DELETE FROM vectors WHERE place = ?
AND NOT EXISTS (SELECT 1 FROM chunks WHERE embedder = vectors.embedder AND vector = vectors.place)
"""
UNQUARANTINE = "DELETE FROM quarantine WHERE id = ?"
QUARANTINE = """
INSERT INTO quarantine (id, url, source, stage, kind, error, attempts, size, correlation, at, content)
VALUES (:id, :url, :source, :stage, :kind, :error, :attempts, :size, :correlation, :at, :content)
ON CONFLICT (id) DO UPDATE SET url = :url, source = :source, stage = :stage, kind = :kind, error = :error,
attempts = attempts + :attempts, size = :size, correlation = :correlation, at = :at, content = :content
"""

# ---- looking up what is in -------------------------------------------------------------------------

VERSION = "SELECT version FROM documents WHERE id = ? AND id NOT IN (SELECT id FROM quarantine)"
CACHED = "SELECT vector FROM vectors WHERE key = ?"
QUARANTINED = """
SELECT id, url, source, stage, kind, error, attempts, size, correlation, at, content FROM quarantine ORDER BY place
"""
LISTED = "SELECT id FROM documents WHERE source = ? UNION SELECT id FROM quarantine WHERE source = ?"
COUNTS = """
SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM chunks),
(SELECT count(*) FROM chunks WHERE vector IS NOT NULL), (SELECT count(*) FROM quarantine)
"""
