"""One attempt at vectors: what is sent, what is understood, and what is an error of whom."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from math import hypot, inf, nan
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.errors import (
    AgentrtError,
    ProviderError,
    ProviderExhausted,
    ProviderRefused,
    ProviderThrottled,
    ProviderUnavailable,
    ProviderUnreachable,
    ReplyIncomplete,
    SettingInvalid,
)
from agentrt.messages import UserMessage
from agentrt.model.embeddings import (
    EmbeddingReply,
    EmbeddingRequest,
    OpenAIEmbeddings,
    encode_embedding_request,
    read_embeddings,
)
from agentrt.model.model import ModelRequest
from agentrt.model.openai import OpenAIModel
from agentrt.testing.virtual import run_virtual

ASKED = EmbeddingRequest("m", ("one", "two", "three"), 2)
THREE = [(1.0, 0.0), (0.0, 1.0), (0.6, 0.8)]


def packed(*numbers: float) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def base64(*numbers: float) -> str:
    return b64encode(packed(*numbers)).decode()


def item(embedding: object, index: int | None = None) -> dict[str, object]:
    return {"object": "embedding", "embedding": embedding} | ({} if index is None else {"index": index})


def body(*items: dict[str, object], **fields: object) -> bytes:
    return json.dumps({"object": "list", "data": items, "model": "m", **fields}).encode()


GOOD = body(
    *(item(base64(*vector), n) for n, vector in enumerate(THREE)), usage={"prompt_tokens": 7, "total_tokens": 7}
)

Step = bytes | float | Exception


class Script(httpx2.AsyncBaseTransport):
    """Answers with a status and steps: bytes are sent, seconds waited, exceptions raised."""

    def __init__(self, *steps: Step, status: int = 200, before: Step = 0.0, **fields: str) -> None:
        self.steps = steps
        self.status = status
        self.before = before
        self.fields = {key.replace("_", "-"): value for key, value in fields.items()}
        self.seen: list[httpx2.Request] = []
        self.closed = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        await play(self.before)
        return httpx2.Response(self.status, headers=self.fields, stream=Steps(self))


class Steps(httpx2.AsyncByteStream):
    def __init__(self, script: Script) -> None:
        self.script = script

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for step in self.script.steps:
            yield await play(step)

    async def aclose(self) -> None:
        self.script.closed += 1


async def play(step: Step) -> bytes:
    if isinstance(step, Exception):
        raise step
    if isinstance(step, float):
        await asyncio.sleep(step)
        return b""
    return step


async def attempt(script: Script, request: EmbeddingRequest = ASKED) -> EmbeddingReply:
    chat = OpenAIModel("x", base_url="http://x/v1", api_key="hush-hush", transport=script, wall=lambda: 0.0)
    try:
        return await OpenAIEmbeddings(chat).embed(request)
    finally:
        await chat.aclose()


def failed(script: Script) -> tuple[ProviderError, float]:
    """The error of an attempt, and the virtual seconds that it took."""

    async def main() -> tuple[ProviderError, float]:
        with pytest.raises(ProviderError) as caught:
            await attempt(script)
        return caught.value, asyncio.get_running_loop().time()

    return run_virtual(main())


def test_the_request_goes_to_the_services_embeddings_and_asks_for_base64() -> None:
    script = Script(GOOD)
    run_virtual(attempt(script))
    (request,) = script.seen
    assert (request.method, str(request.url)) == ("POST", "http://x/v1/embeddings")
    assert request.headers["authorization"] == "Bearer hush-hush"
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.content) == {"model": "m", "input": ["one", "two", "three"], "encoding_format": "base64"}


def test_a_length_is_named_only_where_it_is_not_the_models_own() -> None:
    shortened = EmbeddingRequest("m", ("x",), 256, shortened=True)
    assert json.loads(encode_embedding_request(shortened))["dimensions"] == 256
    assert "dimensions" not in json.loads(encode_embedding_request(ASKED))


def test_half_a_character_does_not_keep_a_request_from_being_sent() -> None:
    assert json.loads(encode_embedding_request(EmbeddingRequest("m", ("a\ud800b",), 2)))["input"] == ["a\ufffdb"]


def test_the_reply_brings_vectors_tokens_and_what_the_gate_wants_to_know() -> None:
    reply = run_virtual(attempt(Script(GOOD, before=0.5, x_request_id="r1")))
    assert reply.vectors == tuple(packed(*vector) for vector in THREE)
    assert (reply.tokens, reply.request_id, reply.status) == (7, "r1", 200)
    assert reply.first_byte == pytest.approx(0.5)


@pytest.mark.parametrize("numbers", [list, lambda vector: base64(*vector)])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_vectors_come_as_numbers_or_in_base64_and_in_any_order(numbers: Any, order: Sequence[int]) -> None:
    came = body(*(item(numbers(THREE[place]), place) for place in order))
    assert read_embeddings(came, ASKED) == (tuple(packed(*vector) for vector in THREE), None)


def test_vectors_without_numbers_are_in_the_order_of_the_texts() -> None:
    came = body(*(item(list(vector)) for vector in THREE))
    assert read_embeddings(came, ASKED)[0] == tuple(packed(*vector) for vector in THREE)


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=50).filter(lambda v: hypot(*v) > 1e-3))
def test_every_vector_is_given_unit_length_and_keeps_its_direction(numbers: list[float]) -> None:
    request = EmbeddingRequest("m", ("x",), len(numbers))
    (as_numbers,), _ = read_embeddings(body(item(numbers, 0)), request)
    (as_base64,), _ = read_embeddings(body(item(base64(*numbers), 0)), request)
    assert as_numbers == as_base64
    unit = struct.unpack(f"<{len(numbers)}f", as_numbers)
    assert hypot(*unit) == pytest.approx(1.0, abs=2e-5)
    along = sum(a * b for a, b in zip(unit, numbers, strict=True))
    assert along == pytest.approx(hypot(*numbers), rel=1e-4)


def test_a_vector_of_unit_length_is_kept_to_the_bit() -> None:
    vector = packed(0.6, 0.8)
    (kept,), _ = read_embeddings(body(item(b64encode(vector).decode(), 0)), EmbeddingRequest("m", ("x",), 2))
    assert kept == vector


@pytest.mark.parametrize(
    "came",
    [
        b"",
        b"<html>Sign in</html>",
        b"[]",
        b"{}",
        b"[" * 100_000,
        GOOD[:-20],
        body(),
        body(item([1.0, 0.0], 0), item([1.0, 0.0], 1)),
        body(*[item([1.0, 0.0], n) for n in range(4)]),
        body(*[item([1.0, 0.0], n) for n in (0, 1, 1)]),
        body(*[item([1.0, 0.0], n) for n in (1, 2, 3)]),
        body(*[item([1.0, 0.0], n) for n in (0, 1, 1, 2)]),
        body(*[item([1.0, 0.0], n) for n in (0, -1, 1)]),
        body(item([1.0, 0.0]), item([1.0, 0.0], 0), item([1.0, 0.0], 2)),
        body(*[item([0.0, 0.0], n) for n in range(3)]),
        body(*[item([1e39, 0.0], n) for n in range(3)]),
        body(*[item([nan, 0.0], n) for n in range(3)]),
        body(*[item(base64(nan, 0.0), n) for n in range(3)]),
        body(*[item(base64(inf, 0.0), n) for n in range(3)]),
        body(*[item([], n) for n in range(3)]),
        body(*[item("", n) for n in range(3)]),
        body(*[item("AAA=", n) for n in range(3)]),
        body(*[item("not base64", n) for n in range(3)]),
        body(*[item(None, n) for n in range(3)]),
        body(*[item({}, n) for n in range(3)]),
    ],
)
def test_what_is_no_complete_set_of_vectors_is_incomplete(came: bytes) -> None:
    with pytest.raises(ReplyIncomplete) as caught:
        read_embeddings(came, ASKED)
    assert len(str(caught.value)) < 600


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["data", "embedding", "index", "usage", "error"]), inner, max_size=4),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_body_makes_anything_but_our_own_errors(came: bytes) -> None:
    with pytest.raises(AgentrtError):
        read_embeddings(came, ASKED)


def test_vectors_of_another_length_are_a_wrong_setting_and_the_right_one_is_said() -> None:
    with pytest.raises(SettingInvalid, match=r"m makes vectors of 3 numbers, expected 2: say dims=3"):
        read_embeddings(body(*(item([1.0, 0.0, 0.0], n) for n in range(3))), ASKED)


def test_usage_is_the_total_or_the_prompts_or_unknown() -> None:
    data = [item([1.0, 0.0], n) for n in range(3)]
    for usage, tokens in (({"total_tokens": 9}, 9), ({"prompt_tokens": 4}, 4), ({}, None), (None, None)):
        assert read_embeddings(body(*data, usage=usage), ASKED)[1] == tokens


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (400, b'{"error":{"message":"input is invalid"}}', ProviderRefused),
        (401, b"", ProviderRefused),
        (413, b"", ProviderRefused),
        (429, b'{"error":{"code":"rate_limit_exceeded"}}', ProviderThrottled),
        (429, b'{"error":{"code":"insufficient_quota"}}', ProviderExhausted),
        (503, b"", ProviderUnavailable),
    ],
)
def test_a_refusal_is_typed_as_it_is_for_chat(status: int, said: bytes, error: type[ProviderError]) -> None:
    script = Script(said, status=status, retry_after="7", x_request_id="r1")
    came, _ = failed(script)
    assert type(came) is error
    assert (came.status, came.retry_after, came.request_id) == (status, 7.0, "r1")
    assert len(script.seen) == 1


def test_an_error_inside_a_good_status_is_an_error() -> None:
    came, _ = failed(Script(b'{"error":{"code":"rate_limit_exceeded","message":"slow down, hush-hush"}}'))
    assert type(came) is ProviderThrottled
    assert came.status == 200
    assert "hush" not in str(came)


def test_a_connection_that_fails_says_whether_the_request_may_have_arrived() -> None:
    for problem, sent in ((httpx2.ConnectError("no"), False), (httpx2.ReadError("gone"), True)):
        came, _ = failed(Script(before=problem))
        assert type(came) is ProviderUnreachable
        assert came.sent is sent


def test_a_reply_that_breaks_off_is_incomplete_and_its_connection_is_closed() -> None:
    script = Script(GOOD[:30], httpx2.ReadError("gone"), x_request_id="r1")
    came, _ = failed(script)
    assert type(came) is ReplyIncomplete
    assert (came.status, came.request_id, script.closed) == (200, "r1", 1)


def test_a_silent_service_is_given_up() -> None:
    came, after = failed(Script(before=3_600.0))
    assert type(came) is ProviderUnreachable
    assert after == pytest.approx(60)
    script = Script(GOOD[:30], 3_600.0, before=20.0)
    came, after = failed(script)
    assert type(came) is ReplyIncomplete
    assert after == pytest.approx(50)
    assert script.closed == 1
    assert "30 s" in str(came)


def test_a_cancel_closes_the_connection() -> None:
    async def main() -> None:
        script = Script(GOOD[:30], 3_600.0)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(attempt(script))
            await asyncio.sleep(1.0)
            task.cancel()
        assert task.cancelled()
        assert script.closed == 1

    run_virtual(main())


def test_vectors_come_by_the_connections_that_replies_come_by() -> None:
    async def main() -> None:
        script = Script(GOOD)
        chat = OpenAIModel("x", base_url="http://x/v1", api_key="hush-hush", transport=script)
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(OpenAIEmbeddings(chat).embed(ASKED))
        connections = await chat.connections()
        with pytest.raises(ReplyIncomplete):  # vectors are no reply
            await chat.reply(ModelRequest("m", (UserMessage("hi"),)), lambda _piece: None)
        assert await chat.connections() is connections
        assert len(script.seen) == 6
        await chat.aclose()
        assert connections.client.is_closed
        assert await OpenAIEmbeddings(chat).embed(ASKED)
        await chat.aclose()

    run_virtual(main())


EMBEDS = """
import asyncio, sys
from agentrt.errors import ProviderUnreachable
from agentrt.model.embeddings import EmbeddingRequest, OpenAIEmbeddings
from agentrt.messages import UserMessage
from agentrt.model.model import ModelRequest
from agentrt.model.openai import OpenAIModel

async def main():
    chat = OpenAIModel("x", base_url="http://127.0.0.1:9/v1", api_key="k")
    try:
        await OpenAIEmbeddings(chat).embed(EmbeddingRequest("m", ("one",), 2))
    except ProviderUnreachable:
        print(*{"openai", "pydantic", "httpx2"} & sys.modules.keys())
    await chat.aclose()

asyncio.run(main())
"""


def test_who_only_embeds_does_not_load_the_openai_package() -> None:
    done = subprocess.run([sys.executable, "-c", EMBEDS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["httpx2"]
