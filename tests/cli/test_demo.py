"""The demo as a person meets it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from agentrt.cli.main import main

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "agentrt.cli.main", "demo"]
PACKAGES = ["anyio", "typing-extensions", "pydantic"]

FAKE = """\
Metadata-Version: 2.4
Name: zz-fake-dist
Version: 4.5.6
Summary: Not there.
Requires-Dist: anyio>=1
Provides-Extra: models
Requires-Dist: pydantic; extra == "models"
Requires-Dist: typing-extensions; python_version < "3"
Description-Content-Type: text/markdown

# zz-fake-dist

Zz-fake-dist folds paper cranes out of requirement files.
"""


def environ(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    return {**kept, "COLUMNS": "200", **more}


def ask(*arguments: str, typed: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        input=typed,
        env=environ(**more),
        check=False,
        timeout=120,
    )


@pytest.fixture
def fake(tmp_path: Path) -> str:
    """A folder on the path with a distribution that is only metadata."""
    folder = tmp_path / "zz_fake_dist-4.5.6.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(FAKE)
    return str(tmp_path)


def needs(package: str, path: str) -> tuple[set[str], set[str]]:
    """Who needs the package here without an extra, and who only with one; by the metadata itself."""
    plain, optional, seen = set[str](), set[str](), set[str]()
    for distribution in distributions(path=[path, *sys.path]):
        name = canonicalize_name(distribution.metadata["Name"])
        if name in seen:
            continue
        seen.add(name)
        for line in distribution.requires or ():
            requirement = Requirement(line)
            if canonicalize_name(requirement.name) != package:
                continue
            marker = requirement.marker
            if marker is None or marker.evaluate({"extra": ""}):
                plain.add(name)
            elif any(
                marker.evaluate({"extra": extra}) for extra in distribution.metadata.get_all("Provides-Extra") or ()
            ):
                optional.add(name)
    return plain, optional - plain


def names(answer: str) -> set[str]:
    return set(re.findall(r"^- (\S+) \d", answer, re.M))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_answer_names_who_needs_a_package_as_the_metadata_does(package: str, fake: str) -> None:
    done = ask(f"which installed packages need {package}, and what does each of them do?", PYTHONPATH=fake)
    assert done.returncode == 0, done.stderr
    plain, _, optional = done.stdout.partition("Optional, only with an extra")
    expected = needs(package, fake)
    assert (names(plain), names(optional)) == expected
    assert ("zz-fake-dist" in expected[0]) == (package == "anyio")


def test_a_package_that_is_on_the_path_only_now_is_quoted_from_its_own_readme(fake: str) -> None:
    done = ask("which installed packages need anyio, and what does each of them do?", PYTHONPATH=fake)
    assert "“Zz-fake-dist folds paper cranes out of requirement files.”" in done.stdout


def test_without_its_database_the_demo_says_that_it_cannot_tell() -> None:
    done = ask("--without", "database", "which installed packages need anyio, and what does each of them do?")
    assert done.returncode == 0, done.stderr
    assert "cannot tell" in done.stdout
    assert names(done.stdout) == set()


@pytest.mark.smoke
def test_sources_tokens_and_totals_stand_at_the_end() -> None:
    done = ask("how does `with` work?")
    assert done.returncode == 0, done.stderr
    assert "[1]" in done.stdout
    assert re.search(r"Sources:\n\[1\] .*http://127", done.stdout)
    last = done.stdout.strip().splitlines()[-1]
    assert re.fullmatch(r"3 turns, \d+ tool calls, [\d,]+ tokens in and [\d,]+ out, [\d.]+ s", last)
    assert "No language model is in use" in done.stdout


def test_without_a_question_it_is_a_chat() -> None:
    done = ask(typed="how does `with` work?\nwhat depends on h11?\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Sources:") == 2


@pytest.mark.parametrize(
    ("arguments", "more", "says"),
    [
        (["--model", "nobody:x", "hi"], {}, 'no provider is named "nobody"; known are anthropic'),
        (["--model", "gpt-5", "hi"], {}, 'expected "provider:model"'),
        (["--model", "openai:gpt-5", "hi"], {}, "OPENAI_API_KEY"),
        (["--model", "local:other", "hi"], {}, '"local:other": expected qwen-1.5b, qwen-0.5b or the path'),
        (["--corpus", "http://127.0.0.1:9/manifest.jsonl", "hi"], {}, "127.0.0.1:9"),
        (["--corpus", "nonsense", "hi"], {}, "nonsense"),
        (["--turns", "0", "hi"], {}, "needs at least 1"),
        (["--deadline", "0", "hi"], {}, "more than 0 seconds"),
        (["--without", "nothing", "hi"], {}, "no such tool"),
        (["--model", "openai:gpt-5", "hi"], {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}, "127.0.0.1:9"),
        (["--model", "openai:gpt-5", "hi"], {"OPENAI_BASE_URL": "nonsense"}, "expected an address"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(
    arguments: list[str],
    more: dict[str, str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in os.environ if name.startswith("OPENAI_")]:
        monkeypatch.delenv(name)
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        code = main(["demo", *arguments])
    finally:
        signal.signal(signal.SIGTERM, terminated)
    said = capsys.readouterr().err
    lines = said.strip().splitlines()
    assert (code, len(lines)) == (1, 1), said
    assert lines[0].startswith("agentrt: ")
    assert says in lines[0]


def test_debug_shows_the_traceback() -> None:
    done = ask("--debug", "--model", "nobody:x", "hi")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@contextmanager
def answering(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A demo that has begun to answer."""
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, text=True, env=environ())
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "fetch_document" in line:
                break
        yield process
    finally:
        process.kill()
        process.communicate()


def listening(process: int) -> list[str]:
    """Local addresses on which the process listens."""
    inodes = set[str]()
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        inodes |= set(re.findall(r"socket:\[(\d+)\]", str(descriptor.readlink())))
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return [row.split()[1] for row in table if row.split()[3] == "0A" and row.split()[9] in inodes]


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads sockets from /proc")
def test_ctrl_c_leaves_in_order_and_leaves_nothing_behind() -> None:
    with answering("which installed packages need typing-extensions, and what does each of them do?") as process:
        ports = listening(process.pid)
        assert ports
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        before = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 130
        assert time.monotonic() - before < 5  # the promise is 1 s: bench/leaving.py measures it
        assert children == []
        table = Path("/proc/net/tcp").read_text()
        assert not [port for port in ports if f" {port} 00000000:0000 0A " in table]


def test_a_second_ctrl_c_leaves_at_once() -> None:
    script = """
import asyncio, sys
from agentrt.cli.leaving import run_command

async def stubborn() -> int:
    print("ready", flush=True)
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            print("no", flush=True)

sys.exit(run_command(stubborn()))
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "no\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130
    process.stdout.close()


def test_a_corpus_of_ones_own_is_indexed(tmp_path: Path) -> None:
    (tmp_path / "lamps.txt").write_text("Lamps of the series Aurora are repaired in Turku by three people.")
    (tmp_path / "manifest.jsonl").write_text(json.dumps({"path": "lamps.txt", "title": "Lamps"}) + "\n")
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        found = re.search(r"http://[\d.:]+", server.stdout.readline())
        assert found is not None
        done = ask("--corpus", f"{found[0]}/manifest.jsonl", "where are Aurora lamps repaired?")
    finally:
        server.kill()
        server.communicate()
    assert done.returncode == 0, done.stderr
    assert "repaired in Turku" in done.stdout
