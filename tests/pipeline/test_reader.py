from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from agentrt.egress.egress import Egress
from agentrt.egress.policy import EgressPolicy
from agentrt.local.handler import Request, Response, whole
from agentrt.local.wire import serve
from agentrt.pipeline.document import DocumentFailed, Raw, Reference
from agentrt.pipeline.reader import Reader
from tests.pipeline.world import Page, site, way_out


def read(page: Page, path: str = "/a%20b.txt", max_bytes: int = 100) -> Raw:
    async def main() -> Raw:
        async with site({path: page}) as world, way_out(world) as egress:
            return await Reader(egress, max_bytes).read(Reference(world.url + path))

    return asyncio.run(main())


def read_file(path: Path, max_bytes: int = 100) -> Raw:
    async def main() -> Raw:
        reader = Reader(Egress(), max_bytes)
        try:
            return await reader.read(Reference("file:///elsewhere", path=path))
        finally:
            reader.close()

    return asyncio.run(main())


def test_a_download_has_the_stated_type_and_the_name_of_its_address() -> None:
    page = (200, "text/html; charset=latin-1", b"<p>")
    assert read(page) == Raw(b"<p>", "text/html", "iso8859-1", "a b.txt")


def test_a_file_has_a_name_and_states_no_type(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_bytes(b"text")
    assert read_file(tmp_path / "x.md") == Raw(b"text", "", "utf-8", "x.md")


@pytest.mark.parametrize("charset", ["utf-16", "utf-16-be"])
def test_a_file_in_utf_16_that_says_so_is_read(tmp_path: Path, charset: str) -> None:
    mark = "" if charset == "utf-16" else "\ufeff"
    (tmp_path / "x.txt").write_bytes(f"{mark}grün".encode(charset))
    assert read_file(tmp_path / "x.txt").content.decode() == "grün"
    (tmp_path / "x.bin").write_bytes(b"\xff\xfe\x00")
    assert read_file(tmp_path / "x.bin").content == b"\xff\xfe\x00"


@pytest.mark.parametrize(
    ("status", "transient"),
    [(404, False), (403, False), (410, False), (301, False)]
    + [(status, True) for status in (408, 409, 425, 429, 500, 502, 503, 504, 529)],
)
def test_a_status_other_than_2xx_is_a_failure_that_may_pass_or_not(status: int, transient: bool) -> None:
    with pytest.raises(DocumentFailed, match=f"the server answered {status}") as failed:
        read((status, "text/plain", b"no"))
    assert (failed.value.kind, failed.value.transient) == (f"http_{status}", transient)


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(101))
    with pytest.raises(DocumentFailed, match="the document has 101 bytes; at most 100 are read") as failed:
        read_file(tmp_path / "x")
    assert failed.value.kind == "too_large"
    with pytest.raises(DocumentFailed, match="the document has 101 bytes"):
        read(bytes(101))
    assert len(read(bytes(100)).content) == 100


def test_a_file_that_cannot_be_read_is_a_failure_of_its_document(tmp_path: Path) -> None:
    with pytest.raises(DocumentFailed, match="the file cannot be read: No such file or directory") as failed:
        read_file(tmp_path / "absent")
    assert (failed.value.kind, failed.value.transient) == ("file", False)


@pytest.mark.parametrize(("said", "seconds"), [("7", 7.0), ("0", 0.0), ("soon", None), ("-1", None), ("٣", None)])
def test_how_long_a_server_wants_to_be_left_alone_is_kept(said: str, seconds: float | None) -> None:
    async def busy(_: Request) -> Response:
        return whole(429, b"", "text/plain", {"retry-after": said.encode().decode("latin-1")})

    async def main() -> None:
        async with (
            serve(busy) as server,
            Egress(EgressPolicy(allow=frozenset({urlsplit(server.url).netloc}))) as egress,
        ):
            await Reader(egress, 100).read(Reference(f"{server.url}/x"))

    with pytest.raises(DocumentFailed) as failed:
        asyncio.run(main())
    assert failed.value.retry_after == seconds


def test_a_document_whose_host_wants_to_be_left_alone_is_not_asked_for_and_may_be_later() -> None:
    asked: list[str] = []

    async def busy(request: Request) -> Response:
        asked.append(request.path)
        return whole(503, b"", "text/plain", {"retry-after": "3600"})

    async def main() -> None:
        async with (
            serve(busy) as server,
            Egress(EgressPolicy(allow=frozenset({urlsplit(server.url).netloc}))) as egress,
        ):
            for place in "xy":
                with pytest.raises(DocumentFailed) as failed:
                    await Reader(egress, 100).read(Reference(f"{server.url}/{place}"))
                assert failed.value.transient
                assert failed.value.retry_after == pytest.approx(3600, abs=5)
        assert failed.value.kind == "egress_failed"
        assert asked == ["/x"]

    asyncio.run(main())
