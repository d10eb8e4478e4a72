from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agentrt.pipeline.document import Failed, Reference, read_manifest

BASE = "http://docs.example/corpus/manifest.jsonl"


def test_a_line_names_a_document_by_url_or_by_path() -> None:
    text = '{"url": "https://other.example/a", "title": "A"}\n\n{"path": "/b", "size": 7}\n{"path": "c"}\n'

    assert list(read_manifest(text, BASE)) == [
        Reference("https://other.example/a", "A"),
        Reference("http://docs.example/b"),
        Reference("http://docs.example/corpus/c"),
    ]


def test_a_line_that_is_not_a_document_failed_and_the_others_go_on() -> None:
    text = '{"path": "/a"}\n{"title": "no place"}\nnot json\n[1]\n{"path": 7}\n{"path": "/b"}'
    first, *bad, last = read_manifest(text, BASE)

    assert (first, last) == (Reference("http://docs.example/a"), Reference("http://docs.example/b"))
    assert [entry.url for entry in bad] == [f"{BASE}#line-{number}" for number in (2, 3, 4, 5)]
    assert all(isinstance(entry, Failed) and entry.stage == "manifest" for entry in bad)
    assert isinstance(bad[0], Failed)
    assert bad[0].error == "line 2 of the manifest is not a document: it has neither url nor path"


@given(st.lists(st.one_of(st.text(), st.text().map(lambda place: msgspec.json.encode({"url": place}).decode()))))
def test_every_line_that_is_not_blank_is_one_entry(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert len(list(read_manifest(text, BASE))) == sum(1 for line in text.splitlines() if line.strip())
