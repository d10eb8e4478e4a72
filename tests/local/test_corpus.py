from __future__ import annotations

import asyncio
import json
from pydoc_data.topics import topics

import httpx2

from agentrt.local.corpus import MANIFEST, Document, corpus_handler, language_reference, readme_path, readmes
from agentrt.local.handler import Handler, Request, reading
from agentrt.local.wire import serve
from agentrt.testing.virtual import run_virtual

DOCUMENTS = [
    Document("/docs/python/with", 'The "with" statement', "It wraps – a block.", "text/plain; charset=utf-8"),
    Document("/docs/packages/rich", "rich", "# Rich", "text/markdown; charset=utf-8"),
]


def get(handler: Handler, path: str, method: str = "GET") -> tuple[int, str, str]:
    async def main() -> tuple[int, str, str]:
        response = await handler(Request(method, path, {}))
        async with reading(response.body) as body:
            text = b"".join([piece async for piece in body]).decode()
        return response.status, response.headers["content-type"], text

    return run_virtual(main())


def test_every_topic_of_the_language_reference_is_a_document() -> None:
    documents = {document.path: document for document in language_reference()}
    assert len(documents) == len(topics) >= 70
    statement = documents["/docs/python/with"]
    assert statement.title == 'The "with" statement'
    assert "context manager" in statement.text
    assert statement.content_type == "text/plain; charset=utf-8"


def test_the_readmes_of_what_is_installed_are_documents() -> None:
    documents = {document.path: document for document in readmes()}
    assert list(documents) == sorted(documents)
    assert all(document.text for document in documents.values())
    rich = documents[readme_path("rich")]
    assert rich.title == "rich"
    assert "terminal" in rich.text
    assert rich.content_type == "text/markdown; charset=utf-8"
    assert documents["/docs/packages/h11"].content_type == "text/x-rst; charset=utf-8"


def test_a_document_is_served_at_its_path_with_its_type() -> None:
    handler = corpus_handler(DOCUMENTS)
    assert get(handler, "/docs/python/with") == (200, "text/plain; charset=utf-8", "It wraps – a block.")
    assert get(handler, "/docs/packages/rich") == (200, "text/markdown; charset=utf-8", "# Rich")


def test_the_manifest_lists_paths_and_titles() -> None:
    status, _, text = get(corpus_handler(DOCUMENTS), MANIFEST)
    assert status == 200
    assert [json.loads(line) for line in text.splitlines()] == [
        {"path": "/docs/python/with", "title": 'The "with" statement'},
        {"path": "/docs/packages/rich", "title": "rich"},
    ]


def test_what_is_not_there_is_404_and_what_is_no_reading_is_405() -> None:
    assert get(corpus_handler(DOCUMENTS), "/docs/python/none")[0] == 404
    assert get(corpus_handler(DOCUMENTS), "/docs/python/with", "DELETE")[0] == 405


def test_the_whole_corpus_can_be_downloaded() -> None:
    async def main() -> None:
        documents = language_reference() + readmes()
        async with serve(corpus_handler(documents)) as server, httpx2.AsyncClient(base_url=server.url) as client:
            manifest = (await client.get(MANIFEST)).text.splitlines()
            assert len(manifest) == len(documents)
            for document in documents[:5] + documents[-5:]:
                got = await client.get(document.path)
                assert got.text == document.text
                assert got.headers["content-type"] == document.content_type
            assert server.connections == 1

    asyncio.run(main())
