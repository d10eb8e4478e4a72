"""What a failure means to the pipeline: whether to try again, how long to wait, whose fault it is. Pure."""

from __future__ import annotations

from random import Random

from agentrt.errors import AgentrtError, ConfigurationError, EgressFailed, IndexFailed, ProviderError, ProviderExhausted
from agentrt.pipeline.document import DocumentFailed

_BASE = 0.25
_LONGEST = 20.0
_ABOUT_THE_REQUEST = frozenset({400, 413, 422})
"""Statuses by which a service refuses what is in a request; by the other 4xx it refuses who asks, or for what."""
UNWANTED = frozenset({"empty", "unsupported", "too_large"})
"""Classes of documents that are as they should be, and nothing for an index."""


def is_transient(error: Exception) -> bool:
    """Whether the same may go well in a moment."""
    if isinstance(error, DocumentFailed):
        return error.transient
    if isinstance(error, ProviderError):
        return error.retry != "never"
    return isinstance(error, EgressFailed | ConnectionError | TimeoutError)


def pause(error: Exception, retries: int, random: Random) -> float:
    """Seconds until the next attempt, after `retries` that were made again: full jitter, and never before we may."""
    asked = error.retry_after if isinstance(error, DocumentFailed | ProviderError) else None
    return (asked or 0.0) + random.uniform(0.0, min(_LONGEST, _BASE * 2.0**retries))


def is_fatal(error: Exception) -> bool:
    """Whether every other document would meet it, too, so that it is no document's fault."""
    if isinstance(error, ProviderError):
        refused = error.retry == "never" and error.status is not None and error.status not in _ABOUT_THE_REQUEST
        return isinstance(error, ProviderExhausted) or refused
    return isinstance(error, ConfigurationError | IndexFailed)


def is_about_the_content(error: Exception) -> bool:
    """Whether half of the batch may go well where the whole did not."""
    return not is_transient(error) and not is_fatal(error)


def counts_in_a_row(error: Exception) -> bool:
    """Whether many of these, one after another, mean that something else is wrong than the documents."""
    return not (isinstance(error, DocumentFailed) and error.kind in UNWANTED)


def class_of(error: Exception) -> str:
    """One word for the class of the error, which stays the same."""
    if isinstance(error, DocumentFailed):
        return error.kind
    return error.code if isinstance(error, AgentrtError) else type(error).__name__


def in_words(error: Exception) -> str:
    """Our own errors are sentences; of others the text alone may say nothing ("0")."""
    return str(error) if isinstance(error, AgentrtError) else f"{type(error).__name__}: {error}"
