"""Cancelled or killed at any moment: nothing is left behind, nothing is half done, and the next run makes it whole."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from agentrt.egress.egress import Egress
from agentrt.index.sqlite import SqliteIndex
from agentrt.pipeline.journey import Parts
from agentrt.pipeline.pipeline import Pipeline
from agentrt.pipeline.report import PipelineSettings
from agentrt.pipeline.source import Folder
from agentrt.testing import assert_no_leaks
from tests.pipeline.world import Digests, alive, children, contents, site, way_out
from tests.pipeline.world import Names as Named

ROOT = Path(__file__).parents[2]
DOCUMENTS = 120


def corpus(folder: Path) -> Path:
    """Texts and pages of some passages each, one that is no document, and two of one text."""
    folder.mkdir()
    random = Random(1)
    for number in range(DOCUMENTS):
        words = " ".join(random.choices(["word", "text", "lease", "lamp", f"only{number}"], k=random.randint(5, 900)))
        if number % 3:
            (folder / f"{number}.txt").write_text(f"{words}\n\n{words[::-1]}")
        else:
            (folder / f"{number}.html").write_text(f"<title>{number}</title><p>{words}<h2>More</h2><p>{words}")
    (folder / "picture.png").write_bytes(b"\x89PNG\0")
    for name in ("one.txt", "other.txt"):
        (folder / name).write_text("The same text in two places.")
    return folder


async def fill(folder: Path, path: Path) -> None:
    index = SqliteIndex(path)
    try:
        async with Egress() as egress:
            await Pipeline(Folder(folder), Parts(index=index, egress=egress, embedder=Digests())).run()
    finally:
        await index.aclose()


def is_whole(found: dict[str, list[tuple[object, ...]]], whole: dict[str, list[tuple[object, ...]]]) -> bool:
    """Whether every document that is there is there entirely, and no piece of another."""
    there = {row[0] for row in found["documents"]}
    return (
        found["documents"] == [row for row in whole["documents"] if row[0] in there]
        and found["chunks"] == [row for row in whole["chunks"] if row[0] in there]
        and sorted(found["passages"], key=repr) == sorted(((row[3], row[4]) for row in found["chunks"]), key=repr)
    )


SCRIPT = """
import asyncio, sys
from pathlib import Path
from tests.pipeline.test_pipeline_cut_short import fill
print("begun", flush=True)
asyncio.run(fill(Path(sys.argv[1]), Path(sys.argv[2])))
"""


def killed(folder: Path, index: Path, seconds: float) -> bool:
    """Fill the index in another process, which is killed after that time; whether it was too late."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(index)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    time.sleep(seconds)
    workers = children(process.pid) if process.poll() is None else set()
    process.send_signal(signal.SIGKILL)
    code = process.wait()
    process.stdout.close()
    until = time.monotonic() + 20
    while any(map(alive, workers)):
        assert time.monotonic() < until, "a worker outlived its parent"
        time.sleep(0.01)
    return code == 0


def test_killed_at_any_moments_and_run_again_it_is_as_if_nothing_had_been(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "corpus")
    began = time.monotonic()
    asyncio.run(fill(folder, tmp_path / "whole.sqlite"))
    takes = time.monotonic() - began
    whole = contents(tmp_path / "whole.sqlite")
    assert len(whole["documents"]) == DOCUMENTS + 2
    assert len(whole["passages"]) > DOCUMENTS

    random, index = Random(7), tmp_path / "killed.sqlite"
    for _ in range(12):
        late = killed(folder, index, random.uniform(0.1, 1.1) * takes)
        if index.exists() and index.stat().st_size:
            asyncio.run(open_and_close(index))
            assert is_whole(contents(index), whole)
        if late:
            index.unlink()
    asyncio.run(fill(folder, index))
    assert contents(index) == whole


async def open_and_close(path: Path) -> None:
    """As a next run would: after a kill SQLite has something to finish, or the file may still have to be made."""
    index = SqliteIndex(path)
    await index.counts()
    await index.aclose()


def test_cancelled_at_any_moment_no_task_process_or_half_document_is_left(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "corpus")
    began = time.monotonic()
    asyncio.run(fill(folder, tmp_path / "whole.sqlite"))
    takes = time.monotonic() - began
    whole = contents(tmp_path / "whole.sqlite")
    random = Random(3)

    async def cancelled_after(seconds: float, index: Path) -> None:
        async with assert_no_leaks():
            async with asyncio.TaskGroup() as group:
                filling = group.create_task(fill(folder, index))
                await asyncio.sleep(seconds)
                filling.cancel()

    before = children()
    for number in range(12):
        index = tmp_path / f"{number}.sqlite"
        asyncio.run(cancelled_after(random.uniform(0.0, 0.9) * takes, index))
        assert children() == before
        if index.exists():
            assert is_whole(contents(index), whole)
            asyncio.run(fill(folder, index))
            assert contents(index) == whole


def test_after_a_cancel_what_has_been_read_is_stored_and_no_more_is_read() -> None:
    async def main() -> None:
        pages = {f"/{number}": b"text %d" % number for number in range(500)}
        async with site(pages) as world, way_out(world) as egress:
            index, embedder = SqliteIndex(), Digests()
            at_embedder = asyncio.Event()

            class Slow(Digests):
                async def embed(self, texts: object) -> list[bytes]:
                    at_embedder.set()
                    await asyncio.sleep(0.3)
                    return list(await embedder.embed(texts))  # type: ignore[arg-type]

            source = Named(*(f"{world.url}{path}" for path in pages))
            settings = PipelineSettings(readers=2, embed_batch=1, embeds=99)
            pipeline = Pipeline(source, Parts(index=index, egress=egress, embedder=Slow()), settings)
            async with asyncio.TaskGroup() as group:
                filling = group.create_task(pipeline.run())
                await at_embedder.wait()
                asked = len(world.asked)
                filling.cancel()
            read = pipeline.snapshot().stages[0].done
            assert 0 < read <= len(world.asked) <= asked + 2
            assert (await index.counts()).documents == read
            await index.aclose()

    asyncio.run(main())


def test_who_is_not_ready_after_the_grace_is_left() -> None:
    async def main() -> None:
        async with assert_no_leaks(), site({"/a": b"text"}) as world, way_out(world) as egress:
            index, at_embedder = SqliteIndex(), asyncio.Event()

            class Never(Digests):
                async def embed(self, texts: object) -> list[bytes]:
                    at_embedder.set()
                    await asyncio.sleep(3600)
                    raise AssertionError

            made = Parts(index=index, egress=egress, embedder=Never())
            pipeline = Pipeline(Named(f"{world.url}/a"), made, PipelineSettings(grace=0.2))
            loop = asyncio.get_running_loop()
            async with asyncio.TaskGroup() as group:
                filling = group.create_task(pipeline.run())
                await at_embedder.wait()
                filling.cancel()
                cancelled_at = loop.time()
                with pytest.raises(asyncio.CancelledError):
                    await filling
                assert 0.2 <= loop.time() - cancelled_at < 2
            assert (await index.counts()).documents == 0
            await index.aclose()

    asyncio.run(main())
