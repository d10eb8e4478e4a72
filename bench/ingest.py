"""Documents per second, and what they cost: `python -m bench.ingest`.

HTML manuals, fetched from a file server (10 ms an answer) and embedded by a service (20 ms a request), become a
searchable index: by `agentrt.ingest`, and in turn with it, over a sample of the same documents, by the synchronous
loop that one writes first. Every side is a process of its own; memory is the sum over it and its workers, sampled.
Then the same again over the same index, which must write nothing and ask for nothing; and runs that are killed in the
middle and run again, which must come to the same index.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]

from bench.servers_for_ingest import asked, servers

FOLDERS = ("/usr/share/doc/python3-doc/html", "/usr/share/doc/postgresql-doc-15/html")
INSTALL = "apt-get install -y --no-install-recommends python3-doc postgresql-doc"
SAMPLE = 200
OURS = "bench.ingest_ours"
SYNC = "bench.reference.ingest_sync"

_FOUND = "SELECT 1 FROM passages WHERE passages MATCH 'the' LIMIT 1"
_CONTENT = """
SELECT documents.id, documents.title, documents.url, documents.version, chunks.starts, chunks.ends,
    passages.title, passages.text, vectors.vector
FROM documents LEFT JOIN chunks ON chunks.document = documents.place
LEFT JOIN passages ON passages.rowid = chunks.passage LEFT JOIN vectors ON vectors.place = chunks.vector
ORDER BY documents.id, chunks.starts
"""
_HITS = """
SELECT documents.id, chunks.starts FROM passages JOIN chunks ON chunks.passage = passages.rowid
JOIN documents ON documents.place = chunks.document WHERE passages MATCH ? ORDER BY documents.id, chunks.starts
"""


class World(NamedTuple):
    """The servers, and how many documents the file server has."""

    files: str
    embeddings: str
    documents: int

    def command(self, side: str, index: Path, every: int = 1) -> list[str]:
        """The process that fills `index` with every so many of the documents."""
        return [sys.executable, "-m", side, f"{self.files}/manifest-{every}.jsonl", self.embeddings, str(index)]


class Measured(NamedTuple):
    """One process, from start to end."""

    documents: int
    stored: int
    unchanged: int
    quarantined: int
    passages: int
    seconds: float
    cpu: float
    children_cpu: float
    peak: float
    first: float
    requests: int

    @property
    def rate(self) -> float:
        return self.documents / self.seconds

    @property
    def cpu_ms(self) -> float:
        return (self.cpu + self.children_cpu) / self.documents * 1e3


def measured(world: World, side: str, index: Path, every: int = 1) -> Measured:
    """Run one side to its end. `peak` is in MB, `first` the seconds from its start to a search that finds something."""
    before, _ = asked(world.embeddings)
    started = time.perf_counter()
    process = subprocess.Popen(world.command(side, index, every), stdout=subprocess.PIPE, text=True)
    peak, first = 0.0, 0.0
    while process.poll() is None:
        peak = max(peak, _memory(process.pid))
        if not first and _finds(index):
            first = time.perf_counter() - started
        time.sleep(0.05 if not first else 0.2)
    assert process.stdout is not None
    if process.returncode:
        raise SystemExit(f"{side} ended with exit code {process.returncode}")
    said = json.loads(process.stdout.read())
    documents = -(-world.documents // every)
    ended = said["stored"] + said.get("unchanged", 0) + said["quarantined"]
    if ended != documents:
        raise SystemExit(f"{side}: {documents} documents were named and {ended} have ended: {said}")
    requests = asked(world.embeddings)[0] - before
    said.setdefault("unchanged", 0)
    return Measured(documents=documents, peak=peak, first=first, requests=requests, **said)


def _memory(pid: int) -> float:
    """Resident megabytes of a process and its descendants; what they share counts for each."""
    total = 0
    try:
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            total += one.memory_info().rss
    except psutil.Error:
        pass  # one of them has just ended
    return total / 1e6


def _opened(index: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{index.as_uri()}?mode=ro", uri=True)


def _finds(index: Path) -> bool:
    try:
        with closing(_opened(index)) as database:
            return database.execute(_FOUND).fetchone() is not None
    except sqlite3.OperationalError:
        return False  # there is no file yet, or no table in it


def _documents(index: Path) -> int:
    try:
        with closing(_opened(index)) as database:
            return int(database.execute("SELECT count(*) FROM documents").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


def fingerprint(index: Path) -> str:
    """Of everything in the index but the order in which it came: documents, chunks, vectors, full text."""
    digest = hashlib.sha256()
    with closing(_opened(index)) as database:
        for row in database.execute(_CONTENT):
            digest.update(repr(row).encode("utf-8", "backslashreplace"))
        for word in ("function", "transaction", "generator", "index"):
            digest.update(repr(database.execute(_HITS, (word,)).fetchall()).encode())
    return digest.hexdigest()


def compared(world: World, folder: Path, rounds: int) -> Path:
    """Both sides in turn; the index of the last round."""
    every = max(1, world.documents // SAMPLE)
    ours: list[Measured] = []
    theirs: list[Measured] = []
    for number in range(rounds):
        theirs.append(measured(world, SYNC, folder / f"sync-{number}.db", every))
        ours.append(measured(world, OURS, folder / f"ours-{number}.db"))
    print(f"\n{'median of ' + str(rounds):24}{'agentrt':>12}{'sync loop':>12}")
    for name, unit, form in (
        ("documents", "", "d"),
        ("stored", "", "d"),
        ("quarantined", "", "d"),
        ("passages", "", "d"),
        ("requests", "to embed", "d"),
        ("rate", "docs/s", ".1f"),
        ("cpu_ms", "a document", ".2f"),
        ("children_cpu", "s of workers", ".2f"),
        ("peak", "MB", ".0f"),
        ("first", "s to the first hit", ".2f"),
    ):
        ends = (statistics.median(getattr(one, name) for one in side) for side in (ours, theirs))
        a, b = (format(int(end) if form == "d" else end, form) for end in ends)
        print(f"{name + ' ' + unit:24}{a:>12}{b:>12}")
    ratios = [a.rate / b.rate for a, b in zip(ours, theirs, strict=True)]
    print(f"docs/s over the sync loop: {statistics.median(ratios):.2f} ({', '.join(f'{one:.2f}' for one in ratios)})")
    return folder / f"ours-{rounds - 1}.db"


def run_again(world: World, index: Path) -> None:
    """A second run over the same documents: what it wrote, as another connection sees it, and what it asked for."""
    with closing(_opened(index)) as database:
        version = "PRAGMA data_version"  # changes with every commit of another connection
        before = database.execute(version).fetchone()
        again = measured(world, OURS, index)
        written = database.execute(version).fetchone() != before
    print(
        f"\nsecond run: {again.unchanged} unchanged in {again.seconds:.1f} s ({again.rate:.0f} docs/s, "
        f"{again.cpu_ms:.2f} ms CPU each), {again.requests} embedding requests, "
        f"{'SOMETHING' if written else 'nothing'} written"
    )


def killed(world: World, folder: Path, whole: Path, share: float) -> None:
    """A run that is killed once so much of it is stored, and one that goes on from there."""
    index = folder / f"killed-{share:.2f}.db"
    _, before = asked(world.embeddings)
    process = subprocess.Popen(world.command(OURS, index), stdout=subprocess.DEVNULL)
    while process.poll() is None and _documents(index) < share * world.documents:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stored = _documents(index)
    after = measured(world, OURS, index)
    texts = asked(world.embeddings)[1] - before
    same = fingerprint(index) == fingerprint(whole)
    print(
        f"kill -9 with {stored} documents stored, then run again: {after.unchanged} unchanged, {after.stored} stored, "
        f"{texts} texts embedded in both; the index is {'the same' if same else 'ANOTHER ONE'}"
    )


def corpus(folders: Sequence[str], most: int) -> list[Path]:
    """HTML files of the folders, at most so many, from all over."""
    found = [file for folder in folders for file in sorted(Path(folder).resolve().rglob("*.html"))]
    if not found:
        raise SystemExit(f"no HTML in {', '.join(folders)}; on Debian: {INSTALL}")
    return found if len(found) <= most else [found[n * len(found) // most] for n in range(most)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", default=FOLDERS, help="folders of HTML; by default Debian's manuals")
    parser.add_argument("--documents", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    documents = corpus(arguments.folders, arguments.documents)
    size = sum(file.stat().st_size for file in documents) / 1e6
    print(f"{len(documents)} HTML documents, {size:.0f} MB")
    with tempfile.TemporaryDirectory() as folder, servers(documents) as (files, embeddings):
        world = World(files, embeddings, len(documents))
        whole = compared(world, Path(folder), arguments.rounds)
        run_again(world, whole)
        for share in (0.2, 0.5, 0.8):
            killed(world, Path(folder), whole, share)


if __name__ == "__main__":
    main()
