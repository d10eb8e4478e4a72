"""The verb, over folders, files and the web, into files and indices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from agentrt import ingest
from agentrt.errors import SettingInvalid, Unreadable
from agentrt.index.sqlite import SqliteIndex
from agentrt.pipeline.document import Reference
from agentrt.pipeline.report import PipelineSettings, Report, Snapshot
from tests.pipeline.documents import pdf
from tests.pipeline.world import Digests, site


def titles(index: Path, query: str) -> list[str]:
    async def main() -> list[str]:
        opened = SqliteIndex(index)
        hits = await opened.search(query)
        await opened.aclose()
        return [hit.title for hit in hits]

    return asyncio.run(main())


@pytest.mark.smoke
def test_a_folder_becomes_an_index_that_is_kept_up_with_it(tmp_path: Path) -> None:
    docs, kb = tmp_path / "docs", tmp_path / "docs" / "kb.sqlite"
    docs.mkdir()
    (docs / "lamps.md").write_text("# Lamps\n\nLamps are tested for two days.")
    (docs / "hours.txt").write_text("We open at nine.")

    report = asyncio.run(ingest(docs, index=kb))
    assert (report.stored, report.quarantined, report.total) == (2, 0, 2)  # the index, in the folder, is no document
    assert titles(kb, "lamps") == ["Lamps"]

    (docs / "hours.txt").write_text("We open at ten. Lamps are lit.")
    report = asyncio.run(ingest(str(docs), index=str(kb)))
    assert (report.stored, report.unchanged) == (1, 1)
    assert sorted(titles(kb, "lamps")) == ["Lamps", "hours.txt"]

    (docs / "lamps.md").unlink()
    assert asyncio.run(ingest(docs, index=kb)).removed == 0
    report = asyncio.run(ingest(docs, index=kb, prune=True))
    assert (report.removed, report.unchanged, report.pruned) == (1, 1, True)
    assert titles(kb, "lamps") == ["hours.txt"]


def test_the_web_is_read_by_the_way_out_and_only_where_it_is_allowed() -> None:
    pages = {
        "/m.jsonl": (200, "application/octet-stream", b'{"path": "book"}\n{"path": "page"}\n{"path": "note.md"}'),
        "/book": (200, "application/octet-stream", pdf("Porcelain.")),
        "/page": (200, "text/html", b"<title>T</title><p>Glass."),
        "/note.md": (200, "text/markdown", b"Wood."),
    }

    async def main() -> None:
        async with site(pages) as world:
            index = SqliteIndex()
            allow = {world.url.removeprefix("http://")}
            report = await ingest(f"{world.url}/m.jsonl", index=index, allow=allow)
            assert (report.stored, report.failures) == (3, ())
            report = await ingest(f"{world.url}/page", index=index, allow=allow)
            assert report.unchanged == 1
            report = await ingest(f"{world.url}/page", index=index)
            assert [failure.kind for failure in report.failures] == ["egress_refused"]
            await index.aclose()

    asyncio.run(main())


def test_an_iterator_a_embedder_settings_and_progress_are_passed_on(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("word " * 100)
    told: list[Snapshot] = []

    async def mine() -> AsyncGenerator[Reference]:
        yield Reference("my:1", "Mine", tmp_path / "a.txt")

    async def main() -> Report:
        index, embedder = SqliteIndex(), Digests()
        settings = PipelineSettings(chunk_size=100)
        report = await ingest(mine(), index=index, embedder=embedder, settings=settings, progress=told.append)
        assert (await index.counts()).vectors == report.passages == 5
        assert [hit.document for hit in await index.search("word", k=1)] == ["my:1"]
        with pytest.raises(SettingInvalid, match="prune=True needs a source with a name"):
            await ingest(mine(), index=index, embedder=embedder, prune=True)
        await index.aclose()
        return report

    report = asyncio.run(main())
    assert told[-1].counted.stored == report.stored == 1


def test_vectors_are_not_lost_by_forgetting_the_embedder(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("A lamp.")

    async def main() -> None:
        memory = SqliteIndex()
        for index in (tmp_path / "kb.sqlite", memory):
            await ingest(tmp_path / "docs", index=index, embedder=Digests())
            with pytest.raises(SettingInvalid, match="give the embedder that made them"):
                await ingest(tmp_path / "docs", index=index)
            again = await ingest(tmp_path / "docs", index=index, embedder=Digests())
            assert (again.stored, again.unchanged) == (0, 1)
        await memory.aclose()

    asyncio.run(main())


@pytest.mark.smoke
def test_what_gives_nothing_is_an_error_and_makes_no_index(tmp_path: Path) -> None:
    kb = tmp_path / "kb.sqlite"
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unreadable, match=r'"file://.*/empty" holds no document'):
        asyncio.run(ingest(tmp_path / "empty", index=kb))
    with pytest.raises(SettingInvalid, match="is neither a folder"):
        asyncio.run(ingest(tmp_path / "absent", index=kb))
    assert not kb.exists()
