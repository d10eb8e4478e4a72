"""An index whose process is killed while it stores: every document is whole, in its old version or its new one."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random

from agentrt.index.sqlite import SqliteIndex

KILLS = 30
DOCUMENTS = 12

CHILD = f"""
import asyncio, os, sys
from agentrt.index.index import Chunk, Document, Entry
from agentrt.index.sqlite import SqliteIndex

def entry(name, version):
    texts = [f"{{name}} version {{version}} part {{part}} " + "word " * 200 for part in range(1 + version % 5)]
    document = Document(name, name, "", tuple(Chunk(text, 0, len(text)) for text in texts))
    vectors = tuple(text[:16].encode() for text in document.embedded())
    return Entry(document=document, version=str(version), source="s", vectors=vectors)

async def main():
    index = SqliteIndex(sys.argv[1])
    version = int(sys.argv[2])
    while True:
        version += 1
        for first in range(0, {DOCUMENTS}, 4):
            entries = [entry(f"d{{number}}", version) for number in range(first, first + 4)]
            await index.cache("m", entries[0].document.embedded(), entries[0].vectors)
            assert await index.store(entries, "m") == [None] * 4
            os.write(1, f"{{first}} {{version}}\\n".encode())
        assert await index.remove("d0")

asyncio.run(main())
"""


def killed(path: Path, version: int, random: Random) -> dict[str, int]:
    """Let a process store from this version on and kill it; which version of which document it had acknowledged."""
    process = subprocess.Popen([sys.executable, "-c", CHILD, path, str(version)], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(random.randrange(1, 40))]
        process.kill()
        said += process.stdout.readlines()
    told: dict[str, int] = {}
    for first, _, of in (line.partition(" ") for line in said):
        told |= {f"d{int(first) + place}": int(of) for place in range(4)}
    return told


_TEXTS = """
SELECT text FROM passages JOIN chunks ON passage = passages.rowid WHERE document = ? ORDER BY passage
"""
_COUNTS = """
SELECT (SELECT count(*) FROM chunks), (SELECT count(*) FROM passages), count(*)
FROM chunks JOIN vectors ON vectors.place = chunks.vector JOIN passages ON passages.rowid = chunks.passage
"""
_UNUSED = "SELECT count(*) FROM vectors WHERE place NOT IN (SELECT vector FROM chunks)"


def check(path: Path, told: dict[str, int]) -> int:
    """Every document is whole, and what was acknowledged is in; the greatest version that is."""
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        database.execute("INSERT INTO passages (passages, rank) VALUES ('integrity-check', 1)")
        held = {
            name: (place, int(of)) for name, place, of in database.execute("SELECT id, place, version FROM documents")
        }
        assert told.keys() - {"d0"} <= held.keys()
        for name, (place, version) in held.items():
            texts = [text.partition(" word")[0] for (text,) in database.execute(_TEXTS, (place,))]
            assert texts == [f"{name} version {version} part {part}" for part in range(1 + version % 5)]
            assert version >= told.get(name, 0)
        chunks, passages, joined = database.execute(_COUNTS).fetchone()
        assert chunks == passages == joined
        ((unused,),) = database.execute(_UNUSED)
        assert unused <= 5 * KILLS  # cached, and then the process was killed: one batch of it at most
        return max((version for _, version in held.values()), default=0)


def test_every_document_is_whole_after_kill_9(tmp_path: Path) -> None:
    random, version = Random(3), 0
    told: dict[str, int] = {}
    for _ in range(KILLS):
        told |= killed(tmp_path / "i.db", version, random)
        version = check(tmp_path / "i.db", told)

    async def main() -> None:
        index = SqliteIndex(tmp_path / "i.db")
        counts = await index.counts()
        assert DOCUMENTS - 1 <= counts.documents <= DOCUMENTS and counts.chunks == counts.vectors
        await index.aclose()

    asyncio.run(main())
    print(f"{KILLS} kills, {version} versions")
