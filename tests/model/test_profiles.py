"""What a profile changes in a request, from a provider's name to the wire."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from random import Random
from typing import Any

import httpx2
import pytest

from agentrt.errors import SettingInvalid
from agentrt.messages import UserMessage
from agentrt.model.embeddings import EmbeddingRequest, OpenAIEmbeddings
from agentrt.model.model import ModelRequest
from agentrt.model.responses.encode import encode_responses_request
from agentrt.profiles import PROFILES, Profile
from agentrt.providers import Provider
from agentrt.services import Services
from tests.model.response_events import message, reply, response, streamed

ASKED = ModelRequest("m", (UserMessage("hi"),), max_output_tokens=5)
WHOLE = b'{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}'
THEIRS = b'{"type":"message","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn"}'
VECTOR = b'{"data":[{"index":0,"embedding":[1.0,0.0]}],"usage":{"prompt_tokens":1}}'


class Wire(httpx2.AsyncBaseTransport):
    """Answers everything alike and keeps the last request."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.address = ""
        self.headers: dict[str, str] = {}
        self.asked: Any = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.address, self.headers = str(request.url), {name.lower(): value for name, value in request.headers.items()}
        self.asked = json.loads(request.content)
        return httpx2.Response(200, content=self.body)


def asked(body: bytes, *, embed: bool = False, **settings: Any) -> Wire:
    """What goes over the wire when a provider with these settings is asked."""

    async def main() -> None:
        provider = Provider(transport=wire, **{"name": "x", "api_key": "hush-hush", **settings})
        model = Services((provider,), {}, Random(1), lambda: 0.0).of(f"{provider.name}:m").model
        if embed:
            await OpenAIEmbeddings(model).embed(EmbeddingRequest("m", ("hi",), 2))
        else:
            assert (await model.reply(ASKED, lambda told: None)).message.content == "Hello"
        await model.aclose()

    wire = Wire(body)
    asyncio.run(main())
    return wire


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_provider_is_asked_as_its_profile_says(name: str) -> None:
    profile = PROFILES[name]
    settings: dict[str, Any] = {} if profile.base_url else {"base_url": "https://r.example/openai/v1"}
    path, bound, body = {
        "chat": ("/chat/completions", profile.max_tokens, WHOLE),
        "responses": ("/responses", "max_output_tokens", streamed(*reply(message("Hello")))),
        "messages": ("/messages", "max_tokens", THEIRS),
    }[profile.api]
    wire = asked(body, name=name, **settings)
    assert wire.address == (profile.base_url or settings["base_url"]) + path
    assert wire.asked[bound] == 5
    assert ("stream_options" in wire.asked) is (profile.api == "chat" and profile.usage_in_stream)
    assert wire.headers[profile.key_header.lower()].endswith("hush-hush")
    assert profile.headers.items() <= wire.headers.items()


@pytest.mark.parametrize("embed", [False, True])
def test_a_key_goes_in_the_header_that_the_profile_names_and_in_no_other(embed: bool) -> None:
    body = VECTOR if embed else WHOLE
    wire = asked(body, embed=embed, name="azure", base_url="https://r.example/openai/v1")
    assert wire.headers["api-key"] == "hush-hush"
    assert "authorization" not in wire.headers
    wire = asked(body, embed=embed, name="groq")
    assert wire.headers["authorization"] == "Bearer hush-hush"
    assert "hush-hush" not in {value for name, value in wire.headers.items() if name != "authorization"}


@pytest.mark.parametrize("embed", [False, True])
def test_a_query_and_headers_go_with_every_request(embed: bool) -> None:
    profile = Profile(query={"api-version": "2024-10-21"}, headers={"X-Title": "agentrt"})
    wire = asked(VECTOR if embed else WHOLE, embed=embed, base_url="https://r.example/v1", profile=profile)
    assert wire.address.endswith("?api-version=2024-10-21")
    assert wire.headers["x-title"] == "agentrt"


@pytest.mark.parametrize("embed", [False, True])
def test_what_the_environment_says_of_openai_is_told_to_openai_alone(
    embed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "")
    body = VECTOR if embed else WHOLE
    assert asked(body, embed=embed, name="openai").headers["openai-organization"] == "org-1"
    assert "openai-project" not in asked(body, embed=embed, name="openai").headers
    for settings in ({"name": "openai", "base_url": "https://proxy.example/v1"}, {"name": "groq"}):
        assert "openai-organization" not in asked(body, embed=embed, **settings).headers


@pytest.mark.parametrize(
    ("profile", "body"),
    [
        ("openai", WHOLE),
        ("anthropic", THEIRS),
        ("openai-responses", json.dumps(response(message("Hello"))).encode()),
    ],
)
def test_a_provider_that_cannot_stream_is_asked_for_the_whole(profile: str, body: bytes) -> None:
    wire = asked(body, profile=replace(PROFILES[profile], stream=False))
    assert wire.asked["stream"] is False
    assert wire.headers["accept"] == "application/json"
    assert asked(WHOLE).headers["accept"] == "text/event-stream"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"api": "soap"}, 'expected "chat" or "responses" or "messages"'),
        ({"tools": "xml"}, 'expected "native" or "json_schema"'),
        ({"max_tokens": "limit"}, 'expected "max_completion_tokens" or "max_tokens"'),
        ({"base_url": "nowhere"}, r'Profile\(base_url="nowhere"\): expected an address'),
        ({"key_header": "api key"}, "expected the name of a header, came 'api key'"),
        ({"env_headers": {"": "X"}}, "expected the name of a header, came ''"),
        ({"headers": {"X-Version": "1\n2"}}, "ASCII characters on one line"),
        ({"headers": {"X-Version": "für"}}, "ASCII characters on one line"),
        ({"windows": {"tokens": 0}}, "expected more than 0 seconds"),
        ({"windows": {"tokens": float("nan")}}, "expected more than 0 seconds"),
        ({"given_back": "reasoning"}, "expected several texts, came one"),
        ({"with_calls": "reasoning"}, "expected several texts, came one"),
        ({"encrypted_reasoning": "gpt*"}, "expected several texts, came one"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingInvalid, match=says):
        Profile(**settings)


def test_headers_may_be_secrets_and_are_not_shown() -> None:
    assert "hush" not in repr(Provider(name="x", base_url="http://x/v1", profile=Profile(headers={"X-Key": "hush"})))
    with pytest.raises(SettingInvalid) as refused:
        Profile(headers={"X-Key": "hush\n"})
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("model", "reasons"),
    [
        ("o3", True),
        ("o4-mini", True),
        ("gpt-4.1", False),
        ("gpt-5", True),
        ("gpt-5-2025-08-07", True),
        ("gpt-5-mini", True),
        ("gpt-5-codex", True),
        ("gpt-5.2", True),
        ("gpt-5.2-codex", True),
        ("codex-mini-latest", True),
        ("gpt-5-chat-latest", False),
    ],
)
def test_reasoning_is_asked_for_where_there_is_any(model: str, reasons: bool) -> None:
    body = json.loads(encode_responses_request(ModelRequest(model, ()), PROFILES["openai-responses"]))
    assert ("include" in body) is reasons
