"""What the assembler promises beside the table of tests/conformance."""

from __future__ import annotations

import json
import time

import pytest

from agentrt.errors import ReplyIncomplete
from agentrt.messages import Usage
from agentrt.model import arriving
from agentrt.model.assemble import Assembler
from agentrt.model.model import ReasoningPiece, TextPiece


def chunk(finish: str | None = None, **delta: object) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    whole = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(whole).encode() + b"\n\n"


def test_pieces_come_with_the_bytes_that_complete_them() -> None:
    assembler = Assembler()
    assert assembler.feed(chunk(role="assistant", content="")) == []
    assert assembler.feed(chunk(content="Hel")[:-1]) == []
    assert assembler.feed(b"\n") == [TextPiece("Hel")]
    assert assembler.feed(chunk(reasoning_content="Hm.") + chunk(content="lo")) == [
        ReasoningPiece("Hm."),
        TextPiece("lo"),
    ]


def test_a_body_that_is_not_streamed_gives_its_pieces_at_the_end() -> None:
    assembler = Assembler()
    body = b' \n{"model":"m","choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}'
    assert assembler.feed(body[:20]) == []
    assert assembler.feed(body[20:]) == []
    done = assembler.finish()
    assert done.pieces == (TextPiece("Hello"),)
    assert done.model == "m"


def test_signs_of_life_are_chunks_and_parts_of_them_but_no_comments() -> None:
    assembler = Assembler()
    heard = [assembler.heard]
    for part in (b": waiting\n\n", b": wai", b"ting\n\n", b"\n", b"data:\n\n"):
        assembler.feed(part)
        assert assembler.heard == 0
    for part in (b"data: {", b'"choices":[]}', b"\n\n", chunk(content="x"), b"data: [DONE]\n\n"):
        assembler.feed(part)
        heard.append(assembler.heard)
    assert heard == sorted(set(heard))


def test_a_reply_is_finished_by_its_finish_reason_and_done_by_done() -> None:
    assembler = Assembler()
    states: list[tuple[bool, bool]] = []
    for data in (chunk(content="x"), chunk("stop"), b"data: [DONE]\n\n"):
        assembler.feed(data)
        states.append((assembler.finished, assembler.done))
    assert states == [(False, False), (True, False), (True, True)]


def test_the_last_usage_counts_and_nonsense_in_it_is_zero() -> None:
    assembler = Assembler()
    for tokens in ({"prompt_tokens": 1}, {"prompt_tokens": -5, "completion_tokens": 4, "prompt_cache_hit_tokens": 3}):
        assembler.feed(b"data: " + json.dumps({"choices": [], "usage": tokens}).encode() + b"\n\n")
    assembler.feed(chunk("stop"))
    assert assembler.finish().usage == Usage(input_tokens=0, output_tokens=4, cached_tokens=3, requests=1)


@pytest.mark.parametrize("placeholder", [{}, {"prompt_tokens": 0, "completion_tokens": 0}, None, 7])
def test_usage_that_counts_nothing_does_not_replace_usage(placeholder: object) -> None:
    assembler = Assembler()
    for usage in ({"prompt_tokens": 1, "completion_tokens": 2}, placeholder):
        assembler.feed(b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n")
    assembler.feed(chunk("stop"))
    assert assembler.finish().usage == Usage(input_tokens=1, output_tokens=2, requests=1)


def test_a_finish_reason_that_more_of_the_answer_follows_was_none() -> None:
    assembler = Assembler()
    states: list[bool] = []
    for data in (chunk("stop", reasoning_content="Hm."), chunk(content=""), chunk(content="x"), chunk("stop")):
        assembler.feed(data)
        states.append(assembler.finished)
    assert states == [True, True, False, True]


@pytest.mark.parametrize(
    ("reasons", "finish"),
    [
        (("stop", "length"), "length"),
        (("length", "stop"), "length"),
        (("content_filter", "length"), "length"),
        (("tool_calls", "stop"), "stop"),
        (("SAFETY: blocked", "stop"), "content_filter"),
    ],
)
def test_of_several_finish_reasons_the_one_that_tells_most_counts(reasons: tuple[str, ...], finish: str) -> None:
    assembler = Assembler()
    assembler.feed(chunk(content="x"))
    for reason in reasons:
        assembler.feed(chunk(reason))
    assert assembler.finish().finish == finish


def test_nothing_takes_back_that_a_reply_broke_off() -> None:
    assembler = Assembler()
    for data in (chunk("error"), chunk(content="x"), chunk("stop"), b"data: [DONE]\n\n"):
        assembler.feed(data)
    with pytest.raises(ReplyIncomplete, match='"error"'):
        assembler.finish()


def test_a_mark_of_byte_order_says_nothing_of_the_form() -> None:
    body = b'{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}'
    for data, pieces in ((body, 1), (chunk(content="Hello") + chunk("stop"), 0)):
        assembler = Assembler()
        for byte in b"\xef\xbb\xbf\r\n" + data:
            assembler.feed(bytes([byte]))
        done = assembler.finish()
        assert (done.message.content, len(done.pieces)) == ("Hello", pieces)


def test_reasoning_that_comes_in_pieces_of_a_list_is_put_together_again() -> None:
    def details(*parts: dict[str, object]) -> bytes:
        return chunk(reasoning_details=list(parts))

    def text(said: str | None, index: int | None = 0, **fields: object) -> dict[str, object]:
        return {"type": "reasoning.text", "text": said, "format": "f1", "index": index, **fields}

    assembler = Assembler()
    data = {"type": "reasoning.encrypted", "data": "x", "index": 1}
    for part in (
        details(text("Let ")),
        details(text("me "), text("see.")),
        details(text(None, signature="s1")),
        details(data),
        details(data),
        details(text("Then", 2)),
        details(text("loose", None)),
        details(text("loose", None)),
    ):
        assembler.feed(part)
    assembler.feed(chunk("stop", content="Hello"))
    assert json.loads(assembler.finish().message.extra or "")["reasoning_details"] == [
        text("Let me see.", signature="s1"),
        data,
        text("Then", 2),
        text("loose", None),
        text("loose", None),
    ]


def test_a_reply_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "LARGEST_REPLY", 1_000)
    assembler = Assembler()
    assembler.feed(chunk(content="x" * 500))
    with pytest.raises(ReplyIncomplete, match="at most 1,000 bytes"):
        assembler.feed(chunk(content="x" * 500))


def test_a_chunk_of_text_costs_little() -> None:
    """The goal is 4 us; ten times that leaves room for a busy machine and still sees a typed layer come back."""
    chunks = [chunk(content=f" word{n}") for n in range(2_000)]
    best = 1.0
    for _ in range(5):
        assembler = Assembler()
        began = time.process_time()
        for data in chunks:
            assembler.feed(data)
        best = min(best, time.process_time() - began)
    assert best / len(chunks) < 40e-6
