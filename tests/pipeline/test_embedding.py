"""Embedding through a gate: batches, retries, what is reserved and what is used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from random import Random
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.errors import ProviderError, ProviderRefused, ProviderThrottled, ProviderUnavailable, SettingInvalid
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock
from agentrt.gate.limits import Limits
from agentrt.index.embedder import Embedder
from agentrt.model.embeddings import EmbeddingReply, EmbeddingRequest
from agentrt.model.tokens import estimate
from agentrt.pipeline.embedding import GateEmbedder
from agentrt.testing.virtual import run_virtual

T = TypeVar("T")
ANYBODY = Knock()


class Service:
    """Makes of each text a vector that tells which text it was; its first attempts may fail."""

    def __init__(self, *errors: ProviderError, seconds: float = 0.0, tokens: int | None = 0) -> None:
        self.errors = list(errors)
        self.seconds = seconds
        self.tokens = tokens
        self.asked: list[EmbeddingRequest] = []

    async def embed(self, request: EmbeddingRequest) -> EmbeddingReply:
        self.asked.append(request)
        await asyncio.sleep(self.seconds)
        if self.errors:
            raise self.errors.pop(0)
        return EmbeddingReply(tuple(text.encode() for text in request.texts), self.tokens, status=200)


def a_gate(tokens: float | None = None, concurrency: int = 20) -> Gate:
    return Gate("openai", Limits(tokens=tokens, concurrency=concurrency), random=Random(1))


def embedder(
    service: Service, gate: Gate | None = None, *, most_texts: int = 64, most_characters: int = 1_000
) -> Embedder:
    gate = gate or a_gate()
    return GateEmbedder(service, gate, "m", dims=2, most_texts=most_texts, most_characters=most_characters)


@given(
    st.lists(st.text(max_size=30), max_size=40),
    st.integers(1, 10),
    st.integers(1, 60),
)
def test_every_text_is_asked_for_once_in_order_and_no_request_is_larger_than_allowed(
    texts: list[str], most_texts: int, most_characters: int
) -> None:
    service = Service()
    asker = embedder(service, most_texts=most_texts, most_characters=most_characters)
    vectors = run_virtual(asker.embed(texts))
    assert list(vectors) == [text.encode() for text in texts]
    batches = [request.texts for request in service.asked]
    assert [text for batch in batches for text in batch] == texts
    for batch in batches:
        assert 1 <= len(batch) <= most_texts
        assert len(batch) == 1 or sum(map(len, batch)) <= most_characters
    for batch, following in pairwise(batches):
        together = sum(map(len, batch)) + len(following[0])
        assert len(batch) == most_texts or together > most_characters, "it could have held one more"


def test_a_name_stands_for_the_model_and_for_a_length_that_is_not_its_own() -> None:
    def named(model: str, dims: int | None = None) -> tuple[str, int]:
        made = GateEmbedder(Service(), a_gate(), model, dims=dims)
        return made.name, made.dims

    assert named("text-embedding-3-small") == ("openai:text-embedding-3-small", 1536)
    assert named("text-embedding-3-small", 1536) == ("openai:text-embedding-3-small", 1536)
    assert named("text-embedding-3-small", 256) == ("openai:text-embedding-3-small@256", 256)
    assert named("nomic-embed-text", 768) == ("openai:nomic-embed-text", 768)


@pytest.mark.parametrize("model", ["text-embedding-3-large", "nomic-embed-text"])
def test_only_a_known_model_is_asked_for_shorter_vectors(model: str) -> None:
    service = Service()
    run_virtual(GateEmbedder(service, a_gate(), model, dims=256).embed(["x"]))
    assert service.asked[0].shortened is (model == "text-embedding-3-large")


def test_what_makes_no_sense_is_refused_when_it_is_made() -> None:
    with pytest.raises(SettingInvalid, match="say dims="):
        GateEmbedder(Service(), a_gate(), "nomic-embed-text")
    with pytest.raises(SettingInvalid, match="dims=0"):
        GateEmbedder(Service(), a_gate(), "text-embedding-3-small", dims=0)
    with pytest.raises(SettingInvalid, match="most_texts=0"):
        embedder(Service(), most_texts=0)
    with pytest.raises(SettingInvalid, match="most_characters=0"):
        embedder(Service(), most_characters=0)


def test_a_passing_failure_is_repeated_by_the_gate_and_the_batch_alone() -> None:
    service = Service(ProviderUnavailable("ill", status=503), ProviderThrottled("slow", status=429, retry_after=3.0))
    vectors = run_virtual(embedder(service, most_texts=2).embed(["a", "b", "c"]))
    assert list(vectors) == [b"a", b"b", b"c"]
    assert [request.texts for request in service.asked] == [("a", "b"), ("a", "b"), ("a", "b"), ("c",)]


@pytest.mark.parametrize("status", [400, 413])
def test_a_refusal_passes_through_as_it_is_after_one_attempt(status: int) -> None:
    refused = ProviderRefused("too much", status=status)
    service = Service(refused)
    with pytest.raises(ProviderRefused) as caught:
        run_virtual(embedder(service).embed(["a"]))
    assert caught.value is refused
    assert len(service.asked) == 1


def test_what_was_reserved_and_not_used_comes_back() -> None:
    text = "some words to count"

    async def main() -> None:
        gate = a_gate(tokens=60_000)
        service = Service(seconds=1.0, tokens=3)
        full = gate.statistics().tokens
        assert full is not None
        async with asyncio.TaskGroup() as group:
            group.create_task(embedder(service, gate).embed([text, text]))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert gate.statistics().tokens == pytest.approx(full - 2 * estimate(text), abs=1)
        assert gate.statistics().tokens == pytest.approx(full)
        embedding = Service(tokens=3)
        await embedder(embedding, gate).embed([text, text])
        assert gate.statistics().tokens == pytest.approx(full - 3, abs=0.1)

    run_virtual(main())


def test_many_documents_share_the_gates_permits_and_a_cancel_gives_them_back() -> None:
    async def main() -> None:
        gate = a_gate(concurrency=2)
        asker = embedder(Service(seconds=1.0), gate)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asker.embed([f"{n}"])) for n in range(6)]
            await asyncio.sleep(1.5)
            assert gate.statistics().in_flight == 2
            tasks[2].cancel()
        assert [task.cancelled() for task in tasks] == [False, False, True, False, False, False]
        assert (gate.statistics().in_flight, gate.statistics().waiting) == (0, 0)
        await asker.aclose()

    run_virtual(main())


def test_texts_are_embedded_in_the_background_and_may_be_asked_for_twice() -> None:
    knocks: list[Knock] = []

    class Watched(Gate):
        async def call(self, work: Callable[[Grant], Awaitable[T]], knock: Knock = ANYBODY) -> T:
            knocks.append(knock)
            return await super().call(work, knock)

    gate = Watched("openai", Limits(), random=Random(1))
    run_virtual(GateEmbedder(Service(), gate, "m", dims=2).embed(["a"]))
    run_virtual(GateEmbedder(Service(), gate, "m", dims=2, priority="interactive").embed(["a"]))
    assert [(knock.priority, knock.idempotent) for knock in knocks] == [("background", True), ("interactive", True)]


def test_tokens_are_reserved_where_the_models_limit_group_counts_them() -> None:
    async def main() -> float | None:
        gate = Gate("openai", Limits(), random=Random(1), groups={"text-*": Limits(tokens=6000, per=60)})
        await GateEmbedder(Service(tokens=None), gate, "text-x", dims=2).embed(["one two three"])
        return gate.statistics().groups[0].tokens

    left = run_virtual(main())
    assert left is not None
    assert left < 99
