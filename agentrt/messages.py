"""What is said: the conversation in no provider's dialect.

Frozen structs, tagged by `role`, so that they are stored and sent as plain JSON and read back only
as themselves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, Literal

import msgspec
from typing_extensions import TypeVar

O_co = TypeVar("O_co", covariant=True, default=str)

FinishReason = Literal["stop", "tool_calls", "length", "content_filter", "refusal", "cancelled"]
"""Why the model stopped. `cancelled` is ours: the text so far was shown and nothing more will come."""


class ToolCall(msgspec.Struct, frozen=True, gc=False):
    """The model's wish to call a tool.

    `id` is unique in its conversation. `arguments` is JSON text as the model wrote it, which may be
    invalid: it is read once, by the toolbox, and a bad text becomes an answer to the model.
    """

    id: str
    name: str
    arguments: str = "{}"


class SystemMessage(msgspec.Struct, frozen=True, tag_field="role", tag="system"):
    """Instructions by the operator. Never made from what a tool or a user said."""

    content: str


class TextPart(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Text between images."""

    text: str


class ImagePart(msgspec.Struct, frozen=True, tag_field="type", tag="image", omit_defaults=True):
    """An image: its bytes, or an address that the provider fetches.

    `media_type` is needed with bytes, e.g. "image/png". `detail` is how closely the model looks, where the provider
    lets one say ("low", "high").
    """

    data: bytes | None = None
    media_type: str | None = None
    url: str | None = None
    detail: str | None = None


Part = TextPart | ImagePart


class UserMessage(msgspec.Struct, frozen=True, tag_field="role", tag="user"):
    """What the person said: text, or text and images in the order in which they are meant."""

    content: str | tuple[Part, ...]

    @property
    def text(self) -> str:
        """The text alone, its parts joined by line feeds."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))


class AssistantMessage(msgspec.Struct, frozen=True, tag_field="role", tag="assistant", omit_defaults=True):
    """What the model said, and the calls it asked for.

    `extra` holds fields of the provider's reply that agentrt does not know but the provider wants
    back (reasoning text, signatures): JSON text of one object. `provider` names the one; no other gets it.
    """

    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    extra: str | None = None
    provider: str | None = None


class ToolMessage(msgspec.Struct, frozen=True, gc=False, tag_field="role", tag="tool"):
    """The result of one call, in the text that the model reads."""

    call_id: str
    name: str
    content: str


Message = SystemMessage | UserMessage | AssistantMessage | ToolMessage


def text_of(message: Message) -> str:
    """What is said in it, without images and calls."""
    return message.text if isinstance(message, UserMessage) else message.content


def call_ids(messages: Iterable[Message]) -> set[str]:
    """The ids of all calls in these messages."""
    return {call.id for message in messages if isinstance(message, AssistantMessage) for call in message.tool_calls}


class Usage(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Tokens spent. `cached` is the part of `input_tokens` the provider served from its cache.

    `estimated` says that at least one share was counted by us because the provider sent no figure. `usd` is what it
    cost, in US dollars, as far as prices are known.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    requests: int = 0
    estimated: bool = False
    usd: float = 0.0

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.requests + other.requests,
            self.estimated or other.estimated,
            self.usd + other.usd,
        )


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool as the model sees it. `parameters` is the JSON schema of its arguments, encoded once."""

    name: str
    description: str
    parameters: msgspec.Raw


class Answer(msgspec.Struct, Generic[O_co], frozen=True):
    """What a run came to. `output` is the answer's text, or the value that it says where the agent has an `output=`.

    `messages` is the whole conversation, the thread's history included, and always a valid one: every
    call in it has a result. `usage` is this run's. `finish` is why the model stopped: "length" says that it
    ran into its output limit, so that `output` ends in the middle; None if it was never asked. `waiting` are the calls
    that wait for a person: the run rests until they are decided, and then goes on; see `Runtime.resume`.
    """

    output: O_co
    messages: tuple[Message, ...]
    usage: Usage
    run_id: str
    finish: FinishReason | None = None
    waiting: tuple[ToolCall, ...] = ()
