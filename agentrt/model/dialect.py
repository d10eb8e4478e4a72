"""What one kind of API is spoken like: requests to bytes, bytes to replies. Pure, and there are few of them.

How an endpoint differs from others that speak the same dialect is data (`agentrt/profiles.py`), no dialect of its own.
"""

from __future__ import annotations

from typing import Protocol

from agentrt.model.assemble import Assembled, Assembler
from agentrt.model.encode import KeptMessages, encode_request
from agentrt.model.model import ModelRequest, Piece
from agentrt.profiles import OPENAI, Profile


class Assembling(Protocol):
    """One reply: `feed` bytes until there are no more, then `finish`; indifferent to where the bytes are cut.

    Both raise a `ProviderError` for a reply that failed; the assembler is of no use after that.

    Attributes:
        heard: Grows with everything that counts as a sign of life; comments do not.
        done: The reply said that nothing follows.
    """

    heard: int
    done: bool

    @property
    def finished(self) -> bool:
        """Whether the reply has said that it is over; usage may still come."""
        ...

    def feed(self, data: bytes) -> list[Piece]:
        """What these bytes add to the reply, in order."""
        ...

    def finish(self) -> Assembled:
        """No more bytes will come: the reply, if it is one."""
        ...


class Dialect(Protocol):
    """One kind of API.

    Attributes:
        path: Where requests go, behind the service's address.
    """

    @property
    def path(self) -> str: ...

    def encode(self, request: ModelRequest) -> bytes:
        """The body of a request; of a streamed one, where the endpoint streams."""
        ...

    def assembler(self) -> Assembling:
        """For the reply to one request."""
        ...


class ChatCompletions:
    """OpenAI's Chat Completions, which nearly everybody understands."""

    path = "/chat/completions"

    def __init__(self, profile: Profile = OPENAI) -> None:
        self._profile = profile
        self._kept = KeptMessages(profile)

    def encode(self, request: ModelRequest) -> bytes:
        return encode_request(request, self._profile, self._kept)

    def assembler(self) -> Assembling:
        return Assembler()
