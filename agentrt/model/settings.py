"""What a service is asked with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agentrt.model.dialect import ChatCompletions, Dialect
from agentrt.profiles import OPENAI, Profile

if TYPE_CHECKING:
    import httpx2


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `OpenAIModel` was given."""

    name: str
    base_url: str | None
    api_key: str = field(repr=False)
    transport: httpx2.AsyncBaseTransport | None
    connect_timeout: float
    first_byte_timeout: float
    idle_timeout: float
    wall: Callable[[], float]
    dialect: Dialect = field(default_factory=ChatCompletions)
    profile: Profile = OPENAI
    fast: bool = False
