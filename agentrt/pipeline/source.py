"""Where documents come from: a folder, a file, a manifest, a page, or whatever yields references.

A source only names documents; nothing of them is read here. Its own name stands in the index beside each of them, so
that a later filling can tell which of them are gone.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar
from urllib.parse import urldefrag, urljoin, urlsplit

from agentrt.egress.egress import Egress
from agentrt.errors import SettingInvalid, Unreadable
from agentrt.offloop import aside
from agentrt.pipeline.document import Broken, Listed, Reference
from agentrt.pipeline.manifest import Line, ManifestReader

T = TypeVar("T")

MANIFESTS = (".jsonl", ".ndjson")
_AT_A_TIME = 500
_PIECE = 1024 * 1024


class Source(Protocol):
    """Names documents. `name` is its address, "" if it has none."""

    @property
    def name(self) -> str: ...

    def documents(self) -> AsyncGenerator[Listed]:
        """The documents, in a steady order."""
        ...


def source_of(source: str | Path | AsyncIterable[Reference], egress: Egress, skip: frozenset[Path]) -> Source:
    """The source that a person means: the address of a page or manifest, a folder, a file; or an iterator as it is.

    `skip` are files that are no documents wherever they lie, by their real paths.

    Raises:
        SettingInvalid: There is nothing of that name.
    """
    if not isinstance(source, str | Path):
        return Given(source)
    if isinstance(source, str) and source.startswith(("http://", "https://")):
        return RemoteManifest(source, egress) if urlsplit(source).path.endswith(MANIFESTS) else Page(source)
    path = Path(source).expanduser().absolute()
    if path.is_dir() and source != "":  # a variable that is not set does not mean this folder
        return Folder(path, skip)
    if not path.is_file():
        raise SettingInvalid(f'"{source}" is neither a folder nor a file nor an address, http://... or https://...')
    return LocalManifest(path) if path.suffix in MANIFESTS else File(path)


class Given:
    """References from anywhere."""

    name = ""

    def __init__(self, references: AsyncIterable[Reference]) -> None:
        self._references = references

    async def documents(self) -> AsyncGenerator[Listed]:
        async for reference in self._references:
            yield reference


class Page:
    """One address."""

    def __init__(self, url: str) -> None:
        self.name = url

    async def documents(self) -> AsyncGenerator[Listed]:
        yield Reference(urldefrag(self.name).url)


class File:
    """One file."""

    def __init__(self, path: Path) -> None:
        self.name = path.as_uri()
        self._path = path

    async def documents(self) -> AsyncGenerator[Listed]:
        yield Reference(self.name, path=self._path)


class Folder:
    """The files of a folder and of the folders in it, by name; what is hidden is left out.

    A link is followed to a file inside of the folder, and nowhere else.
    """

    def __init__(self, path: Path, skip: frozenset[Path] = frozenset()) -> None:
        self.name = path.as_uri()
        self._path = path
        self._skip = skip

    async def documents(self) -> AsyncGenerator[Listed]:
        found = _walk(self._path, self._path.resolve(), self._skip)
        async for listed in _in_pieces(lambda: list(islice(found, _AT_A_TIME))):
            for one in listed:
                yield one


class LocalManifest:
    """A file with a document a line; its paths are relative to its folder and stay within it."""

    def __init__(self, path: Path) -> None:
        self.name = path.as_uri()
        self._path = path

    async def documents(self) -> AsyncGenerator[Listed]:
        reader = ManifestReader(self.name, partial(_local, self._path.parent))
        file = await aside(partial(_opened, self._path))
        try:
            async for piece in _in_pieces(partial(file.read, _PIECE)):
                for listed in reader.feed(piece):
                    yield listed
        finally:
            file.close()
        for listed in reader.finish():
            yield listed


class RemoteManifest:
    """An address with a document a line; its paths are relative to that address.

    Raises (from `documents`):
        EgressRefused, EgressFailed: It cannot be fetched.
        Unreadable: It is not there.
    """

    def __init__(self, url: str, egress: Egress) -> None:
        self.name = url
        self._egress = egress

    async def documents(self) -> AsyncGenerator[Listed]:
        fetched = await self._egress.get(self.name)
        if not 200 <= fetched.status < 300:
            raise Unreadable(f'the manifest "{self.name}" cannot be read: the server answered {fetched.status}')
        reader = ManifestReader(self.name, partial(_remote, self.name))
        for at in range(0, len(fetched.body), _PIECE):
            for listed in reader.feed(fetched.body[at : at + _PIECE]):
                yield listed
        for listed in reader.finish():
            yield listed


def _remote(base: str, line: Line) -> Reference:
    place = line.url or line.path
    if not place:
        raise ValueError("it has neither url nor path")
    return Reference(urljoin(base, place), line.title)


def _local(folder: Path, line: Line) -> Reference:
    if line.url:
        if not urlsplit(line.url).scheme:
            raise ValueError(f'the url "{line.url}" is not complete; a file is named by its path')
        return Reference(line.url, line.title)
    if not line.path:
        raise ValueError("it has neither url nor path")
    path = Path(os.path.normpath(folder / line.path))
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f'"{line.path}" is not in the folder of the manifest')
    return Reference(path.as_uri(), line.title, path)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise Unreadable(f'the manifest "{path}" cannot be read: {error.strerror}') from error


async def _in_pieces(read: Callable[[], T]) -> AsyncIterator[T]:
    """What `read` gives, in a thread, until it gives nothing."""
    while piece := await aside(read):
        yield piece


def _walk(folder: Path, root: Path, skip: frozenset[Path]) -> Iterator[Listed]:
    try:
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        yield Broken(folder.as_uri(), f"the folder cannot be listed: {error.strerror}")
        return
    for entry in inside:
        path = Path(entry.path)
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(path, root, skip)
        elif _is_document(path, root, skip):
            yield Reference(path.as_uri(), path=path)


def _is_document(path: Path, root: Path, skip: frozenset[Path]) -> bool:
    """Whether it is a file, and one that may be read: not a pipe, nor a link out of the folder or to nowhere."""
    real = path.resolve()
    return real.is_file() and real.is_relative_to(root) and real not in skip
