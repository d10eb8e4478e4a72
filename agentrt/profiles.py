"""How endpoints differ that speak one dialect: data, so that none of them is a branch in the code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Api = Literal["chat", "responses", "messages"]
"""OpenAI's Chat Completions, which nearly everybody understands; OpenAI's Responses; Anthropic's Messages."""

ToolProtocol = Literal["native", "json_schema"]
"""How tools are offered: in the API's own way, or as a schema that the text of the reply must follow."""


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What is particular to an endpoint.

    Attributes:
        api: What it speaks.
        base_url: Its usual address; None where there is none.
        key_env: The environment variable in which its key usually stands; None where it needs no key.
        key_header: The header that carries the key; the default sends "Authorization: Bearer KEY".
        query: Goes behind every address, e.g. a version.
        max_tokens: The name by which it takes the bound of a reply's length.
        usage_in_stream: It may be asked to send usage at the end of a stream.
        tools: How it is offered tools.
        windows: Seconds to which its rate-limit headers refer, by what they limit ("requests", "tokens"); 60 where
            nothing is said.
    """

    api: Api = "chat"
    base_url: str | None = None
    key_env: str | None = None
    key_header: str = "Authorization"
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    max_tokens: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    usage_in_stream: bool = True
    tools: ToolProtocol = "native"
    windows: Mapping[str, float] = field(default_factory=dict[str, float])


PROFILES: Mapping[str, Profile] = {
    "openai": Profile(key_env="OPENAI_API_KEY"),
}
"""By the name that `Provider(profile=...)` gives, and that a provider of that name has by itself."""
