from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agentrt.pipeline.document import Broken, Listed, Reference
from agentrt.pipeline.manifest import LONGEST_LINE, Line, ManifestReader

BASE = "http://docs.example/corpus/manifest.jsonl"


def place(line: Line) -> Reference:
    where = line.url or line.path
    if not where:
        raise ValueError("it has neither url nor path")
    return Reference(where, line.title)


def read(*pieces: bytes) -> list[Listed]:
    reader = ManifestReader(BASE, place)
    return [listed for piece in pieces for listed in reader.feed(piece)] + list(reader.finish())


def test_a_line_names_a_document() -> None:
    text = b'{"url": "https://other.example/a", "title": "A"}\n\n{"path": "/b", "size": 7}\r\n{"path": "c"}'

    assert read(text) == [Reference("https://other.example/a", "A"), Reference("/b"), Reference("c")]


def test_a_line_that_is_not_a_document_is_named_by_its_number_and_the_others_go_on() -> None:
    text = b'{"path": "/a"}\n{"title": "no place"}\n\nnot json\n[1]\n{"path": 7}\n\xff\n{"path": "/b"}'
    first, *bad, last = read(text)

    assert (first, last) == (Reference("/a"), Reference("/b"))
    assert [entry.url for entry in bad] == [f"{BASE}#line-{number}" for number in (2, 4, 5, 6, 7)]
    assert isinstance(bad[0], Broken)
    assert bad[0].error == "line 2 of the manifest is not a document: it has neither url nor path"


def test_a_line_longer_than_a_mebibyte_is_not_held_in_memory() -> None:
    piece = b"x" * (LONGEST_LINE // 4)
    reader = ManifestReader(BASE, place)

    listed = [one for _ in range(40) for one in reader.feed(piece)]
    assert len(reader._rest) <= LONGEST_LINE
    listed += [*reader.feed(b'\n{"path": "/b"}\n'), *reader.finish()]

    assert [one.url for one in listed] == [f"{BASE}#line-1", "/b"]
    assert isinstance(listed[0], Broken)
    assert listed[0].error.endswith("it is longer than 1048576 bytes")


@given(
    st.lists(st.one_of(st.text(), st.text().map(lambda url: msgspec.json.encode({"url": url}).decode()))),
    st.lists(st.integers(0, 400)),
)
def test_every_line_that_is_not_blank_is_one_entry_wherever_the_text_is_cut(lines: list[str], cuts: list[int]) -> None:
    text = "\n".join(lines).encode("utf-8", "replace")
    ends = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[start:end] for start, end in pairwise(ends)]

    entries = read(*pieces)
    assert entries == read(text)
    assert len(entries) == sum(1 for line in text.split(b"\n") if line.strip())
