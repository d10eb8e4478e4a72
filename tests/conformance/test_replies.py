"""Every row of the table, in both forms, however its bytes are cut, up to the client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentrt.errors import ProviderError
from agentrt.messages import ToolCall, UserMessage
from agentrt.model.assemble import Assembled, Assembler
from agentrt.model.model import ArgumentsPiece, Began, ModelRequest, Piece, ReasoningPiece, TextPiece, Told
from agentrt.model.openai import OpenAIModel
from agentrt.testing.virtual import run_virtual
from tests.conformance import arguments, broken, ends, excess, fields, fragments, framing, kept
from tests.conformance.bodies import delta, end
from tests.conformance.table import Becomes, Fails

FAMILIES = (fragments, fields, arguments, broken, framing, kept, ends, excess)
ROWS = tuple(row for family in FAMILIES for row in family.ROWS)
LARGE = 100_000
"""Bytes from which on a reply is cut into larger pieces: single bytes would take minutes."""


class Reply(NamedTuple):
    """One form of one case."""

    name: str
    body: bytes
    result: Becomes | Fails


def replies() -> Iterator[Reply]:
    for row in ROWS:
        for case in row.cases:
            for form, body in (("streamed", case.streamed), ("whole", case.whole)):
                if body is not None:
                    yield Reply(f"{row.number}: {case.name}, {form}", body, case.result)


REPLIES = tuple(replies())
SMALL = tuple(reply for reply in REPLIES if len(reply.body) < LARGE)


def named(chosen: Iterable[Reply]) -> list[Any]:
    return [pytest.param(reply, id=reply.name) for reply in chosen]


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


def as_wanted(done: Assembled) -> Becomes:
    calls = tuple((call.id, call.name, call.arguments) for call in done.message.tool_calls)
    extra = None if done.message.extra is None else json.loads(done.message.extra)
    return Becomes(done.message.content, calls, done.finish, extra=extra, usage=done.usage)


def without_reasoning(wanted: Becomes) -> Becomes:
    return Becomes(wanted.text, wanted.calls, wanted.finish, extra=wanted.extra, usage=wanted.usage)


def test_every_case_comes_in_both_forms_or_says_why_not() -> None:
    for row in ROWS:
        assert row.cases
        for case in row.cases:
            forms = sum(form is not None for form in (case.streamed, case.whole))
            assert forms == (1 if case.only else 2), f"{row.number}: {case.name}"


def test_rows_and_cases_have_names_of_their_own() -> None:
    names = [reply.name for reply in REPLIES]
    assert len(names) == len(set(names))
    numbers = [row.number for row in ROWS]
    assert sorted(numbers) == [number for number in range(33) if number != 12]


@pytest.mark.parametrize("reply", named(REPLIES))
@pytest.mark.parametrize("size", [1, 7, 1_000_000_000], ids=["bytes", "sevens", "whole"])
def test_what_comes_becomes_what_the_table_says(reply: Reply, size: int) -> None:
    if len(reply.body) > LARGE:
        size = max(size, 4_093)  # a prime, so that cuts fall everywhere
    wanted = reply.result
    if isinstance(wanted, Fails):
        with pytest.raises(ProviderError) as caught:
            assembled(cut(reply.body, size))
        assert type(caught.value) is wanted.error
        assert wanted.naming in str(caught.value)
    else:
        done, _ = assembled(cut(reply.body, size))
        assert as_wanted(done) == without_reasoning(wanted)


@pytest.mark.parametrize("reply", named(reply for reply in REPLIES if isinstance(reply.result, Becomes)))
def test_the_pieces_told_add_up_to_the_reply(reply: Reply) -> None:
    done, pieces = assembled(cut(reply.body, 4_093))
    assert isinstance(reply.result, Becomes)
    assert "".join(piece.text for piece in pieces if isinstance(piece, TextPiece)) == done.message.content
    assert "".join(piece.text for piece in pieces if isinstance(piece, ReasoningPiece)) == reply.result.reasoning
    texts: dict[str, str] = {}
    names: dict[str, str] = {}
    for piece in pieces:
        if isinstance(piece, ArgumentsPiece):
            texts[piece.call_id] = texts.get(piece.call_id, "") + piece.text
            names[piece.call_id] = piece.name
    for made in done.message.tool_calls:
        told = texts.pop(made.id)
        assert made.arguments.startswith(told) or told in ("", "null")
        assert names[made.id] == made.name
    assert not texts or done.finish in ("content_filter", "refusal")


def test_ids_of_a_reply_are_unique_and_not_empty() -> None:
    for reply in REPLIES:
        if isinstance(reply.result, Becomes):
            ids = [call_id for call_id, _, _ in reply.result.calls]
            assert all(ids)
            assert len(set(ids)) == len(ids)


def test_the_same_comes_out_of_the_client_and_is_told_on_the_way() -> None:
    async def main() -> None:
        for reply in SMALL:
            told: list[Told] = []
            model = OpenAIModel("x", base_url="http://x/v1", api_key="k", transport=Answering(cut(reply.body, 997)))
            request = ModelRequest("m", (UserMessage("hi"),))
            if isinstance(reply.result, Fails):
                with pytest.raises(ProviderError) as caught:
                    await model.reply(request, told.append)
                assert type(caught.value) is reply.result.error, reply.name
                assert reply.result.naming in str(caught.value), reply.name
                assert caught.value.status == 200
            else:
                came = await model.reply(request, told.append)
                made = tuple(ToolCall(*call) for call in reply.result.calls)
                assert came.message.content == reply.result.text, reply.name
                assert came.message.tool_calls == made, reply.name
                assert came.finish == reply.result.finish, reply.name
                assert came.usage == reply.result.usage, reply.name
                assert "".join(piece.text for piece in told if isinstance(piece, TextPiece)) == reply.result.text
            assert isinstance(told[0], Began)
            await model.aclose()

    asyncio.run(main())


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SMALL), st.lists(st.integers(0, 2_000), max_size=20))
def test_cuts_anywhere_change_nothing(reply: Reply, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(reply.body)]
    assert outcome(reply.body[start:end] for start, end in pairwise(edges)) == outcome([reply.body])


def test_a_finish_reason_in_mid_reply_does_not_cut_short_the_patience_with_the_rest() -> None:
    """After a finish reason there is a second for the usage to follow; not so once more of the answer has come."""

    async def main() -> None:
        steps = (delta(content="A"), 0.1, delta("stop"), 0.1, delta(content="B"), 20.0, delta(content="C"), end())
        model = OpenAIModel("x", base_url="http://x/v1", api_key="k", transport=Answering(steps))
        reply = await model.reply(ModelRequest("m", (UserMessage("hi"),)), lambda told: None)
        assert reply.message.content == "ABC"
        await model.aclose()

    run_virtual(main())


class Answering(httpx2.AsyncBaseTransport):
    """Answers every request with status 200 and these bytes; seconds are waited."""

    def __init__(self, steps: Iterable[bytes | float]) -> None:
        self.steps = steps

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, stream=Body(self.steps))


class Body(httpx2.AsyncByteStream):
    def __init__(self, steps: Iterable[bytes | float]) -> None:
        self.steps = steps

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self.steps:
            if isinstance(step, bytes):
                yield step
            else:
                await asyncio.sleep(step)
