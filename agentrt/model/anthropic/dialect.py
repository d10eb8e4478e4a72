"""Anthropic's Messages API as a dialect. It needs no package: what is sent is a body and two headers."""

from __future__ import annotations

from agentrt.model.anthropic.assemble import MessagesAssembler
from agentrt.model.anthropic.encode import encode_messages_request
from agentrt.model.dialect import Assembling
from agentrt.model.model import ModelRequest
from agentrt.profiles import PROFILES, Profile


class AnthropicMessages:
    """See `Dialect`."""

    path = "/messages"

    def __init__(self, profile: Profile = PROFILES["anthropic"]) -> None:
        self._profile = profile

    def encode(self, request: ModelRequest) -> bytes:
        return encode_messages_request(request, self._profile)

    def assembler(self) -> Assembling:
        return MessagesAssembler()
