"""The splitter gives whole events, however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agentrt.model.sse import EventSplitter

LINES = st.lists(
    st.sampled_from(
        [
            b"data: one",
            b"data:two",
            b"data:  three",
            b"data",
            b"data:",
            b"data: ",
            b": comment",
            b"event: x",
            b"x",
            b"",
            b"",
            b"",
        ]
    )
)
ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


def split(*parts: bytes) -> list[bytes]:
    splitter = EventSplitter()
    return [event for part in parts for event in splitter.feed(part)] + splitter.close()


def reference(lines: list[bytes]) -> list[bytes]:
    """The rules, on lines that are whole."""
    events: list[bytes] = []
    data: list[bytes] = []
    for line in [*lines, b""]:
        if line == b"":
            if data:
                events.append(b"\n".join(data))
            data = []
        elif line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
    return events


@given(LINES, st.data())
def test_events_are_those_of_the_standard_wherever_the_bytes_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + data.draw(ENDS) for line in lines)
    # A CR followed by an empty line that ends in LF is one line end, CRLF; the reference must see it so.
    lines = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    cuts = data.draw(st.lists(st.integers(0, len(stream))))
    edges = [0, *sorted(cuts), len(stream)]
    assert split(*(stream[start:end] for start, end in pairwise(edges))) == reference(lines)


def test_an_event_comes_out_with_its_last_byte_not_later() -> None:
    for end in (b"\n\n", b"\r\r", b"\r\n\r", b"\n\r"):
        splitter = EventSplitter()
        assert splitter.feed(b"data: x" + end[:-1]) == []
        assert splitter.feed(end[-1:]) == [b"x"]


def test_the_second_half_of_a_crlf_is_no_line_of_its_own() -> None:
    assert split(b"data: a\r", b"\ndata: b\r", b"", b"\n\r", b"\n") == [b"a\nb"]


def test_a_line_that_looks_like_a_whole_event_may_be_the_end_of_one() -> None:
    assert split(b"data: a\n", b"data: b\n\n") == [b"a\nb"]
    assert split(b"data: a", b"data: b\n\n") == [b"adata: b"]
    assert split(b"data: a\n\n", b"data: b\n\n") == [b"a", b"b"]


def test_an_unfinished_comment_is_no_sign_of_life_but_unfinished_data_is() -> None:
    splitter = EventSplitter()
    splitter.feed(b": keep-al")
    assert not splitter.amid_data
    splitter.feed(b"ive\n")
    assert not splitter.amid_data
    splitter.feed(b"da")
    assert splitter.amid_data


def test_a_line_in_a_million_pieces_is_put_together_once() -> None:
    splitter = EventSplitter()
    splitter.feed(b"data: ")
    for _ in range(200_000):
        splitter.feed(b"x")
    assert splitter.feed(b"\n\n") == [b"x" * 200_000]


def split_with_errors(*parts: bytes) -> list[bytes]:
    splitter = EventSplitter(errors=True)
    return [event for part in parts for event in splitter.feed(part)] + splitter.close()


def test_errors_that_the_framing_alone_marks_are_marked_in_the_data() -> None:
    for stream in (b"event: error\ndata: 1\n\n", b"data: 1\nevent:error\n\n", b"error: 1\nevent: x\n\n", b"error:1"):
        assert [event.replace(b" ", b"") for event in split_with_errors(stream)] == [b'{"error":1}']
        assert split_with_errors(*(stream[at : at + 1] for at in range(len(stream)))) == split_with_errors(stream)


def test_the_mark_of_an_error_ends_with_its_event() -> None:
    assert split_with_errors(b"event: error\n\n", b"data: 1\n\n") == [b"1"]
    assert split_with_errors(b"event: error\ndata: 1\n\n", b"data: 2\n\n") == [b'{"error":1}', b"2"]
    assert split_with_errors(b"event: error\n", b"data: 1\n\n") == [b'{"error":1}']
    assert split_with_errors(b"event: errors\ndata: 1\n\n") == [b"1"]


def test_who_does_not_ask_for_errors_gets_the_data_as_it_came() -> None:
    assert split(b"event: error\ndata: 1\n\n", b"error: 2\n\n") == [b"1"]
