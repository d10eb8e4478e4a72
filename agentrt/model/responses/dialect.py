"""OpenAI's Responses API as a dialect."""

from __future__ import annotations

from agentrt.model.dialect import Assembling
from agentrt.model.model import ModelRequest
from agentrt.model.responses.assemble import ResponsesAssembler
from agentrt.model.responses.encode import encode_responses_request
from agentrt.profiles import OPENAI, Profile


class Responses:
    """OpenAI's Responses, used without its memory: every request holds the whole conversation."""

    path = "/responses"

    def __init__(self, profile: Profile = OPENAI) -> None:
        self._profile = profile

    def encode(self, request: ModelRequest) -> bytes:
        return encode_responses_request(request, self._profile)

    def assembler(self) -> Assembling:
        return ResponsesAssembler()
