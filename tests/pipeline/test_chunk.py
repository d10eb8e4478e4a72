from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from agentrt.pipeline.chunk import split

PARAGRAPH = "A sentence of some length, for the sake of length. " * 3
LINES = st.sampled_from(
    ["", "", "text", "# Head", "Title\n=====", "====\nOver\n====", "```", "    code", "x" * 70, "a b. c " * 12]
)


def texts(text: str, size: int = 1200) -> list[str]:
    return [chunk.text for chunk in split(text, size=size)]


@given(st.one_of(st.text(), st.lists(LINES, max_size=30).map("\n".join)), st.integers(1, 300))
def test_passages_stand_in_the_text_in_order_and_hold_all_of_it_once(text: str, size: int) -> None:
    at = 0
    for chunk in split(text, size=size):
        assert text[chunk.start : chunk.end] == chunk.text
        assert not text[at : chunk.start].strip()
        assert chunk.text.strip()
        assert len(chunk.text) <= size
        at = chunk.end
    assert not text[at:].strip()


def test_a_short_text_is_one_passage() -> None:
    assert texts("\n\nOne paragraph.\n\nAnother.\n") == ["One paragraph.\n\nAnother."]


def test_a_blank_text_has_no_passage() -> None:
    assert texts(" \n\t\n") == []


def test_a_passage_is_filled_with_whole_paragraphs() -> None:
    text = "\n\n".join([PARAGRAPH.strip()] * 7)

    passages = texts(text, size=500)
    assert [passage.split("\n\n") for passage in passages] == [[PARAGRAPH.strip()] * 3] * 2 + [[PARAGRAPH.strip()]]


def test_a_heading_of_any_kind_begins_a_passage() -> None:
    for heading in (
        "# Second",
        "Second\n======",
        "Second\n------",
        "======\nSecond\n======",
        "Second\n******",
        "## Second ##",
    ):
        first, second = texts(f"First\n=====\n\n{PARAGRAPH}\n\n{heading}\n\n{PARAGRAPH}", size=500)
        assert first.startswith("First\n")
        assert second.startswith(heading)


def test_a_heading_right_below_a_paragraph_begins_a_passage() -> None:
    _, second = texts(f"{PARAGRAPH}\n# Second\n{PARAGRAPH}", size=400)
    assert second.startswith("# Second\n")


def test_a_heading_goes_with_what_follows_it() -> None:
    first, second = texts(f"Short.\n\n# Heading\n\n{'word ' * 60}", size=315)

    assert first == "Short."
    assert second.startswith("# Heading\n\nword")


def test_small_sections_share_a_passage() -> None:
    text = "\n\n".join(f"# Part {number}\n\nTiny." for number in range(4))
    assert len(texts(text)) == 1


def test_a_row_of_signs_alone_is_not_a_heading() -> None:
    assert len(texts(f"{PARAGRAPH}\n\n-----\n\nAfter the rule.", size=500)) == 1


def test_a_fence_holds_its_code_together() -> None:
    code = "```python\nfirst = 1\n\n# no heading\n\nlast = 2\n```"
    text = f"{PARAGRAPH}\n\n{code}\n\n{PARAGRAPH}"

    assert any(code in passage for passage in texts(text, size=300))


def test_a_longer_fence_is_not_closed_by_a_shorter_one() -> None:
    code = "````\n```\n\n# no heading\n```\n````"
    assert any(code in passage for passage in texts(f"{PARAGRAPH}\n\n{code}", size=200))


def test_what_is_too_long_is_cut_at_lines_then_sentences_then_words() -> None:
    assert all(
        re.fullmatch(r"(line \d+\n?)+", passage) for passage in texts("\n".join(f"line {n}" for n in range(90)), 100)
    )
    assert all(passage.endswith(".") for passage in texts("One two three four. " * 30, 100))
    assert all(set(passage.split()) == {"word"} for passage in texts("word " * 100, 99))
    assert [len(passage) for passage in texts("x" * 250, 100)] == [100, 100, 50]
