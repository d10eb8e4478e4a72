"""Gets the bytes of a document: from the network by the one way out, or from a file, on a thread for files."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from agentrt.egress.egress import Egress
from agentrt.egress.hosts import HostResting
from agentrt.offloop import OneThread
from agentrt.pipeline.document import DocumentFailed, Raw, Reference

_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
"""Statuses that may be another one soon (RFC 9110, 6585, 8470); the other 5xx are as well, see below."""


class Reader:
    """Reads what a reference names, at most `max_bytes` of it."""

    def __init__(self, egress: Egress, max_bytes: int) -> None:
        self._egress = egress
        self._max_bytes = max_bytes
        self._files: OneThread | None = None

    def close(self) -> None:
        """Let the thread end."""
        if self._files is not None:
            self._files.close(lambda: None)

    async def read(self, reference: Reference) -> Raw:
        """The document's bytes.

        Raises:
            DocumentFailed: It is not there, or cannot be read.
            EgressRefused, EgressFailed: Its address is not allowed, or does not answer.
        """
        if reference.path is not None:
            self._files = self._files or OneThread("agentrt-files")
            content = await self._files.call(partial(_content, reference.path, self._max_bytes))
            return Raw(content, "", "utf-8", reference.path.name)
        try:
            fetched = await self._egress.get(reference.url)
        except HostResting as error:  # to another document it said so; this one waits as long
            raise DocumentFailed(str(error), kind=error.code, transient=True, retry_after=error.retry_after) from error
        if not 200 <= fetched.status < 300:
            raise DocumentFailed(
                f"the server answered {fetched.status}",
                kind=f"http_{fetched.status}",
                transient=fetched.status in _AGAIN or fetched.status >= 500,
                retry_after=fetched.retry_after,
            )
        if len(fetched.body) > self._max_bytes:
            raise _too_large(len(fetched.body), self._max_bytes)
        name = PurePosixPath(unquote(urlsplit(reference.url).path)).name
        return Raw(fetched.body, fetched.content_type, fetched.charset, name)


def _content(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
            if len(content) > max_bytes:
                raise _too_large(path.stat().st_size, max_bytes)
            return _in_utf8(content)
    except OSError as error:
        raise DocumentFailed(f"the file cannot be read: {error.strerror}", kind="file") from error


def _in_utf8(content: bytes) -> bytes:
    """A file states no charset; one that begins with the mark of UTF-16 is in that, if it can be read so."""
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        try:
            return content.decode("utf-16").encode()
        except UnicodeDecodeError:
            pass
    return content


def _too_large(size: int, most: int) -> DocumentFailed:
    return DocumentFailed(f"the document has {size} bytes; at most {most} are read", kind="too_large")
