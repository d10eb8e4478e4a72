"""What the assembler promises beside the table of tests/conformance."""

from __future__ import annotations

import json
import time

import pytest

from agentrt.errors import ReplyIncomplete
from agentrt.messages import Usage
from agentrt.model import assemble
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


def test_a_reply_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "LARGEST_REPLY", 1_000)
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
