"""Embedding by a provider: single attempts of the model room, through the provider's gate, which repeats them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from agentrt.errors import SettingInvalid
from agentrt.events import Priority
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock
from agentrt.model.embeddings import DIMS, EmbeddingReply, EmbeddingRequest, Embeddings
from agentrt.model.tokens import count

MOST_TEXTS = 64
"""Texts of one request; beyond that, they no longer get cheaper."""

MOST_CHARACTERS = 100_000
"""Characters of one request, unless one text alone has more. There are hardly more tokens than characters in a text,
and OpenAI takes 300,000."""


class GateEmbedder:
    """An `Embedder` that asks a provider. Connections and gate are their owner's, and stay open behind it.

    Args:
        embeddings: The provider's embedding models.
        gate: The provider's gate. Retries happen there.
        model: The provider's own name of the model.
        dims: Numbers in a vector; for OpenAI's models it may be left out. Their third generation is asked for vectors
            of this length, of others it is what they make.
        most_texts: Texts of one request.
        most_characters: Characters of one request, unless one text alone has more.
        priority: At the gate. "interactive" is for who embeds the question of a person that waits.

    Raises:
        SettingInvalid: A number below 1, or a model whose vectors nobody knows, without `dims`.
    """

    def __init__(  # noqa: PLR0913 - settings
        self,
        embeddings: Embeddings,
        gate: Gate,
        model: str,
        *,
        dims: int | None = None,
        most_texts: int = MOST_TEXTS,
        most_characters: int = MOST_CHARACTERS,
        priority: Priority = "background",
    ) -> None:
        self.name = f"{gate.key}:{model}"
        usual = DIMS.get(model)
        length = usual if dims is None else dims
        if length is None:
            raise SettingInvalid(f'"{self.name}": nobody knows how long its vectors are; say dims=, e.g. dims=768')
        for setting, value in (("dims", length), ("most_texts", most_texts), ("most_characters", most_characters)):
            if value < 1:
                raise SettingInvalid(f'"{self.name}" was given {setting}={value}; it needs 1 or more')
        self.dims = length
        self._shortened = usual is not None and length != usual
        if self._shortened:
            self.name += f"@{length}"
        self._embeddings = embeddings
        self._gate = gate
        self._model = model
        self._most_texts = most_texts
        self._most_characters = most_characters
        self._priority: Priority = priority

    async def embed(self, texts: Sequence[str]) -> Sequence[bytes]:
        """One vector for each text, in order, asked for in as few requests as the limits allow, one after another.

        Raises:
            ProviderError: the last attempt at a request failed. `ProviderRefused` with status 400 or 413 may be the
                fault of one text.
            GateTimeout: the gate let nobody through.
            SettingInvalid: the model's vectors have another length than `dims`.
        """
        vectors: list[bytes] = []
        for batch in self._batches(texts):
            request = EmbeddingRequest(self._model, batch, self.dims, self._shortened)
            knock = Knock(tokens=self._tokens(batch), model=self._model, priority=self._priority, idempotent=True)
            vectors += (await self._gate.call(partial(self._attempt, request), knock)).vectors
        return vectors

    async def aclose(self) -> None:
        """There is nothing to let go of."""

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[str, ...]]:
        """The texts, cut where one more would be too much."""
        start = characters = 0
        for place, text in enumerate(texts):
            characters += len(text)
            if place > start and (place - start == self._most_texts or characters > self._most_characters):
                yield tuple(texts[start:place])
                start, characters = place, len(text)
        if start < len(texts):
            yield tuple(texts[start:])

    def _tokens(self, texts: Sequence[str]) -> int:
        """What to reserve. Counting takes longer than sending, so it is done only where it matters."""
        return sum(count(text, self._model) for text in texts) if self._gate.counts_tokens(self._model) else 0

    async def _attempt(self, request: EmbeddingRequest, grant: Grant) -> EmbeddingReply:
        reply = await self._embeddings.embed(request)
        grant.report(
            status=reply.status,
            request_id=reply.request_id,
            first_byte=reply.first_byte,
            input_tokens=reply.tokens,
            output_tokens=0,
        )
        return reply
