"""Documents into a searchable database as one writes it first: one after another, each step waiting for the last.

`python -m bench.reference.ingest_sync MANIFEST EMBEDDINGS DATABASE` prints what it did as JSON.
"""

from __future__ import annotations

import json
import sqlite3
import struct
import sys
import time
from urllib.parse import urljoin

import httpx2
from selectolax.lexbor import LexborHTMLParser

SIZE = 1200
MODEL = "bench-64"
SCHEMA = """
CREATE TABLE documents (id TEXT PRIMARY KEY, title TEXT NOT NULL);
CREATE TABLE chunks (id INTEGER PRIMARY KEY, document TEXT NOT NULL, vector BLOB NOT NULL);
CREATE VIRTUAL TABLE passages USING fts5 (title, text, tokenize = 'porter unicode61 remove_diacritics 2');
"""


def read(page: str) -> tuple[str, str]:
    """Title and text of a page, a blank line between its blocks."""
    tree = LexborHTMLParser(page)
    title = tree.css_first("title")
    tree.strip_tags(["script", "style", "nav", "footer", "form"])
    for selector in ("main", "[role=main]", "article", "body"):
        part = tree.css_first(selector)
        if part is not None:
            blocks = part.css("h1, h2, h3, h4, h5, h6, p, li, dt, dd, pre, td") or [part]
            texts = (block.text(deep=True).strip() for block in blocks if not _inside(block))
            return title.text().strip() if title else "", "\n\n".join(filter(None, texts))
    return "", ""


def _inside(block: object) -> bool:
    """Whether its text is part of another block's."""
    parent = getattr(block, "parent", None)
    return parent is not None and parent.tag in {"p", "li", "dd", "td"}


def split(text: str) -> list[str]:
    """Chunks of whole paragraphs; only a paragraph that is too long is cut."""
    chunks: list[str] = []
    held = ""
    for paragraph in text.split("\n\n"):
        for start in range(0, len(paragraph), SIZE):
            piece = paragraph[start : start + SIZE]
            if held and len(held) + 2 + len(piece) > SIZE:
                chunks.append(held)
                held = ""
            held = f"{held}\n\n{piece}" if held else piece
    return [*chunks, held] if held else chunks


def embed(client: httpx2.Client, embeddings: str, texts: list[str]) -> list[bytes]:
    """A vector for each text."""
    response = client.post(f"{embeddings}/embeddings", json={"model": MODEL, "input": texts})
    response.raise_for_status()
    return [struct.pack(f"<{len(item['embedding'])}f", *item["embedding"]) for item in response.json()["data"]]


def store(database: sqlite3.Connection, url: str, title: str, chunks: list[str], vectors: list[bytes]) -> None:
    """The document, in one transaction."""
    with database:
        database.execute("INSERT INTO documents VALUES (?, ?)", (url, title))
        for text, vector in zip(chunks, vectors, strict=True):
            row = database.execute("INSERT INTO passages VALUES (?, ?)", (title, text)).lastrowid
            database.execute("INSERT INTO chunks VALUES (?, ?, ?)", (row, url, vector))


def ingest(manifest: str, embeddings: str, database: sqlite3.Connection) -> tuple[int, int, int]:
    """Documents stored, documents without text, chunks."""
    stored = empty = passages = 0
    with httpx2.Client(timeout=30.0, trust_env=False) as client:
        for line in client.get(manifest).raise_for_status().text.splitlines():
            url = urljoin(manifest, json.loads(line)["path"])
            title, text = read(client.get(url).raise_for_status().text)
            chunks = split(text)
            if not chunks:
                empty += 1
                continue
            store(database, url, title, chunks, embed(client, embeddings, chunks))
            stored += 1
            passages += len(chunks)
    return stored, empty, passages


def main() -> None:
    """Ingest and say how it went."""
    manifest, embeddings, path = sys.argv[1:]
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.executescript(SCHEMA)
    wall, cpu = time.perf_counter(), time.process_time()
    stored, empty, passages = ingest(manifest, embeddings, database)
    seconds = time.perf_counter() - wall
    database.close()
    said = {"stored": stored, "quarantined": empty, "passages": passages, "seconds": seconds}
    print(json.dumps(said | {"cpu": time.process_time() - cpu, "children_cpu": 0.0}))


if __name__ == "__main__":
    main()
