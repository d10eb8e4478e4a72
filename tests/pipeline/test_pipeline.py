"""The whole pipeline over a real web server on loopback, a real way out and a real index."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest

from agentrt.egress.egress import Egress
from agentrt.egress.policy import EgressPolicy
from agentrt.errors import AgentrtError, EgressRefused, SettingInvalid, Unreadable
from agentrt.index.index import Chunk
from agentrt.index.sqlite import SqliteIndex
from agentrt.pipeline.chunk import split
from agentrt.pipeline.document import Failed
from agentrt.pipeline.pipeline import Pipeline, PipelineSettings, Report, Snapshot


class Site:
    """Serves `pages`: a body, or (status, content type, body); a path under /slow/ never answers.

    A path under /after/ answers once one under /slow/ was asked for.
    """

    def __init__(self, pages: dict[str, bytes | tuple[int, str, bytes]]) -> None:
        self.pages = pages
        self.port = 0
        self.open = 0
        self.slow_asked = asyncio.Event()
        self.all_closed = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.all_closed.clear()
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                path = request.split()[1].decode()
                if path.startswith("/slow/"):
                    self.slow_asked.set()
                    await reader.read(1)  # until the other side is gone
                if path.startswith("/after/"):
                    await self.slow_asked.wait()
                page = self.pages.get(path, (404, "text/plain", b"no"))
                status, kind, body = page if isinstance(page, tuple) else (200, "text/plain", page)
                head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self.open -= 1
            if not self.open:
                self.all_closed.set()


@asynccontextmanager
async def site(pages: dict[str, bytes | tuple[int, str, bytes]]) -> AsyncIterator[Site]:
    world = Site(pages)
    server = await asyncio.start_server(world.talk, "127.0.0.1", 0)
    world.port = server.sockets[0].getsockname()[1]
    try:
        yield world
    finally:
        server.close()


def way_out(world: Site) -> Egress:
    return Egress(EgressPolicy(allow=frozenset({f"127.0.0.1:{world.port}"})))


def manifest(*lines: object) -> bytes:
    return b"\n".join(line if isinstance(line, bytes) else msgspec.json.encode(line) for line in lines)


def test_the_documents_of_a_manifest_can_be_searched_and_each_ends_once() -> None:
    pages: dict[str, bytes | tuple[int, str, bytes]] = {
        f"/doc/{number}": f"Page {number} is about lease{number}.\n\n{'More text. ' * 300}".encode()
        for number in range(40)
    }
    lines = [{"path": path, "title": f"Title {path[-1]}"} for path in pages]

    async def main() -> None:
        async with site({**pages, "/m": manifest(*lines)}) as world, way_out(world) as egress:
            index = SqliteIndex()
            report = await Pipeline(egress, index).run(f"{world.url}/m")

            assert (report.total, report.stored, report.failures) == (40, 40, ())
            assert report.passages > 80
            (hit, *_) = await index.search("lease17")
            assert (hit.url, hit.title) == (f"{world.url}/doc/17", "Title 7")
            assert hit.text.startswith("Page 17")
            await index.aclose()

    asyncio.run(main())


def test_what_fails_is_named_with_its_stage_and_reason_and_stops_nothing() -> None:
    lines = manifest(
        {"path": "/good"},
        {"path": "/missing"},
        {"path": "/blank"},
        {"path": "/page.html"},
        {"path": "/page.xhtml"},
        {"path": "/feed.xml"},
        {"path": "/picture"},
        {"url": "http://10.0.0.1/"},
        {"url": "ftp://127.0.0.1/"},
        b"not json",
    )
    pages: dict[str, bytes | tuple[int, str, bytes]] = {
        "/m": lines,
        "/good": b"good text",
        "/blank": b" \n ",
        "/page.html": (200, "text/html; charset=utf-8", b"<p>x"),
        "/page.xhtml": (200, "application/xhtml+xml", b"<p>x</p>"),
        "/feed.xml": (200, "application/xml", b"<p>x</p>"),
        "/picture": (200, "image/png", b"x"),
    }

    async def main() -> tuple[Report, str]:
        async with site(pages) as world, way_out(world) as egress:
            index = SqliteIndex()
            report = await Pipeline(egress, index).run(f"{world.url}/m")
            (hit,) = await index.search("text")
            assert (hit.title, hit.text) == ("good", "good text")
            await index.aclose()
            return report, world.url

    report, url = asyncio.run(main())
    ends = {failure.url.removeprefix(url): (failure.stage, failure.error) for failure in report.failures}
    assert (report.total, report.stored, len(report.failures)) == (10, 1, 9)
    assert ends["/missing"] == ("download", "the server answered 404")
    assert ends["/blank"] == ("chunk", "the document has no text")
    assert ends["/page.html"] == (
        "download",
        "text/html is not read yet; plain text, Markdown and reStructuredText are",
    )
    assert ends["/page.xhtml"][1].startswith("application/xhtml+xml is not read yet")
    assert ends["/feed.xml"][1].startswith("application/xml is not read yet")
    assert ends["/picture"][1].startswith('the document is "image/png"')
    assert "10.0.0.0/8 (private, RFC 1918)" in ends["http://10.0.0.1/"][1]
    assert "only http and https" in ends["ftp://127.0.0.1/"][1]
    assert ends["/m#line-10"][0] == "manifest"


def test_progress_is_told_and_its_counts_add_up() -> None:
    told: list[Snapshot] = []
    paths = [f"/doc/{number}" for number in range(30)]
    lines = [{"path": path} for path in [*paths, "/missing"]]

    async def main() -> Pipeline:
        async with site({**dict.fromkeys(paths, b"text"), "/m": manifest(*lines)}) as world, way_out(world) as egress:
            index = SqliteIndex()
            settings = PipelineSettings(queue_size=4, downloads=3)
            pipeline = Pipeline(egress, index, settings=settings, progress=told.append)
            assert pipeline.snapshot().total is None
            await pipeline.run(f"{world.url}/m")
            await index.aclose()
            return pipeline

    last = asyncio.run(main()).snapshot()
    assert told[-1] == last
    assert last.total == 31
    assert [(stage.name, stage.queued, stage.busy, stage.done, stage.failed) for stage in last.stages] == [
        ("download", 0, 0, 30, 1),
        ("chunk", 0, 0, 30, 0),
        ("store", 0, 0, 30, 0),
    ]
    for snapshot in told:
        assert all(0 <= stage.queued <= 4 for stage in snapshot.stages)
        assert snapshot.stages[0].busy <= 3
        assert sum(stage.done + stage.failed for stage in snapshot.stages[:1]) <= 31


def test_cancelling_leaves_no_task_no_connection_and_only_whole_documents() -> None:
    paths = [f"/after/{number}" for number in range(20)]
    lines = [{"path": path} for path in [*(f"/slow/{number}" for number in range(5)), *paths]]
    text = "\n\n".join(f"Part {number}: {'word ' * 200}" for number in range(100))
    pages: dict[str, bytes | tuple[int, str, bytes]] = dict.fromkeys(paths, text.encode())

    async def main() -> None:
        async with site({**pages, "/m": manifest(*lines)}) as world:
            others = asyncio.all_tasks()
            index = SqliteIndex()
            third_is_stored = asyncio.Event()

            def watch(told: Snapshot) -> None:
                store = told.stages[-1]
                if (store.done, store.busy) == (2, 1):
                    third_is_stored.set()

            async with way_out(world) as egress:
                pipeline = Pipeline(egress, index, progress=watch)
                filling = asyncio.create_task(pipeline.run(f"{world.url}/m"))
                await third_is_stored.wait()
                await index.search("word")  # queued behind it, so that it has at least begun
                filling.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await filling
                mine = {task for task in asyncio.all_tasks() - others if "Site.talk" not in repr(task)}
                assert mine == set()
            await world.all_closed.wait()
            passages = Counter(hit.document for hit in await index.search("word", k=10_000))
            assert 2 <= len(passages) < len(paths)
            assert set(passages.values()) == {len(split(text))}
            await index.aclose()

    asyncio.run(main())


def test_the_loop_goes_on_while_a_document_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> Report:
        loop, loop_went_on = asyncio.get_running_loop(), threading.Event()

        def split_that_waits_for_the_loop(text: str, *, size: int) -> tuple[Chunk, ...]:
            loop.call_soon_threadsafe(loop_went_on.set)
            assert loop_went_on.wait(10), "the loop stood still"
            return split(text, size=size)

        monkeypatch.setattr("agentrt.pipeline.pipeline.split", split_that_waits_for_the_loop)
        async with site({"/a": b"text", "/m": manifest({"path": "/a"})}) as world, way_out(world) as egress:
            index = SqliteIndex()
            report = await Pipeline(egress, index).run(f"{world.url}/m")
            await index.aclose()
            return report

    assert asyncio.run(main()).failures == ()


@pytest.mark.parametrize(
    ("manifest_url", "error", "told"),
    [
        (
            lambda world: f"{world.url}/absent",
            Unreadable,
            r'the manifest "http://127\.0\.0\.1:\d+/absent" cannot be read: the server answered 404',
        ),
        (lambda world: "http://10.0.0.1/m", EgressRefused, r'of "10\.0\.0\.1" is not public'),
    ],
)
def test_a_manifest_that_cannot_be_had_ends_the_whole(
    manifest_url: Callable[[Site], str], error: type[AgentrtError], told: str
) -> None:
    async def main() -> None:
        async with site({}) as world, way_out(world) as egress:
            index = SqliteIndex()
            with pytest.raises(error, match=told):
                await Pipeline(egress, index).run(manifest_url(world))
            await index.aclose()

    asyncio.run(main())


def test_an_empty_manifest_is_a_short_run_and_a_second_run_is_refused() -> None:
    async def main() -> None:
        async with site({"/m": b"\n"}) as world, way_out(world) as egress:
            index = SqliteIndex()
            pipeline = Pipeline(egress, index)
            report = await pipeline.run(f"{world.url}/m")
            assert (report.total, report.stored, report.passages) == (0, 0, 0)
            with pytest.raises(RuntimeError, match="has run"):
                await pipeline.run(f"{world.url}/m")
            await index.aclose()

    asyncio.run(main())


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(SettingInvalid, match="downloads=0; it needs 1 or more"):
        PipelineSettings(downloads=0)


def test_the_records_can_be_sent_as_json() -> None:
    report = Report(1, 0, 0, (Failed("u", "download", "why"),), 0.5)
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report
