"""What a language model is to us: one request in, pieces as they arrive, one reply out.

A `Model` makes exactly one attempt. Retries, limits and deadlines belong to the gate, which this room
does not know; `runs/ask.py` brings the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from agentrt.messages import AssistantMessage, FinishReason, Message, ToolSpec, Usage


class ModelRequest(msgspec.Struct, frozen=True):
    """One turn to ask for. `model` is the provider's own name, without the `provider:` part.

    `schema` is the JSON schema that the text of the answer must follow, None for free text. `options` are further
    fields of the provider's own, sent as they are.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    max_output_tokens: int | None = None
    temperature: float | None = None
    schema: msgspec.Raw | None = None
    options: Mapping[str, Any] | None = None


class TextPiece(msgspec.Struct, frozen=True):
    """Text of the answer."""

    text: str


class ReasoningPiece(msgspec.Struct, frozen=True):
    """Text of the model's reasoning."""

    text: str


class ArgumentsPiece(msgspec.Struct, frozen=True):
    """Part of one call's arguments; the first piece of a call may have empty text."""

    call_id: str
    name: str
    text: str


class Began(msgspec.Struct, frozen=True):
    """An answer began; nothing of it is shown yet. `headers` are those that speak of limits, by lower-case name."""

    status: int
    request_id: str | None
    headers: Mapping[str, str]


Piece = TextPiece | ReasoningPiece | ArgumentsPiece
Told = Piece | Began
Tell = Callable[[Told], None]


class ModelReply(msgspec.Struct, frozen=True):
    """A finished turn. Call ids are unique in it and not empty.

    `usage` is None where the provider sent none. `first_byte` is seconds from sending the request
    to the first byte of the body, `received` the bytes of the body.
    """

    message: AssistantMessage
    finish: FinishReason
    usage: Usage | None
    model: str = ""
    request_id: str | None = None
    status: int | None = None
    first_byte: float | None = None
    received: int | None = None


class Model(Protocol):
    """One provider's models.

    Raises:
        ProviderError: a subclass says what failed and whether asking again may help.
    """

    async def open(self) -> None:
        """Load what the first reply would otherwise wait for, with its place at the gate taken already.

        To be called before every reply; only the first call takes time.
        """
        ...

    async def reply(self, request: ModelRequest, tell: Tell) -> ModelReply:
        """Ask once. `tell` is called, without awaiting, for every piece as it arrives.

        Cancelling closes the connection before this returns.
        """
        ...

    async def aclose(self) -> None:
        """Give back what is held (connections). Calling it twice is allowed."""
        ...
