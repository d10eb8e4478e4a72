"""How endpoints differ that speak one dialect: data, so that none of them is a branch in the code.

Where a line is not plain from the endpoint's own documentation, its source stands beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args
from urllib.parse import urlsplit

from agentrt.errors import SettingInvalid

Api = Literal["chat", "responses", "messages"]
"""OpenAI's Chat Completions, which nearly everybody understands; OpenAI's Responses; Anthropic's Messages."""

Schemas = Literal["always", "without_tools", "never"]
"""When a provider holds its models to a schema; where it does not, they are told of it by their instructions."""

ToolProtocol = Literal["native", "json_schema"]
"""How tools are offered: in the API's own way, or as a schema that the text of the reply must follow."""

Bound = Literal["max_completion_tokens", "max_tokens"]

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""Of a header (RFC 9110, section 5.1)."""
_VALUE = re.compile(r"[!-~](?:[\t -~]*[!-~])?|")


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What is particular to an endpoint.

    Attributes:
        api: What it speaks.
        base_url: Its usual address; None where there is none.
        base_url_env: The environment variable that may name another address.
        key_env: The environment variable in which its key usually stands; None where it needs no key.
        key_header: The header that carries the key; the default sends "Authorization: Bearer KEY".
        headers: Go with every request, e.g. a version.
        env_headers: Headers that tell, at its usual address only, what stands in an environment variable, by name.
        query: Goes behind every address, e.g. a version.
        max_tokens: The name by which it takes the bound of a reply's length.
        stream: It streams replies; otherwise they come whole, and a reply must begin within `first_byte_timeout`.
        usage_in_stream: It may be asked to send usage at the end of a stream.
        given_back: Fields of its replies, beyond those that agentrt knows, that it takes in a conversation; None for
            all that it sends. "tool_calls" stands for such fields of the calls.
        with_calls: Fields without which it refuses a reply with calls in a conversation, be they empty.
        encrypted_reasoning: Models, by patterns as in "o[1-9]*", that must be asked to send their reasoning along,
            encrypted, so that they get it back; others would refuse to be asked (Responses).
        tools: How it is offered tools.
        schemas: When it holds a reply to a schema; otherwise the instructions describe the form.
        windows: Seconds to which its rate-limit headers refer, by what they limit ("requests", "tokens"); where
            nothing is said, the period of the provider's `Limits`.

    Raises:
        SettingInvalid: a word that is none of those, an address that is none, a header that cannot be sent.
    """

    api: Api = "chat"
    base_url: str | None = None
    base_url_env: str | None = None
    key_env: str | None = None
    key_header: str = "Authorization"
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    env_headers: Mapping[str, str] = field(default_factory=dict[str, str])
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    max_tokens: Bound = "max_completion_tokens"
    stream: bool = True
    usage_in_stream: bool = True
    given_back: frozenset[str] | None = None
    with_calls: tuple[str, ...] = ()
    encrypted_reasoning: tuple[str, ...] = ()
    tools: ToolProtocol = "native"
    schemas: Schemas = "always"
    windows: Mapping[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        self._check_words()
        self._check_headers()
        for name, seconds in self.windows.items():
            if not seconds > 0:
                raise SettingInvalid(f"Profile(windows={{{name!r}: {seconds}}}): expected more than 0 seconds")
        if self.base_url is not None:
            check_address(self.base_url, "Profile")

    def _check_words(self) -> None:
        for name, words in (("api", Api), ("max_tokens", Bound), ("tools", ToolProtocol), ("schemas", Schemas)):
            if (said := getattr(self, name)) not in get_args(words):
                expected = " or ".join(f'"{word}"' for word in get_args(words))
                raise SettingInvalid(f"Profile({name}={said!r}): expected {expected}")
        for name in ("given_back", "with_calls", "encrypted_reasoning"):
            if isinstance(said := getattr(self, name), str):
                raise SettingInvalid(f"Profile({name}={said!r}): expected several texts, came one")

    def _check_headers(self) -> None:
        for name in (self.key_header, *self.headers, *self.env_headers):
            if not _NAME.fullmatch(name):
                raise SettingInvalid(f"Profile: expected the name of a header, came {name!r}")
        for name, value in self.headers.items():
            if not is_sendable(value):  # it may be a secret, and is not shown
                raise SettingInvalid(f"Profile(headers={{{name!r}: ...}}): expected ASCII characters on one line")


def is_sendable(value: str) -> bool:
    """Whether a header may hold it."""
    return _VALUE.fullmatch(value) is not None


def check_address(text: str, of: str) -> None:
    """See that a service can be asked there.

    Raises:
        SettingInvalid: `text` is no address of HTTP, or has more to it than a place.
    """
    # These two are not shown, for they may be secrets.
    if "@" in text:
        raise SettingInvalid(f"{of}(base_url=...): expected an address without a name or password in it")
    if "?" in text or "#" in text:
        raise SettingInvalid(f"{of}(base_url=...): expected an address that ends with its path; see Profile.query")
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not re.fullmatch(r"[!-~]+", text):
        raise SettingInvalid(f'{of}(base_url="{text}"): expected an address, e.g. "http://127.0.0.1:8000/v1"')


_NOTHING: frozenset[str] = frozenset()
_REASONING = ("o[1-9]*", "gpt-[5-9]", "gpt-[5-9].*", "gpt-[5-9]-[!c]*", "gpt-[5-9]-codex*", "codex*")

OPENAI = Profile(
    base_url="https://api.openai.com/v1",
    base_url_env="OPENAI_BASE_URL",
    key_env="OPENAI_API_KEY",
    env_headers={"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"},
)

PROFILES: Mapping[str, Profile] = {
    # The next version, 2026-10-21, takes no temperature any more (platform.claude.com, versioning).
    "anthropic": Profile(
        api="messages",
        base_url="https://api.anthropic.com/v1",
        key_env="ANTHROPIC_API_KEY",
        key_header="x-api-key",
        headers={"anthropic-version": "2023-06-01"},
    ),
    "openai": OPENAI,
    # Models that do not reason refuse: "Encrypted content is not supported with this model" (software-agent-sdk#1208),
    # gpt-5-chat-latest among them (pydantic-ai#3326).
    "openai-responses": replace(OPENAI, api="responses", encrypted_reasoning=_REASONING),
    # The address is "https://RESOURCE.openai.azure.com/openai/v1"; dated versions are gone with that v1. Who still
    # needs one has a profile of one's own with query={"api-version": ...} (learn.microsoft.com, api-version-lifecycle).
    "azure": Profile(base_url_env="AZURE_OPENAI_BASE_URL", key_env="AZURE_OPENAI_API_KEY", key_header="api-key"),
    # Takes back what it sent of reasoning, and needs it beside calls even where it was empty (api-docs.deepseek.com,
    # thinking_mode; deepseek-harness discussions 739 and 1850).
    "deepseek": Profile(
        base_url="https://api.deepseek.com",
        key_env="DEEPSEEK_API_KEY",
        max_tokens="max_tokens",
        given_back=frozenset({"reasoning_content"}),
        with_calls=("reasoning_content",),
        schemas="never",  # json_schema is answered by 400 (llm-exe#662, inspect_ai#4916)
    ),
    "fireworks": Profile(
        base_url="https://api.fireworks.ai/inference/v1", key_env="FIREWORKS_API_KEY", max_tokens="max_tokens"
    ),
    # Signatures of thoughts come with calls and must go back with them (ai.google.dev, thought-signatures).
    "gemini": Profile(
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_env="GEMINI_API_KEY",
        max_tokens="max_tokens",
    ),
    # Refuses every field that it does not know (jan#8136, AstrBot#5946). Its requests are limited by the day, its
    # tokens by the minute (console.groq.com, rate-limits).
    "groq": Profile(
        base_url="https://api.groq.com/openai/v1",
        key_env="GROQ_API_KEY",
        given_back=_NOTHING,
        windows={"requests": 86_400.0},
    ),
    "llama.cpp": Profile(
        base_url="http://127.0.0.1:8080/v1", base_url_env="LLAMA_CPP_BASE_URL", max_tokens="max_tokens"
    ),
    "lmstudio": Profile(base_url="http://127.0.0.1:1234/v1", base_url_env="LMSTUDIO_BASE_URL", max_tokens="max_tokens"),
    # Refuses every field that it does not know, stream_options among them; usage comes unasked (crush#1590,
    # goose#7762, anon-kode#53).
    "mistral": Profile(
        base_url="https://api.mistral.ai/v1",
        key_env="MISTRAL_API_KEY",
        max_tokens="max_tokens",
        usage_in_stream=False,
        given_back=_NOTHING,
    ),
    # Takes no notice of max_completion_tokens (ollama#7125).
    "ollama": Profile(
        base_url="http://127.0.0.1:11434/v1",
        base_url_env="OLLAMA_BASE_URL",
        max_tokens="max_tokens",
        schemas="without_tools",  # with a schema it calls no tools (ollama#11185, ollama-python#546)
    ),
    # The blocks of reasoning go back as they came (openrouter.ai, reasoning-tokens).
    "openrouter": Profile(
        base_url="https://openrouter.ai/api/v1",
        key_env="OPENROUTER_API_KEY",
        max_tokens="max_tokens",
        given_back=frozenset({"reasoning", "reasoning_details"}),
    ),
    "together": Profile(base_url="https://api.together.ai/v1", key_env="TOGETHER_API_KEY", max_tokens="max_tokens"),
    "vllm": Profile(base_url="http://127.0.0.1:8000/v1", base_url_env="VLLM_BASE_URL", max_tokens="max_tokens"),
    # Its Chat Completions are deprecated and give no reasoning (docs.x.ai, comparison); all of its models let one ask
    # for it in the Responses (hermes-agent#23435).
    "xai": Profile(api="responses", base_url="https://api.x.ai/v1", key_env="XAI_API_KEY", encrypted_reasoning=("*",)),
}
"""By the name that `Provider(profile=...)` gives, and that a provider of that name has by itself."""
