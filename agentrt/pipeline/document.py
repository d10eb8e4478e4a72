"""What travels through the pipeline. Each document ends exactly once: stored, or as a `Failed`."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urljoin

import msgspec


class Reference(msgspec.Struct, frozen=True):
    """A document as a manifest names it. Its URL is its identity: the same one again is a new version of it."""

    url: str
    title: str = ""


class Downloaded(msgspec.Struct, frozen=True):
    """A document's text as it came."""

    url: str
    title: str
    text: str


class Failed(msgspec.Struct, frozen=True):
    """The end of a document that could not be stored: at which stage, and why, in words."""

    url: str
    stage: str
    error: str


class _Line(msgspec.Struct):
    path: str | None = None
    url: str | None = None
    title: str = ""


def read_manifest(text: str, base: str) -> Iterator[Reference | Failed]:
    """One of these for every line that is not blank, in order.

    A line is a JSON object with `url`, or `path` relative to the manifest's own URL `base`, and perhaps `title`. A
    line that is none of this is a document that failed; the rest goes on.
    """
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = msgspec.json.decode(line, type=_Line)
            place = entry.url or entry.path
            if not place:
                raise ValueError("it has neither url nor path")
            yield Reference(urljoin(base, place), entry.title)
        except (msgspec.MsgspecError, ValueError) as error:
            yield Failed(
                f"{base}#line-{number}", "manifest", f"line {number} of the manifest is not a document: {error}"
            )
