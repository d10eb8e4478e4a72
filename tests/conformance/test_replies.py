"""Every case of the table, however its bytes are cut."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrt.errors import ProviderError
from agentrt.messages import AssistantMessage, ToolCall, UserMessage
from agentrt.model.assemble import Assembled, Assembler
from agentrt.model.model import ArgumentsPiece, ModelRequest, Piece, ReasoningPiece, TextPiece
from agentrt.model.openai import OpenAIModel
from tests.conformance.bodies import USAGE, Becomes, Case, Fails, body, call, delta, event, part
from tests.conformance.calls import CALLS
from tests.conformance.endings import ENDINGS

CASES = (*CALLS, *ENDINGS)
SMALL = [case for case in CASES if len(case.body) < 100_000]


def cut(body: bytes, size: int) -> Iterable[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def assembled(parts: Iterable[bytes]) -> tuple[Assembled, list[Piece]]:
    assembler = Assembler()
    pieces = [piece for part in parts for piece in assembler.feed(part)]
    done = assembler.finish()
    return done, [*pieces, *done.pieces]


def outcome(parts: Iterable[bytes]) -> object:
    try:
        return assembled(parts)
    except ProviderError as error:
        return type(error), str(error)


def names(cases: Iterable[Case]) -> list[Any]:
    return [pytest.param(case, id=f"{case.row}: {case.name}") for case in cases]


@pytest.mark.parametrize("case", names(CASES))
@pytest.mark.parametrize("size", [1, 7, 1_000_000_000], ids=["bytes", "sevens", "whole"])
def test_what_comes_becomes_what_the_table_says(case: Case, size: int) -> None:
    if len(case.body) > 100_000:
        size = max(size, 4_093)  # a prime, so that cuts fall everywhere; single bytes would take minutes
    wanted = case.result
    if isinstance(wanted, Fails):
        with pytest.raises(ProviderError) as caught:
            assembled(cut(case.body, size))
        assert type(caught.value) is wanted.error
        assert wanted.naming in str(caught.value)
        return
    done, _ = assembled(cut(case.body, size))
    assert as_wanted(done) == wanted_of(wanted)


@pytest.mark.parametrize("case", names(case for case in CASES if isinstance(case.result, Becomes)))
def test_the_pieces_told_add_up_to_the_reply(case: Case) -> None:
    done, pieces = assembled(cut(case.body, 4_093))
    assert isinstance(case.result, Becomes)
    assert "".join(piece.text for piece in pieces if isinstance(piece, TextPiece)) == done.message.content
    assert "".join(piece.text for piece in pieces if isinstance(piece, ReasoningPiece)) == case.result.reasoning
    arguments: dict[str, str] = {}
    for piece in pieces:
        if isinstance(piece, ArgumentsPiece):
            arguments[piece.call_id] = arguments.get(piece.call_id, "") + piece.text
    for made in done.message.tool_calls:
        told = arguments.pop(made.id)
        assert made.arguments.startswith(told) or told in ("", "null")
    assert not arguments or done.finish in ("content_filter", "refusal")


def test_ids_of_a_reply_are_unique_and_not_empty() -> None:
    for case in CASES:
        if isinstance(case.result, Becomes):
            ids = [call_id for call_id, _, _ in case.result.calls]
            assert all(ids)
            assert len(set(ids)) == len(ids)


def test_the_same_comes_out_of_the_client() -> None:
    async def main() -> None:
        for case in SMALL:
            model = OpenAIModel("x", base_url="http://x/v1", api_key="k", transport=Replies(case.body))
            request = ModelRequest("m", (UserMessage("hi"),))
            if isinstance(case.result, Fails):
                with pytest.raises(case.result.error):
                    await model.reply(request, lambda piece: None)
            else:
                reply = await model.reply(request, lambda piece: None)
                assert reply.message.content == case.result.text, case.name
                assert reply.finish == case.result.finish, case.name
                assert reply.usage == case.result.usage, case.name
            await model.aclose()

    asyncio.run(main())


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SMALL), st.lists(st.integers(0, 2_000), max_size=20))
def test_cuts_anywhere_change_nothing(case: Case, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(case.body)]
    parts = [case.body[start:end] for start, end in pairwise(edges)]
    assert outcome(parts) == outcome([case.body])


def test_damaged_replies_raise_nothing_but_our_own_errors() -> None:
    chance = random.Random(20260)
    for _ in range(4_000):
        damaged = damage(chance.choice(SMALL).body, chance)
        outcome(cut(damaged, chance.choice((1, 7, 64, 100_000))))


def test_fields_of_any_type_raise_nothing_but_our_own_errors() -> None:
    chance = random.Random(20261)
    for _ in range(4_000):
        outcome([b"".join(confused(chunk, chance) for chunk in CONFUSABLE)])
        outcome([confused(WHOLE, chance).removeprefix(b"data: ")])


def confused(chunk: bytes, chance: random.Random) -> bytes:
    """The chunk with one of its values, at any depth, replaced by something else."""
    value = json.loads(chunk.removeprefix(b"data: "))
    at: Any = value
    while True:
        key = chance.choice(list(at) if isinstance(at, dict) else range(len(at)))
        if not isinstance(at[key], dict | list) or not at[key] or chance.random() < 0.2:
            break
        at = at[key]
    at[key] = chance.choice(STRANGE)
    return b"data: " + json.dumps(value).encode() + b"\n\n"


STRANGE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    10**30,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\ud800",
    [],
    {},
    [None],
    [{}],
    {"a": []},
    [[1]],
)
CONFUSABLE = (
    delta(role="assistant", content="Hello", reasoning_content="Hm.", refusal=None, x=[1, {"y": 2}]),
    part('{"q":1}', "look", index=0, id="a", type="function", extra={"s": 1}),
    event(object="x", model="m", choices=[], usage=USAGE, error=None),
    delta("stop"),
)
WHOLE = body(content="Hello", tool_calls=[call("{}", id="a")], usage=USAGE, error=None)


def damage(body: bytes, chance: random.Random) -> bytes:
    """The body with bytes dropped, doubled, changed, or a part of another in its midst."""
    damaged = bytearray(body)
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        at = chance.randint(0, len(damaged))
        match chance.randint(0, 4):
            case 0:
                del damaged[at : at + chance.randint(1, 9)]
            case 1:
                damaged[at:at] = damaged[at : at + chance.randint(1, 30)]
            case 2:
                damaged[at : at + 1] = bytes([chance.randint(0, 255)])
            case 3:
                damaged[at:at] = chance.choice(CULPRITS)
            case _:
                other = chance.choice(SMALL).body
                start = chance.randint(0, len(other))
                damaged[at:at] = other[start : start + chance.randint(1, 200)]
    return bytes(damaged)


CULPRITS = (
    b"{",
    b"[",
    b"}",
    b'"',
    b"\r",
    b"\n",
    b"\n\n",
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b"\\ud83d",
    b"\x00",
    b"data: ",
)


class Replies(httpx2.AsyncBaseTransport):
    """Answers every request with these bytes, one at a time."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=Body(self.body))


class Body(httpx2.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for data in cut(self.body, 997):
            yield data


def as_wanted(done: Assembled) -> dict[str, Any]:
    message: AssistantMessage = done.message
    return {
        "text": message.content,
        "calls": message.tool_calls,
        "finish": done.finish,
        "extra": json.loads(message.extra) if message.extra is not None else None,
        "usage": done.usage,
    }


def wanted_of(result: Becomes) -> dict[str, Any]:
    return {
        "text": result.text,
        "calls": tuple(ToolCall(*call) for call in result.calls),
        "finish": result.finish,
        "extra": result.extra,
        "usage": result.usage,
    }
