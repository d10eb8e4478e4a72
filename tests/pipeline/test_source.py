from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from agentrt.egress.egress import Egress
from agentrt.errors import SettingInvalid, Unreadable
from agentrt.pipeline.document import Broken, Listed, Reference
from agentrt.pipeline.source import Folder, LocalManifest, RemoteManifest, Source, source_of
from tests.pipeline.world import site, way_out


def listed(source: Source) -> list[Listed]:
    async def main() -> list[Listed]:
        return [one async for one in source.documents()]

    return asyncio.run(main())


def meant(source: str | Path, skip: frozenset[Path] = frozenset()) -> Source:
    return source_of(source, Egress(), skip)


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")


def test_a_folder_lists_its_files_and_those_below_by_name(tmp_path: Path) -> None:
    write(tmp_path, "b.txt", "a/z.md", "a/b/c.html", "a b/ü.txt", "a.txt")

    found = listed(meant(tmp_path))
    assert [one.url for one in found] == [
        (tmp_path / name).as_uri() for name in ("a/b/c.html", "a/z.md", "a b/ü.txt", "a.txt", "b.txt")
    ]
    assert all(isinstance(one, Reference) and one.path and one.path.is_file() for one in found)
    assert listed(meant(str(tmp_path))) == found


def test_what_is_hidden_and_what_is_no_document_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, "seen.txt", ".hidden.txt", ".git/config", "a/.b/c", "kb.sqlite")
    os.mkfifo(tmp_path / "pipe")

    found = listed(meant(tmp_path, frozenset({(tmp_path / "kb.sqlite").resolve()})))
    assert [one.url for one in found] == [(tmp_path / "seen.txt").as_uri()]


def test_a_link_leads_to_a_file_in_the_folder_and_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    write(tmp_path, "folder/a/real.txt", "secret.txt", "other/x.txt")
    (folder / "inside.txt").symlink_to(folder / "a" / "real.txt")
    (folder / "outside.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "nowhere.txt").symlink_to(tmp_path / "absent")
    (folder / "round").symlink_to(folder)
    (folder / "other").symlink_to(tmp_path / "other")

    assert [one.url for one in listed(Folder(folder))] == [
        (folder / name).as_uri() for name in ("a/real.txt", "inside.txt")
    ]


def test_a_folder_that_cannot_be_listed_is_a_hole_in_the_source(tmp_path: Path) -> None:
    write(tmp_path, "a.txt")
    gone = tmp_path / "gone"
    assert listed(Folder(gone)) == [Broken(gone.as_uri(), "the folder cannot be listed: No such file or directory")]


def test_a_name_that_is_no_text_is_a_name(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")).write_text("text")
    except OSError:
        pytest.skip("this file system knows UTF-8 only")
    (found,) = listed(Folder(tmp_path))
    assert found.url.endswith("/%FF.txt")


def test_a_manifest_in_a_folder_names_files_of_that_folder_and_addresses(tmp_path: Path) -> None:
    write(tmp_path, "docs/a.txt", "outside.txt")
    manifest = tmp_path / "docs" / "m.jsonl"
    (tmp_path / "docs" / "link.txt").symlink_to(tmp_path / "outside.txt")
    manifest.write_text(
        '{"path": "a.txt", "title": "A"}\n{"url": "file:///etc/hostname"}\n{"path": "../outside.txt"}\n'
        '{"path": "/etc/hostname"}\n{"path": "link.txt"}\n{}\n{"url": "a.txt"}\n{"path": "./x/../a.txt"}'
    )

    first, remote, *bad, last = listed(meant(manifest))
    path = tmp_path / "docs" / "a.txt"
    assert first == Reference(path.as_uri(), "A", path)
    assert remote == Reference("file:///etc/hostname")  # which the way out refuses: no path, so no file is read
    assert last == Reference(path.as_uri(), "", path)
    assert [one.url for one in bad] == [f"{manifest.as_uri()}#line-{number}" for number in (3, 4, 5, 6, 7)]
    assert isinstance(bad[0], Broken) and isinstance(bad[-1], Broken)
    assert bad[0].error.endswith('"../outside.txt" is not in the folder of the manifest')
    assert bad[-1].error.endswith('the url "a.txt" is not complete; a file is named by its path')


def test_a_manifest_on_the_web_names_no_files(tmp_path: Path) -> None:
    lines = b'{"path": "a"}\n{"path": "/b", "title": "B"}\n{"url": "https://other.example/c"}\n{"url": "file:///etc/x"}'

    async def main() -> tuple[str, list[Listed]]:
        async with site({"/docs/m.jsonl": lines}) as world, way_out(world) as egress:
            source = source_of(f"{world.url}/docs/m.jsonl?x=1", egress, frozenset())
            assert isinstance(source, RemoteManifest)
            return world.url, [one async for one in RemoteManifest(f"{world.url}/docs/m.jsonl", egress).documents()]

    url, found = asyncio.run(main())
    assert found == [
        Reference(f"{url}/docs/a"),
        Reference(f"{url}/b", "B"),
        Reference("https://other.example/c"),
        Reference("file:///etc/x"),
    ]


def test_a_long_manifest_is_read_in_pieces(tmp_path: Path) -> None:
    manifest = tmp_path / "m.jsonl"
    with manifest.open("w") as file:
        file.writelines(f'{{"url": "http://x.example/{number}"}}\n' for number in range(60_000))
    assert manifest.stat().st_size > 1.5 * 1024 * 1024

    found = listed(LocalManifest(manifest))
    assert len(found) == 60_000
    assert found[-1] == Reference("http://x.example/59999")


def test_a_manifest_that_goes_away_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r'the manifest ".*absent\.jsonl" cannot be read: No such file'):
        listed(LocalManifest(tmp_path / "absent.jsonl"))


def test_a_page_a_file_and_an_iterator_are_sources_too(tmp_path: Path) -> None:
    write(tmp_path, "a.md")
    (found,) = listed(meant(tmp_path / "a.md"))
    assert found == Reference((tmp_path / "a.md").as_uri(), path=tmp_path / "a.md")
    assert listed(meant("https://x.example/page#part")) == [Reference("https://x.example/page")]

    async def mine() -> AsyncGenerator[Reference]:
        yield Reference("u:1")
        yield Reference("u:2", "Two")

    source = source_of(mine(), Egress(), frozenset())
    assert (source.name, listed(source)) == ("", [Reference("u:1"), Reference("u:2", "Two")])


@pytest.mark.parametrize("name", ["absent", "ftp://x.example/", ""])
def test_what_is_none_of_these_is_an_error(name: str) -> None:
    with pytest.raises(SettingInvalid, match="is neither a folder nor a file nor an address"):
        meant(name)
