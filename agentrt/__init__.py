"""agentrt: an async runtime for LLM agents that call tools.

The names below are all there is to know to begin with; `docs/architecture.md` says what lies behind.
They are loaded at first use, so that `import agentrt` costs nothing.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentrt.agent import Agent, Budget
    from agentrt.configuration.config import Configuration
    from agentrt.errors import (
        AgentrtError,
        GuardrailTripped,
        OutputInvalid,
        ProviderError,
        ProviderExhausted,
        ProviderRefused,
        ProviderThrottled,
        ProviderUnavailable,
        ProviderUnreachable,
        RunFailed,
        ToolError,
        Tripped,
    )
    from agentrt.gate.limits import Limits
    from agentrt.gate.redis_leases import RedisLeases
    from agentrt.guardrails import guardrail
    from agentrt.ingesting import ingest
    from agentrt.messages import Answer, ImagePart, TextPart, UserMessage
    from agentrt.model.answers import raise_for_provider
    from agentrt.prices import Price
    from agentrt.providers import Provider
    from agentrt.runs.decisions import Approved, Denied, Returned
    from agentrt.runtime import Runtime
    from agentrt.server.listen import serve
    from agentrt.subagents import as_tool
    from agentrt.toolbox.context import Context
    from agentrt.toolbox.define import Tool, tool
    from agentrt.trace import correlation
    from agentrt.verbs import run, stream
    from agentrt.windows import ContextWindow

logging.getLogger("agentrt").addHandler(logging.NullHandler())  # whoever wants our log says so

__version__ = "0.1.0"

__all__ = [
    "Agent",
    "AgentrtError",
    "Answer",
    "Approved",
    "Budget",
    "Configuration",
    "Context",
    "ContextWindow",
    "Denied",
    "GuardrailTripped",
    "ImagePart",
    "Limits",
    "OutputInvalid",
    "Price",
    "Provider",
    "ProviderError",
    "ProviderExhausted",
    "ProviderRefused",
    "ProviderThrottled",
    "ProviderUnavailable",
    "ProviderUnreachable",
    "RedisLeases",
    "Returned",
    "RunFailed",
    "Runtime",
    "TextPart",
    "Tool",
    "ToolError",
    "Tripped",
    "UserMessage",
    "as_tool",
    "correlation",
    "guardrail",
    "ingest",
    "raise_for_provider",
    "run",
    "serve",
    "stream",
    "tool",
]

_HOME = {
    "Agent": "agentrt.agent",
    "AgentrtError": "agentrt.errors",
    "Answer": "agentrt.messages",
    "Approved": "agentrt.runs.decisions",
    "Budget": "agentrt.agent",
    "Configuration": "agentrt.configuration.config",
    "Context": "agentrt.toolbox.context",
    "ContextWindow": "agentrt.windows",
    "Denied": "agentrt.runs.decisions",
    "GuardrailTripped": "agentrt.errors",
    "ImagePart": "agentrt.messages",
    "Limits": "agentrt.gate.limits",
    "OutputInvalid": "agentrt.errors",
    "Price": "agentrt.prices",
    "Provider": "agentrt.providers",
    "ProviderError": "agentrt.errors",
    "ProviderExhausted": "agentrt.errors",
    "ProviderRefused": "agentrt.errors",
    "ProviderThrottled": "agentrt.errors",
    "ProviderUnavailable": "agentrt.errors",
    "ProviderUnreachable": "agentrt.errors",
    "RedisLeases": "agentrt.gate.redis_leases",
    "Returned": "agentrt.runs.decisions",
    "RunFailed": "agentrt.errors",
    "Runtime": "agentrt.runtime",
    "TextPart": "agentrt.messages",
    "Tool": "agentrt.toolbox.define",
    "ToolError": "agentrt.errors",
    "Tripped": "agentrt.errors",
    "UserMessage": "agentrt.messages",
    "as_tool": "agentrt.subagents",
    "correlation": "agentrt.trace",
    "guardrail": "agentrt.guardrails",
    "ingest": "agentrt.ingesting",
    "raise_for_provider": "agentrt.model.answers",
    "run": "agentrt.verbs",
    "serve": "agentrt.server.listen",
    "stream": "agentrt.verbs",
    "tool": "agentrt.toolbox.define",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'agentrt' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
