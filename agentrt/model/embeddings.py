"""Vectors for texts from an OpenAI-compatible service: one request in, one reply out, a single attempt.

Encoding and reading are ours, as they are for chat; the service's connections, addresses and errors are shared with
it. Vectors are asked for in base64, a quarter of the size of decimals; a service that knows only decimals is
understood, too.
"""

from __future__ import annotations

import asyncio
import sys
from array import array
from base64 import b64decode
from math import hypot, isfinite
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from agentrt.errors import ProviderError, ProviderUnreachable, ReplyIncomplete, SettingInvalid
from agentrt.model.failures import excerpt, in_band, request_id
from agentrt.surrogates import mended

if TYPE_CHECKING:
    from agentrt.model.connections import Connections
    from agentrt.model.openai import OpenAIModel

DIMS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
"""Numbers in a vector of the models that everybody knows."""

_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "Content-Type": "application/json"}
_UNIT = 1e-5
"""How far from 1 a length may be, as rounding to float32 leaves it."""


class EmbeddingRequest(msgspec.Struct, frozen=True):
    """Texts to embed. `model` is the provider's own name; `dims` is how many numbers a vector must have.

    `shortened` asks the model for vectors of that length, which is not its usual one.
    """

    model: str
    texts: tuple[str, ...]
    dims: int
    shortened: bool = False


class EmbeddingReply(msgspec.Struct, frozen=True):
    """One vector for each text, in order: float32, little-endian, of unit length.

    `tokens` is None where the provider sent no figure. `first_byte` is seconds from sending the request to the
    beginning of the reply.
    """

    vectors: tuple[bytes, ...]
    tokens: int | None = None
    request_id: str | None = None
    status: int | None = None
    first_byte: float | None = None


class Embeddings(Protocol):
    """One provider's embedding models."""

    async def embed(self, request: EmbeddingRequest) -> EmbeddingReply:
        """Ask once. Cancelling closes the connection before this returns.

        Raises:
            ProviderError: a subclass says what failed and whether asking again may help.
            SettingInvalid: the model's vectors have another length than `dims`.
        """
        ...


class OpenAIEmbeddings:
    """The embedding models of the service that `chat` asks, over the same connections, which stay `chat`'s to close."""

    def __init__(self, chat: OpenAIModel) -> None:
        self._chat = chat

    async def embed(self, request: EmbeddingRequest) -> EmbeddingReply:
        """Ask once; see `Embeddings`."""
        connections = self._chat._connections or await self._chat.connections()
        exchange = _Exchange(connections)
        try:
            body = await exchange.post(encode_embedding_request(request))
            vectors, tokens = read_embeddings(body, request)
        except ProviderError as error:
            connections.attribute(error, exchange.status, exchange.request_id)
            raise
        return EmbeddingReply(vectors, tokens, exchange.request_id, exchange.status, exchange.first_byte)


class _Exchange:
    """One request to a service, and what is known of the answer."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._settings = connections.settings
        self.status: int | None = None
        self.request_id: str | None = None
        self.first_byte: float | None = None

    async def post(self, body: bytes) -> bytes:
        """The body of the answer, if it is one of success."""
        import httpx2  # noqa: PLC0415 - slow; loaded by now, with the connections

        loop = asyncio.get_running_loop()
        began = loop.time()
        address, headers = self._connections.address("/embeddings"), _HEADERS | self._connections.signed()
        limit = asyncio.timeout(self._settings.first_byte_timeout)
        try:
            async with limit, self._connections.client.stream("POST", address, content=body, headers=headers) as answer:
                self.status, self.request_id = answer.status_code, request_id(answer.headers)
                self.first_byte = loop.time() - began
                limit.reschedule(loop.time() + self._settings.idle_timeout)
                came = await answer.aread()
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._silence() from None
        except httpx2.HTTPError as error:
            raise self._connections.broken(error, self.status) from error
        if not answer.is_success:
            raise self._connections.refused(answer)
        return came

    def _silence(self) -> ProviderError:
        name = self._settings.name
        if self.status is None:
            return ProviderUnreachable(f"{name}: no vectors came within {self._settings.first_byte_timeout:g} s")
        return ReplyIncomplete(f"{name}: the vectors did not end within {self._settings.idle_timeout:g} s")


# ---- what is sent ----------------------------------------------------------------------------------------


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    input: list[str]
    encoding_format: str
    dimensions: int | None = None


def encode_embedding_request(request: EmbeddingRequest) -> bytes:
    """The body of the request."""
    return msgspec.json.encode(
        _Body(request.model, mended(request.texts), "base64", request.dims if request.shortened else None)
    )


# ---- what comes back -------------------------------------------------------------------------------------


class _Vector(msgspec.Struct):
    embedding: str | list[float]
    index: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Reply(msgspec.Struct):
    data: list[_Vector] | None = None
    usage: _Usage | None = None
    error: Any = None


_REPLY = msgspec.json.Decoder(_Reply)


def read_embeddings(body: bytes, request: EmbeddingRequest) -> tuple[tuple[bytes, ...], int | None]:
    """The vectors in the order of the request's texts, and the tokens that they cost if the service says so.

    Raises:
        ProviderError: the body is no such reply, or an error.
        SettingInvalid: the vectors have another length than `dims`.
    """
    try:
        reply = _REPLY.decode(body)
    except (ValueError, RecursionError) as error:
        said = excerpt(body.decode("utf-8", "replace"))
        raise ReplyIncomplete(f"expected vectors in JSON, came {said!r} ({error})") from None
    if reply.error:
        raise in_band(reply.error)
    vectors = [_unit(one.embedding, request) for one in _in_order(reply.data or [], len(request.texts))]
    usage = reply.usage or _Usage()
    return tuple(vectors), usage.prompt_tokens if usage.total_tokens is None else usage.total_tokens


def _in_order(data: list[_Vector], count: int) -> list[_Vector]:
    """The vectors by their numbers; a service may leave these out, and may send them in any order."""
    placed = {place if one.index is None else one.index: one for place, one in enumerate(data)}
    if len(data) != count or placed.keys() != set(range(count)):
        raise ReplyIncomplete(f"expected {count} vectors, numbered from 0; came {len(data)}: {sorted(placed)!s:.80}")
    return [placed[place] for place in range(count)]


def _unit(embedding: str | list[float], request: EmbeddingRequest) -> bytes:
    vector = _numbers(embedding)
    length = hypot(*vector)
    if not (isfinite(length) and length > 0):
        raise ReplyIncomplete(f"expected a vector that points somewhere, came one of length {length}")
    if len(vector) != request.dims:
        raise SettingInvalid(
            f"{request.model} makes vectors of {len(vector)} numbers, expected {request.dims}: say dims={len(vector)}"
        )
    if abs(length - 1) > _UNIT:
        vector = array("f", [number / length for number in vector])
    return _little(vector).tobytes()


def _numbers(embedding: str | list[float]) -> array[float]:
    if isinstance(embedding, list):
        return array("f", embedding)
    try:
        return _little(array("f", b64decode(embedding, validate=True)))
    except ValueError as error:
        raise ReplyIncomplete(f"expected float32 numbers in base64, came {excerpt(embedding)!r} ({error})") from None


def _little(vector: array[float]) -> array[float]:
    """From this machine's order of bytes to little-endian, or back."""
    if sys.byteorder == "big":
        vector.byteswap()
    return vector
