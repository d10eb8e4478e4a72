"""The whole pipeline over a real web server on loopback, a real way out, real worker processes and a real index."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from agentrt.egress.egress import Egress
from agentrt.errors import (
    AgentrtError,
    EgressRefused,
    IndexFailed,
    ProviderExhausted,
    ProviderRefused,
    SettingInvalid,
    Unreadable,
)
from agentrt.index.index import Entry
from agentrt.index.sqlite import SqliteIndex
from agentrt.pipeline.document import Broken, Ended, IngestStopped, Listed, Parsed, Reference
from agentrt.pipeline.journey import Parts
from agentrt.pipeline.parse import Order, parse
from agentrt.pipeline.pipeline import Pipeline
from agentrt.pipeline.report import MIB, PipelineSettings, Report, Snapshot
from agentrt.pipeline.source import RemoteManifest
from agentrt.pipeline.workers import Workers
from agentrt.testing import assert_no_leaks
from tests.pipeline.documents import pdf
from tests.pipeline.world import Digests, Impatient, Names, Page, Site, children, contents, site, way_out

HTML = b"<title>A page</title><main><h1>Head</h1><p>Hypertext about leases.</main>"


def manifest(*lines: object) -> bytes:
    return b"\n".join(line if isinstance(line, bytes) else msgspec.json.encode(line) for line in lines)


def parts(world: Egress, index: SqliteIndex, embedder: Digests | None = None) -> Parts:
    return Parts(index=index, egress=world, embedder=embedder, random=Impatient())


def test_documents_of_every_kind_can_be_searched_and_each_ends_once() -> None:
    pages: dict[str, Page] = {
        f"/doc/{number}": f"Page {number} is about lease{number}.\n\n{'More text. ' * 300}".encode()
        for number in range(40)
    }
    lines = [{"path": path, "title": f"Title {path[-1]}"} for path in pages]
    pages["/page.html"] = (200, "text/html; charset=utf-8", HTML)
    pages["/book.pdf"] = (200, "application/pdf", pdf("A book about porcelain.", title="Porcelain"))
    lines += [{"path": "/page.html"}, {"path": "/book.pdf"}]

    async def main() -> None:
        ended: list[Ended] = []
        async with assert_no_leaks(), site({**pages, "/m.jsonl": manifest(*lines)}) as world, way_out(world) as egress:
            index, embedder = SqliteIndex(), Digests()
            source = RemoteManifest(f"{world.url}/m.jsonl", egress)
            report = await Pipeline(source, parts(egress, index, embedder), ended=ended.append).run()

            assert (report.total, report.stored, report.unchanged, report.quarantined) == (42, 42, 0, 0)
            assert sorted(end.url for end in ended) == sorted(f"{world.url}{path}" for path in pages)
            assert report.passages == (await index.counts()).vectors > 80
            (hit, *_) = await index.search("lease17")
            assert (hit.url, hit.title) == (f"{world.url}/doc/17", "Title 7")
            assert [hit.title for hit in await index.search("hypertext")] == ["A page"]
            assert [hit.title for hit in await index.search("porcelain")] == ["Porcelain"]
            assert len(embedder.batches) < report.passages / 5  # it depends on how busy the machine is
            await index.aclose()

    before = children()
    asyncio.run(main())
    assert children() == before


def test_what_fails_is_in_quarantine_with_its_stage_and_reason_and_stops_nothing() -> None:
    lines = manifest(
        *({"path": f"/{name}"} for name in ("good", "missing", "blank", "feed.xml", "picture", "broken.pdf")),
        {"url": "http://10.0.0.1/"},
        {"url": "file:///etc/hostname"},
        b"not json",
    )
    pages: dict[str, Page] = {
        "/m.jsonl": lines,
        "/good": b"good text",
        "/blank": b" \n ",
        "/feed.xml": (200, "application/xml", b"<p>x</p>"),
        "/picture": (200, "image/png", b"x"),
        "/broken.pdf": (200, "application/pdf", b"%PDF-1.4 and no more"),
    }

    async def main() -> tuple[Report, str]:
        async with site(pages) as world, way_out(world) as egress:
            index = SqliteIndex()
            source = RemoteManifest(f"{world.url}/m.jsonl", egress)
            report = await Pipeline(source, parts(egress, index)).run()
            (hit,) = await index.search("text")
            assert (hit.title, hit.text) == ("good", "good text")
            rows = await index.quarantined()
            await index.aclose()
            failures = {(failure.url, failure.stage, failure.kind, failure.error) for failure in report.failures}
            assert failures == {(row.url, row.stage, row.kind, row.error) for row in rows}
            assert {row.source for row in rows} == {source.name}
            assert len({row.correlation for row in rows}) == len(rows)
            kept = {row.url.removeprefix(world.url): (row.size, row.content) for row in rows}
            assert kept["/broken.pdf"] == (20, b"%PDF-1.4 and no more")
            assert kept["/missing"] == (None, None)
            return report, world.url

    report, url = asyncio.run(main())
    ends = {f.url.removeprefix(url): (f.stage, f.kind, f.error) for f in report.failures}
    assert (report.total, report.stored, report.quarantined) == (9, 1, 8)
    assert ends["/missing"] == ("read", "http_404", "the server answered 404")
    assert ends["/blank"] == ("parse", "empty", "the document has no text")
    assert ends["/picture"][:2] == ("parse", "unsupported")
    assert ends["/feed.xml"][1] == "unsupported"
    assert ends["/broken.pdf"][:2] == ("parse", "not_a_pdf")
    assert "10.0.0.0/8 (private, RFC 1918)" in ends["http://10.0.0.1/"][2]
    assert "only http and https" in ends["file:///etc/hostname"][2]
    assert ends["/m.jsonl#line-9"][:2] == ("list", "manifest")


class Writes(SqliteIndex):
    """Remembers every call that writes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.written: list[str] = []

    async def store(self, entries: Sequence[Entry], embedder: str = "") -> list[Exception | None]:
        self.written += [entry.document.url for entry in entries]
        return await super().store(entries, embedder)

    async def cache(self, embedder: str, texts: Sequence[str], vectors: Sequence[bytes]) -> None:
        self.written += texts
        await super().cache(embedder, texts, vectors)


def test_a_second_run_writes_nothing_and_asks_for_nothing_and_a_change_is_done_alone(tmp_path: Path) -> None:
    pages: dict[str, Page] = {f"/{number}": b"Text %d." % number for number in range(60)}
    pages["/page"] = (200, "text/html", HTML)

    async def fill(world: Site, **settings: int) -> tuple[Report, list[str], int]:
        index, embedder = Writes(tmp_path / "kb.sqlite"), Digests()
        source = Names(*(f"{world.url}{path}" for path in pages))
        async with way_out(world) as egress:
            made = parts(egress, index, embedder)
            report = await Pipeline(source, made, PipelineSettings(**settings)).run()
        await index.aclose()
        return report, index.written, len(embedder.batches)

    async def main() -> None:
        async with site(pages) as world:
            await fill(world)
            before = contents(tmp_path / "kb.sqlite")
            report, written, batches = await fill(world)
            assert (report.stored, report.unchanged, report.passages) == (0, 61, 0)
            assert (written, batches) == ([], 0)
            assert contents(tmp_path / "kb.sqlite") == before

            world.pages["/7"] = b"Another text."
            report, written, batches = await fill(world)
            assert (report.stored, report.unchanged, batches) == (1, 60, 1)
            assert written == ["7 Another text.", f"{world.url}/7"]

            report, _, batches = await fill(world, chunk_size=500)  # the same passages, but who knows
            assert (report.stored, batches) == (61, 0)

    asyncio.run(main())


def test_what_passes_is_tried_again_and_what_does_not_is_not() -> None:
    def flaky(path: str, page: Page) -> Page:
        asked = world_of[0].asked.count(path)
        if path == "/ill" or (path == "/busy" and asked < 3):
            return (503, "text/plain", b"later")
        return page

    world_of: list[Site] = []

    async def main() -> None:
        async with site({"/busy": b"text", "/ill": b"text"}) as world, way_out(world) as egress:
            world_of.append(world)
            world.answer = flaky
            index = SqliteIndex()
            source = Names(*(f"{world.url}{path}" for path in ("/busy", "/ill", "/gone")))
            report = await Pipeline(source, parts(egress, index)).run()
            assert (report.stored, report.quarantined) == (1, 2)
            assert {path: world.asked.count(path) for path in world.asked} == {"/busy": 3, "/ill": 3, "/gone": 1}
            assert report.stages[0].retries == 4
            attempts = {row.url.removeprefix(world.url): row.attempts for row in await index.quarantined()}
            assert attempts == {"/ill": 3, "/gone": 1}
            await index.aclose()

    asyncio.run(main())


def test_the_one_text_that_an_embedder_refuses_is_found_and_its_document_alone_fails() -> None:
    def refuse(texts: Sequence[str]) -> None:
        if any("poison" in text for text in texts):
            raise ProviderRefused("the input is wrong", status=400)

    pages: dict[str, Page] = {f"/{number}": b"Text %d." % number for number in range(50)}
    pages["/31"] = b"This one is poison."

    async def main() -> None:
        async with site(pages) as world, way_out(world) as egress:
            index, embedder = SqliteIndex(), Digests(refuse)
            source = Names(*(f"{world.url}{path}" for path in pages))
            report = await Pipeline(source, parts(egress, index, embedder)).run()
            assert (report.stored, report.quarantined) == (49, 1)
            (failure,) = report.failures
            assert failure.url == f"{world.url}/31"
            assert (failure.stage, failure.kind) == ("embed", "provider_refused")
            assert max(map(len, embedder.batches)) > 1
            assert len([batch for batch in embedder.batches if any("poison" in text for text in batch)]) <= 7
            await index.aclose()

    asyncio.run(main())


def test_many_failures_in_a_row_at_one_stage_stop_the_run_and_not_fill_the_quarantine() -> None:
    async def main() -> None:
        async with site({f"/{number}": b"text" for number in range(5)}) as world, way_out(world) as egress:
            index = SqliteIndex()
            source = Names(*(f"{world.url}/{number}" for number in range(2000)))
            with pytest.raises(
                IngestStopped, match=r'^20 documents in a row failed at "read".*answered 404\. Noth'
            ) as e:
                await Pipeline(source, parts(egress, index)).run()
            counts = await index.counts()
            assert (counts.documents, counts.quarantined) == (5, 20)
            assert (e.value.counted.stored, e.value.counted.quarantined) == (5, 20)
            assert len(world.asked) < 60
            await index.aclose()

    asyncio.run(main())


def test_failures_that_are_not_in_a_row_stop_nothing() -> None:
    async def main() -> None:
        async with site({"/good": b"text"}) as world, way_out(world) as egress:
            good, broken = Reference(f"{world.url}/good"), Broken("line", "?")
            settings = PipelineSettings(stop_after=5, readers=1)

            async def fill(*listed: Listed) -> Report:
                index = SqliteIndex()
                try:
                    return await Pipeline(Names(*listed), parts(egress, index), settings).run()
                finally:
                    await index.aclose()

            missing = Reference(f"{world.url}/missing")
            in_turn: list[Listed] = [good, missing, missing, broken, broken, missing, missing]
            report = await fill(*in_turn * 6)
            assert (report.stored + report.unchanged, report.quarantined) == (6, 36)
            with pytest.raises(IngestStopped, match='5 documents in a row failed at "list"'):
                await fill(good, *[broken] * 9)

    asyncio.run(main())


def test_pictures_in_a_row_stop_nothing() -> None:
    pages: dict[str, Page] = {f"/{number}": (200, "image/png", b"x") for number in range(40)}

    async def main() -> None:
        async with site({**pages, "/text": b"text"}) as world, way_out(world) as egress:
            index = SqliteIndex()
            source = Names(*(f"{world.url}{path}" for path in [*pages, "/text"]))
            report = await Pipeline(source, parts(egress, index), PipelineSettings(stop_after=3)).run()
            assert (report.stored, report.quarantined) == (1, 40)
            await index.aclose()

    asyncio.run(main())


class Full(SqliteIndex):
    async def store(self, entries: Sequence[Entry], embedder: str = "") -> list[Exception | None]:
        raise IndexFailed("the disk is full")


@pytest.mark.parametrize(
    ("index", "refusal", "told"),
    [
        (Full, None, "the disk is full"),
        (SqliteIndex, ProviderRefused("the key is wrong", status=401), "the key is wrong"),
        (SqliteIndex, ProviderExhausted("no money left", status=429), "no money left"),
        (SqliteIndex, SettingInvalid("no such model"), "no such model"),
    ],
)
def test_what_is_everybodys_trouble_ends_the_run_and_no_document_is_blamed(
    index: Callable[[], SqliteIndex], refusal: AgentrtError | None, told: str
) -> None:
    def refuse(_texts: Sequence[str]) -> None:
        if refusal is not None:
            raise refusal

    async def main() -> None:
        async with site({f"/{number}": b"text" for number in range(30)}) as world, way_out(world) as egress:
            filled = index()
            source = Names(*(f"{world.url}/{number}" for number in range(30)))
            with pytest.raises(AgentrtError, match=told):
                await Pipeline(source, parts(egress, filled, Digests(refuse))).run()
            counts = await filled.counts()
            assert (counts.documents, counts.quarantined) == (0, 0)
            await filled.aclose()

    asyncio.run(main())


def test_an_error_that_nobody_expects_of_an_index_ends_the_run_at_once() -> None:
    class Odd(SqliteIndex):
        async def store(self, entries: Sequence[Entry], embedder: str = "") -> list[Exception | None]:
            raise KeyError("odd")

    async def main() -> None:
        async with assert_no_leaks():
            async with site({f"/{number}": b"text" for number in range(300)}) as world, way_out(world) as egress:
                index = Odd()
                source = Names(*(f"{world.url}/{number}" for number in range(300)))
                with pytest.raises(KeyError, match="odd"):
                    await Pipeline(source, parts(egress, index, Digests())).run()
                await index.aclose()

    asyncio.run(main())


def test_an_embedder_that_miscounts_is_a_setting_that_makes_no_sense() -> None:
    class Short(Digests):
        async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
            return (await super().embed(texts))[1:]

    async def main() -> None:
        async with site({"/a": b"text"}) as world, way_out(world) as egress:
            index = SqliteIndex()
            with pytest.raises(SettingInvalid, match='the embedder "digests" gave 0 vectors for 1 texts'):
                await Pipeline(Names(f"{world.url}/a"), parts(egress, index, Short())).run()
            await index.aclose()

    asyncio.run(main())


def test_progress_is_told_and_its_counts_add_up() -> None:
    told: list[Snapshot] = []
    paths = [f"/doc/{number}" for number in range(200)]

    async def main() -> Report:
        async with site(dict.fromkeys(paths, b"text")) as world, way_out(world) as egress:
            index = SqliteIndex()
            source = Names(*(f"{world.url}{path}" for path in [*paths, "/missing"]), Broken("x", "no"))
            settings = PipelineSettings(in_flight=8, readers=3)
            pipeline = Pipeline(source, parts(egress, index), settings, progress=told.append)
            assert pipeline.snapshot().total is None
            report = await pipeline.run()
            assert told[-1].counted == pipeline.snapshot().counted
            await index.aclose()
            return report

    report = asyncio.run(main())
    last = told[-1]
    assert last.total == report.total == 202
    assert last.counted.stored + last.counted.quarantined == 202
    assert [(stage.name, stage.queued, stage.busy, stage.done, stage.failed) for stage in last.stages] == [
        ("read", 0, 0, 200, 1),
        ("check", 0, 0, 200, 0),
        ("parse", 0, 0, 200, 0),
        ("store", 0, 0, 200, 0),
    ]
    for snapshot in told:
        assert sum(stage.queued for stage in snapshot.stages) <= 8
        assert snapshot.stages[0].busy <= 3
        assert snapshot.listed - snapshot.counted.stored - snapshot.counted.quarantined <= 8
    assert report.bottleneck is not None
    assert 0 < report.bottleneck[1] <= 1


def test_what_has_been_read_is_bounded_in_bytes() -> None:
    body = b"x " * 5000
    inside: list[int] = []

    async def main() -> None:
        async with site({f"/{number}": body for number in range(60)}) as world, way_out(world) as egress:

            def look(_texts: Sequence[str]) -> None:
                # Where documents meet in batches, `busy` counts those and `queued` has all the documents.
                after_reading = pipeline.snapshot().stages[1:]
                inside.append(sum(stage.queued + stage.busy * (stage.name == "parse") for stage in after_reading))

            index = SqliteIndex()
            source = Names(*(f"{world.url}/{number}" for number in range(60)))
            settings = PipelineSettings(in_flight_bytes=3 * len(body), readers=5, embeds=1, embed_wait=0.01)
            pipeline = Pipeline(source, parts(egress, index, Digests(look)), settings)
            assert (await pipeline.run()).stored == 60
            await index.aclose()

    asyncio.run(main())
    assert 2 <= max(inside) <= 3


def test_large_pages_are_parsed_one_by_one_and_other_documents_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pages: dict[str, Page] = {
        f"/{number}.html": (200, "text/html", HTML + b"<!--" + b"x" * size)
        for number, size in enumerate([MIB, 4 * MIB, 10, MIB, MIB, 10, 4 * MIB, MIB, 10, 10])
    }
    pages |= {f"/{number}.pdf": (200, "application/pdf", b"x" * 4 * MIB) for number in range(3)}
    inside: list[int] = []
    together: set[tuple[int, ...]] = set()
    real = Workers.parse

    async def main() -> None:
        pdfs = asyncio.Barrier(3)

        async def parsed(workers: Workers, order: Order) -> Parsed:
            if order.kind == "pdf":
                await pdfs.wait()
                return await real(workers, order)
            size = len(order.content) // MIB
            inside.append(size)
            together.add(tuple(sorted(inside)))
            try:
                await asyncio.sleep(0.01)  # so that the others can come, if they may
                return await real(workers, order)
            finally:
                inside.remove(size)

        monkeypatch.setattr(Workers, "parse", parsed)
        async with asyncio.timeout(30), site(pages) as world, way_out(world) as egress:
            index = SqliteIndex()
            names = Names(*(f"{world.url}{path}" for path in pages))
            report = await Pipeline(names, parts(egress, index), PipelineSettings(workers=3, stop_after=9)).run()
            assert (report.stored, report.quarantined) == (10, 3)
            await index.aclose()

    asyncio.run(main())
    assert any(len(pages) > 1 for pages in together)
    assert all(sum(pages) <= 3 or pages == (4,) for pages in together)


def test_the_loop_goes_on_while_a_text_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> Report:
        loop, loop_went_on = asyncio.get_running_loop(), threading.Event()

        def parse_that_waits_for_the_loop(order: Order) -> object:
            loop.call_soon_threadsafe(loop_went_on.set)
            assert loop_went_on.wait(10), "the loop stood still"
            return parse(order)

        monkeypatch.setattr("agentrt.pipeline.journey.parse", parse_that_waits_for_the_loop)
        async with site({"/a": b"text"}) as world, way_out(world) as egress:
            index = SqliteIndex()
            report = await Pipeline(Names(f"{world.url}/a"), parts(egress, index)).run()
            await index.aclose()
            return report

    assert asyncio.run(main()).failures == ()


@pytest.mark.parametrize(
    ("address", "error", "told"),
    [
        (
            "/absent",
            Unreadable,
            r'the manifest "http://127\.0\.0\.1:\d+/absent" cannot be read: the server answered 404',
        ),
        ("http://10.0.0.1/m", EgressRefused, r'of "10\.0\.0\.1" is not public'),
        ("/empty", Unreadable, r'"http://127\.0\.0\.1:\d+/empty" holds no document'),
    ],
)
def test_a_source_that_gives_nothing_is_an_error(address: str, error: type[AgentrtError], told: str) -> None:
    async def main() -> None:
        async with site({"/empty": b"\n\n"}) as world, way_out(world) as egress:
            index = SqliteIndex()
            url = world.url + address if address.startswith("/") else address
            with pytest.raises(error, match=told):
                await Pipeline(RemoteManifest(url, egress), parts(egress, index)).run()
            await index.aclose()

    asyncio.run(main())


def test_an_iterator_that_fails_ends_the_run_after_what_it_gave() -> None:
    class Failing(Names):
        async def documents(self) -> AsyncGenerator[Listed]:
            async for one in super().documents():
                yield one
            await asyncio.sleep(0.2)
            raise KeyError("mine")

    async def main() -> None:
        async with site({"/a": b"text"}) as world, way_out(world) as egress:
            index = SqliteIndex()
            with pytest.raises(KeyError, match="mine"):
                await Pipeline(Failing(f"{world.url}/a"), parts(egress, index)).run()
            assert (await index.counts()).documents == 1
            await index.aclose()

    asyncio.run(main())


def test_pruning_removes_what_its_source_names_no_more_and_only_that() -> None:
    async def main() -> None:
        async with site({f"/{name}": b"text" for name in "abcd"}) as world, way_out(world) as egress:
            index = SqliteIndex()

            async def fill(source: Names, *, prune: bool) -> Report:
                return await Pipeline(source, parts(egress, index), prune=prune).run()

            def urls(names: str) -> list[str]:
                return [f"{world.url}/{name}" for name in names]

            await fill(Names(*urls("abx"), name="one"), prune=False)
            await fill(Names(*urls("cd"), name="two"), prune=False)
            report = await fill(Names(*urls("a"), Broken("line", "?"), name="one"), prune=True)
            assert (report.removed, report.pruned) == (0, False)  # the broken line may have been b

            report = await fill(Names(*urls("a"), name="one"), prune=True)
            assert (report.removed, report.pruned, report.unchanged) == (1, True, 1)
            assert await index.listed("one") == {f"{world.url}/a"}
            assert await index.listed("two") == set(urls("cd"))
            assert await index.quarantined() == []
            with pytest.raises(SettingInvalid, match="needs a source with a name"):
                await fill(Names(*urls("a"), name=""), prune=True)
            await index.aclose()

    asyncio.run(main())


def test_a_pipeline_runs_once() -> None:
    async def main() -> None:
        async with site({"/a": b"text"}) as world, way_out(world) as egress:
            index = SqliteIndex()
            pipeline = Pipeline(Names(f"{world.url}/a"), parts(egress, index))
            await pipeline.run()
            with pytest.raises(RuntimeError, match="has run"):
                await pipeline.run()
            await index.aclose()

    asyncio.run(main())


def test_a_small_house_does_not_wait_for_batches_that_cannot_fill() -> None:
    async def main() -> Report:
        pages = {f"/{number}": b"text %d" % number for number in range(30)}
        async with site(pages) as world, way_out(world) as egress:
            index = SqliteIndex()
            settings = PipelineSettings(in_flight=2, embed_wait=5, store_wait=5)
            source = Names(*(f"{world.url}{path}" for path in pages))
            report = await Pipeline(source, parts(egress, index, Digests()), settings).run()
            await index.aclose()
            return report

    report = asyncio.run(main())
    assert report.stored == 30
    assert report.seconds < 5  # no timer has ever run out


def test_the_records_can_be_sent_as_json() -> None:
    async def main() -> Report:
        async with site({"/a": b"text"}) as world, way_out(world) as egress:
            index = SqliteIndex()
            source = Names(f"{world.url}/a", Reference(f"{world.url}/b", "B"))
            report = await Pipeline(source, parts(egress, index)).run()
            await index.aclose()
            return report

    report = asyncio.run(main())
    assert msgspec.json.decode(msgspec.json.encode(report), type=Report) == report


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(SettingInvalid, match="readers=0; it needs more than 0"):
        PipelineSettings(readers=0)
