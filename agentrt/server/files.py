"""What is answered by plain HTTP: the page, and whether the server is well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from re import fullmatch

import msgspec

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}


@dataclass(frozen=True, kw_only=True)
class Page:
    """What the page says before anything was asked.

    Args:
        title: Its heading; the agents' names by default.
        examples: Questions to begin with.
    """

    title: str = ""
    examples: Sequence[str] = ()


@dataclass(frozen=True)
class File:
    """A body and its media type."""

    body: bytes
    type: str


def page_files(page: Page, agents: Sequence[str]) -> dict[str, File]:
    """The page's files by their path, read once."""
    folder = Path(__file__).parent / "page"
    files = {
        f"/{path.name}": File(path.read_bytes(), _TYPES[path.suffix])
        for path in folder.glob("*.*")
        if path.suffix in _TYPES
    }
    if "/index.html" in files:
        files["/"] = files["/index.html"]
    about = {"title": page.title or ", ".join(agents), "examples": list(page.examples)}
    files["/page.json"] = File(msgspec.json.encode(about), _TYPES[".json"])
    return files


def page_headers(host: str | None) -> Mapping[str, str]:
    """Headers of everything that is answered: nothing from elsewhere, nothing kept without asking.

    Not every browser takes "'self'" to mean the socket on the same host, so that is spelled out.
    """
    here = f" ws://{host} wss://{host}" if host is not None and fullmatch(r"[\w.:\[\]-]+", host) else ""
    return {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": f"default-src 'self'; connect-src 'self'{here}; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
