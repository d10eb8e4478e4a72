"""The dialects that are spoken: each asks at its path, by its profile, and reads what comes back."""

from __future__ import annotations

import json

import pytest

from agentrt.messages import UserMessage
from agentrt.model.dialect import Assembling, ChatCompletions, Dialect
from agentrt.model.model import ModelRequest
from agentrt.model.responses.dialect import Responses
from agentrt.profiles import Profile
from tests.model.response_events import message, reply, streamed

ASKED = ModelRequest("m", (UserMessage("hi"),), max_output_tokens=5)
HELLO = b'data: {"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize(
    ("dialect", "path", "bound", "body"),
    [
        (ChatCompletions(Profile(max_tokens="max_tokens")), "/chat/completions", "max_tokens", HELLO),
        (Responses(Profile(api="responses")), "/responses", "max_output_tokens", streamed(*reply(message("Hello")))),
    ],
)
def test_a_dialect_asks_at_its_path_and_reads_what_comes_back(
    dialect: Dialect, path: str, bound: str, body: bytes
) -> None:
    assert dialect.path == path
    assert json.loads(dialect.encode(ASKED))[bound] == 5
    assembler: Assembling = dialect.assembler()
    assert not assembler.finished
    assembler.feed(body)
    assert (assembler.done, assembler.finish().message.content) == (True, "Hello")
