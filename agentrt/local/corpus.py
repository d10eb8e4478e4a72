"""The demo's documents: texts that lie in every Python environment, served so that downloading is real.

They are the topics of the Python language reference that `pydoc` carries, and the READMEs in the metadata
of what is installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pydoc_data.topics import topics

import msgspec

from agentrt.local.environment import header, installed, readme
from agentrt.local.handler import Handler, Request, Response, whole

MANIFEST = "/manifest.jsonl"


class Document(msgspec.Struct, frozen=True):
    """A text and where it is served: `path` is that of its address."""

    path: str
    title: str
    text: str
    content_type: str


def language_reference() -> list[Document]:
    """The topics of the language reference of the Python that runs this."""
    return [
        Document(f"/docs/python/{topic}", text.strip().partition("\n")[0], text, "text/plain; charset=utf-8")
        for topic, text in sorted(topics.items())
    ]


def readmes() -> list[Document]:
    """The READMEs of what is installed; what has none is left out. Blocking: it reads a file for each."""
    documents: list[Document] = []
    for name, distribution in sorted(installed(), key=lambda pair: pair[0]):
        text = readme(distribution)
        if text:
            # A description without a type is reStructuredText, says the core metadata specification.
            kind = header(distribution, "Description-Content-Type", "text/x-rst").partition(";")[0].strip().lower()
            title = header(distribution, "Name", name)
            documents.append(Document(readme_path(name), title, text, f"{kind}; charset=utf-8"))
    return documents


def readme_path(name: str) -> str:
    """Where the README of a distribution is served, by its normalised name."""
    return f"/docs/packages/{name}"


def corpus_handler(documents: Sequence[Document]) -> Handler:
    """Serves each document at its path, and at `MANIFEST` one JSON line a document: `path` and `title`."""
    pages = {document.path: (document.text.encode(), document.content_type) for document in documents}
    lines = [msgspec.json.encode({"path": d.path, "title": d.title}) + b"\n" for d in documents]
    pages[MANIFEST] = (b"".join(lines), "application/jsonl")

    async def handle(request: Request) -> Response:
        if request.method not in {"GET", "HEAD"}:
            return whole(405, b"only GET and HEAD are known here\n", "text/plain", {"allow": "GET, HEAD"})
        if request.path not in pages:
            return whole(404, f"no document at {request.path}\n".encode(), "text/plain; charset=utf-8")
        return whole(200, *pages[request.path])

    return handle
