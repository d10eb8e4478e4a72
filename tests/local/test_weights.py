"""Where models lie, and what is said of those that are not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentrt.errors import SettingInvalid
from agentrt.local.weights import WEIGHTS, file_of, folder, in_words, is_kept, known

QWEN = WEIGHTS["qwen-0.5b"]


def test_models_are_kept_where_the_user_says_or_in_the_users_cache() -> None:
    assert folder({"AGENTRT_MODELS": "/models", "XDG_CACHE_HOME": "/cache"}) == Path("/models")
    assert folder({"XDG_CACHE_HOME": "/cache"}) == Path("/cache/agentrt/models")
    assert folder({"XDG_CACHE_HOME": "not/absolute"}) == Path.home() / ".cache/agentrt/models"
    assert folder({"AGENTRT_MODELS": "~/models"}) == Path.home() / "models"


def test_a_model_has_as_many_parts_as_its_bytes_need() -> None:
    assert {weights.name: weights.parts for weights in WEIGHTS.values()} == {"qwen-1.5b": 22, "qwen-0.5b": 6}


def test_a_model_is_there_when_its_whole_file_is(tmp_path: Path) -> None:
    environ = {"AGENTRT_MODELS": str(tmp_path)}
    with pytest.raises(SettingInvalid, match=r"agentrt models get qwen-0.5b` downloads it \(491 MB\)"):
        file_of("qwen-0.5b", environ)
    path = tmp_path / QWEN.file
    path.touch()
    assert not is_kept(QWEN, tmp_path)
    with path.open("wb") as file:
        file.truncate(QWEN.size)
    assert is_kept(QWEN, tmp_path)
    assert file_of("qwen-0.5b", environ) == path


def test_a_file_of_ones_own_is_one_if_it_begins_like_one(tmp_path: Path) -> None:
    path = tmp_path / "own.gguf"
    with pytest.raises(SettingInvalid, match=r"expected qwen-1.5b, qwen-0.5b or the path of a GGUF file"):
        file_of(str(path), {})
    path.write_bytes(b"<html>")
    with pytest.raises(SettingInvalid, match="came b'<htm'"):
        file_of(str(path), {})
    path.write_bytes(b"GGUF and so on")
    assert file_of(str(path), {}) == path
    os.mkfifo(tmp_path / "pipe")
    for other in (str(tmp_path), str(tmp_path / "pipe"), "a\0b"):
        with pytest.raises(SettingInvalid, match="there is no file"):
            file_of(other, {})


def test_a_home_of_nobody_is_no_place_for_models() -> None:
    with pytest.raises(SettingInvalid, match='AGENTRT_MODELS="~nobody-of-that-name/x": expected a folder'):
        folder({"AGENTRT_MODELS": "~nobody-of-that-name/x"})
    with pytest.raises(SettingInvalid, match="or the path of a GGUF file"):
        file_of("~nobody-of-that-name/x.gguf", {})


def test_a_name_that_is_none_is_told_the_names() -> None:
    assert known("qwen-0.5b") is QWEN
    with pytest.raises(SettingInvalid, match=r'"qwen": expected the name of a model, qwen-1.5b or qwen-0.5b'):
        known("qwen")


def test_sizes_are_in_words() -> None:
    assert [in_words(size) for size in (1_117_320_768, 491_400_064)] == ["1.1 GB", "491 MB"]
