"""An answer's bytes, whole or streamed, and what is said of one that is none."""

from __future__ import annotations

import pytest

from agentrt.errors import ReplyIncomplete
from agentrt.model.arriving import LARGEST_REPLY, Arriving


def test_the_first_byte_decides_whether_it_is_a_stream_or_came_whole() -> None:
    stream = Arriving()
    assert stream.feed(b" \n") == []
    assert stream.whole is None
    assert stream.feed(b'data: 1\n\ndata: {"a"') == [b"1"]
    assert [stream.whole, stream.alive] == [False, True]
    assert stream.feed(b":2}\n\n") == [b'{"a":2}']
    assert not stream.alive
    stream.feed(b"data: 3")
    assert stream.close() == [b"3"]
    for body in (b'{"a": 1}', b"[1]"):
        whole = Arriving()
        assert (whole.feed(b"\n" + body[:2]), whole.feed(body[2:])) == ([], [])
        assert (whole.whole, whole.alive, whole.close()) == (True, True, [body])


def test_an_answer_without_what_was_expected_is_quoted() -> None:
    arriving = Arriving()
    assert str(arriving.instead("news")) == "the reply is empty"
    for byte in b"<html>" + b"x" * 10_000:
        arriving.feed(bytes([byte]))
    said = str(arriving.instead("news"))
    assert said.startswith("expected news, came '<html>xxx")
    assert len(said) < 400


def test_no_more_is_read_than_fits() -> None:
    arriving = Arriving()
    for _ in range(64):
        arriving.feed(b"x" * (LARGEST_REPLY // 64))
    with pytest.raises(ReplyIncomplete, match="at most 64,000,000 bytes"):
        arriving.feed(b"x")


def test_a_byte_order_mark_says_nothing_of_the_form() -> None:
    for text, whole in ((b'{"a": 1}', True), (b'data: {"a": 1}\n\n', False)):
        arriving = Arriving()
        came = [event for byte in b"\r\n\xef\xbb\xbf\n" + text for event in arriving.feed(bytes([byte]))]
        assert arriving.whole is whole
        assert came + arriving.close() == [b'{"a": 1}']
