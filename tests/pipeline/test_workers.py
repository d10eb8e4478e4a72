"""Real worker processes; some are given a reader that hangs or crashes where it is told to."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agentrt.errors import SettingInvalid
from agentrt.pipeline import workers as workers_module
from agentrt.pipeline.document import DocumentFailed
from agentrt.pipeline.parse import Order
from agentrt.pipeline.workers import Workers
from agentrt.testing import assert_no_leaks
from tests.pipeline.documents import pdf
from tests.pipeline.world import alive, children

ROOT = Path(__file__).parents[2]
GIB = 1024**3

POISON = """
import os, signal, time
from agentrt.pipeline import worker
real = worker.parse
def parse(order):
    if order.content == b"hang":
        while True: pass
    if order.content == b"crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if order.content == b"leave":
        os._exit(3)
    if order.content == b"swell":
        return bytes(8 * 1024**3)
    if order.content == b"print":
        os.write(1, b"noise from C")
    if order.content == b"odd":
        raise KeyError("odd")
    return real(order)
worker.parse = parse
"""


def page(content: bytes) -> Order:
    return Order("html", content, "utf-8", 1200)


def run(work: Callable[[Workers], Awaitable[None]], *, deadline: float = 20.0) -> None:
    """Do it with workers, and see that nothing is left."""

    async def main() -> None:
        async with assert_no_leaks():
            workers = Workers(deadline=deadline, memory=GIB)
            try:
                await work(workers)
            finally:
                await workers.aclose()

    before = children()
    asyncio.run(main())
    assert children() == before


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    boot = workers_module._BOOT
    at = boot.index("from agentrt")
    monkeypatch.setattr(workers_module, "_BOOT", boot[:at] + POISON + boot[at:])


def test_documents_are_read_in_other_processes_that_are_used_again() -> None:
    async def work(workers: Workers) -> None:
        before = children()
        parsed = await workers.parse(page(b"<title>T</title><p>Text."))
        assert (parsed.title, [chunk.text for chunk in parsed.chunks]) == ("T", ["Text."])
        started = children() - before
        assert len(started) == 1
        big = b"<p>" + b"word " * 1_000_000
        assert len((await workers.parse(page(big))).chunks) > 4000
        assert (await workers.parse(Order("pdf", pdf("A page."), "utf-8", 1200))).chunks[0].text == "A page."
        assert children() - before == started

    run(work)


def test_as_many_as_are_asked_at_once_work_at_once() -> None:
    async def work(workers: Workers) -> None:
        before = children()
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(workers.parse(page(b"<p>%d" % number)))
        assert len(children() - before) == 3

    run(work)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize(
    ("poison", "kind", "told"),
    [
        (b"hang", "parse_timeout", "took longer than 1 s; its worker process was killed"),
        (b"crash", "parse_crash", "ended its worker process: it was ended by SIGSEGV"),
        (b"leave", "parse_crash", "ended its worker process: it left with code 3"),
        (b"swell", "memory", "more memory than a worker may have"),
        (b"odd", "parse_failed", "KeyError: 'odd'"),
        (b"", "empty", "the document has no text"),
    ],
)
def test_exactly_the_poisoned_document_is_blamed(poison: bytes, kind: str, told: str) -> None:
    async def work(workers: Workers) -> None:
        said: dict[bytes, str] = {}

        async def read(content: bytes) -> None:
            try:
                said[content] = (await workers.parse(page(content))).chunks[0].text
            except DocumentFailed as failed:
                said[content] = f"{failed.kind}: {failed}"

        await read(b"warm")
        async with asyncio.TaskGroup() as group:
            for content in (b"one", poison, b"two"):
                group.create_task(read(content))
        await read(b"three")
        blamed = said.pop(poison)
        assert said == {content: content.decode() for content in (b"warm", b"one", b"two", b"three")}
        assert blamed.startswith(kind)
        assert told in blamed

    run(work, deadline=1.0 if poison == b"hang" else 20.0)


@pytest.mark.usefixtures("poisoned")
def test_what_a_library_prints_does_not_get_between_the_replies() -> None:
    async def work(workers: Workers) -> None:
        assert (await workers.parse(page(b"print"))).chunks[0].text == "print"
        assert (await workers.parse(page(b"after"))).chunks[0].text == "after"

    run(work)


@pytest.mark.usefixtures("poisoned")
def test_a_cancel_kills_the_worker_that_had_the_document() -> None:
    async def work(workers: Workers) -> None:
        before = children()
        await workers.parse(page(b"warm"))
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(workers.parse(page(b"hang")))
            await asyncio.sleep(0.1)
            reading.cancel()
        assert children() == before
        assert (await workers.parse(page(b"after"))).chunks[0].text == "after"

    run(work)


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        return None

    monkeypatch.setattr(workers_module, "find_spec", nothing)
    workers_module._see_that_it_can.cache_clear()

    async def work(workers: Workers) -> None:
        with pytest.raises(SettingInvalid, match=r'reading PDF needs the package pypdfium2: pip install "agentrt\[ing'):
            await workers.parse(Order("pdf", b"", "utf-8", 1200))

    run(work)


def test_an_interpreter_that_cannot_start_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "_BOOT", "raise SystemExit(7)")

    async def work(workers: Workers) -> None:
        with pytest.raises(RuntimeError, match=r"a worker process could not start: .* left with code 7"):
            await workers.parse(page(b"x"))

    run(work)


PARENT = """
import asyncio, sys
from agentrt.pipeline import workers
from agentrt.pipeline.parse import Order
workers._BOOT = workers._BOOT.replace("from agentrt", sys.argv[1] + "from agentrt", 1)

async def main():
    pool = workers.Workers(deadline=1.0, memory=1024**3)
    async with asyncio.TaskGroup() as group:
        group.create_task(pool.parse(Order("html", b"warm", "utf-8", 1200)))
        await pool.parse(Order("html", b"warm", "utf-8", 1200))
        print("ready", flush=True)
        await pool.parse(Order("html", b"hang", "utf-8", 1200))

asyncio.run(main())
"""


def test_workers_end_when_their_parent_is_killed_even_those_that_hang() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, POISON], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "ready\n"
    workers = children(parent.pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert len(workers) == 2
    until = time.monotonic() + 20
    while any(map(alive, workers)):
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc that is told")
def test_a_worker_gives_back_the_memory_that_large_pages_took() -> None:
    async def work(workers: Workers) -> None:
        before = children()
        await workers.parse(page(b"<p>warm"))
        (worker,) = children() - before
        start = memory(worker)
        for links in (80_000, 12_000, 12_000):  # the first one takes 85 MB
            await workers.parse(page(b'<p><a href="x">word</a> ' * links))
        await workers.parse(page(b"<p>small"))
        assert memory(worker) - start < 8 * 1024**2

    run(work)


def memory(process: int) -> int:
    """Bytes of it that are resident."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


UNGUARDED = """
import asyncio
from agentrt.pipeline.parse import Order
from agentrt.pipeline.workers import Workers

async def main():
    pool = Workers(deadline=20, memory=1024**3)
    print((await pool.parse(Order("html", b"<p>Text.", "utf-8", 1200))).chunks[0].text)
    await pool.aclose()

asyncio.run(main())
"""


def test_the_users_own_main_module_needs_no_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("Text.\n", "")


def test_a_worker_imports_little() -> None:
    code = (
        "import sys, agentrt.pipeline.worker\n"
        "print(*{'asyncio', 'pydantic', 'openai', 'httpx2', 'sqlite3', 'ssl', 'rich'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
