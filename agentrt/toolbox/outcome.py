"""What came of a call of a tool, in words for the model.

An outcome is made with the whole text, kept so while a call may be repeated or its result remembered, and cut last:
`shown` is what leaves the room.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from math import inf
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from agentrt.errors import ProviderError, ToolError
from agentrt.events import ToolStatus
from agentrt.surrogates import mended_text
from agentrt.toolbox.define import Tool
from agentrt.toolbox.results import KEPT, fit

logger = logging.getLogger(__name__)

Work = asyncio.Future[str | BaseException]
"""A call's work: the text for the model, or the exception that user code raised."""

UNEXPECTED = frozenset({"tool_failed", "tool_timeout", "tool_cancelled_itself"})
"""Codes of failures that the tool did not mean: no `ToolError`, and no provider's."""


class ToolOutcome(msgspec.Struct, frozen=True):
    """What came of a call. `content` is for the model, whatever the status; `code` is None for "ok".

    `error` is the provider's error that the tool raised, for the provider's gate; `alone`: by itself, and not out of
    a group of tasks, of which others may have done their part. `rest` is the whole text, up to `KEPT` bytes, where
    `content` was cut. `seconds` is how long the last attempt took.
    """

    status: ToolStatus
    content: str
    code: str | None = None
    seconds: float = 0.0
    error: ProviderError | None = None
    alone: bool = True
    rest: str | None = None


def unknown_tool(name: str, known: Iterable[str]) -> ToolOutcome:
    """The outcome of a call to a tool that does not exist."""
    text = f'there is no tool "{name}"; the tools are: {", ".join(known) or "none"}'
    return ToolOutcome("error", mended_text(text), "tool_unknown")


def shown(outcome: ToolOutcome, limit: int, call_id: str = "") -> ToolOutcome:
    """The outcome with its text cut to `limit` bytes; `call_id` where the model can read on, by `read_result`."""
    cut = fit(outcome.content, limit, call_id)
    if cut == outcome.content:
        return outcome
    return replace(outcome, content=cut, rest=fit(outcome.content, KEPT))


def settled(work: Work, seconds: float) -> ToolOutcome:
    """The outcome of work that ended in time."""
    came_of = asyncio.CancelledError() if work.cancelled() else work.exception() or work.result()
    match came_of:
        case str():
            return ToolOutcome("ok", mended_text(came_of), None, seconds)
        case asyncio.CancelledError():
            text = "the tool was cancelled by its own code, not by the run"
            return ToolOutcome("error", text, "tool_cancelled_itself", seconds)
        case _:
            outcome = failed(came_of, seconds)
            if outcome.error is None and not isinstance(came_of, ToolError):
                logger.warning("a tool failed", exc_info=came_of)
            return outcome


def failed(error: BaseException, seconds: float) -> ToolOutcome:
    """Our own errors speak for themselves; of any other exception the model reads class and text."""
    leaves = tuple(_leaves(error))
    only = leaves[0] if len(leaves) == 1 else None
    code = only.code if isinstance(only, ToolError | ProviderError) else "tool_failed"
    of_provider = _honest(only) if isinstance(only, ProviderError) else None
    text = mended_text("; ".join(map(_told, leaves)))
    return ToolOutcome("error", text, code, seconds, of_provider, alone=of_provider is None or of_provider is error)


def overran(tool: Tool[Any], work: Work, by: str, seconds: float) -> ToolOutcome:
    """The outcome of work that was told to stop because of what `by` says: "was not done in 5 s"."""
    if not work.done() and tool.run_in == "thread":
        how = "runs in a thread, which cannot be stopped, and has not stopped: it may still take effect"
    elif not work.done():
        how = "was told to stop, and has not stopped: it may still take effect"
    elif not work.cancelled():
        how = "ended too late: it may have taken effect"
    elif tool.run_in == "thread":
        how = "was not begun, because all threads were busy"
    else:
        how = "was stopped"
    return ToolOutcome("timeout", f'"{tool.name}" {by} and {how}', "tool_timeout", seconds)


def _honest(error: ProviderError) -> ProviderError:
    """The provider's error; a pause that is none is left out."""
    asked: Any = error.retry_after  # as the user's code has it
    if not (isinstance(asked, int | float) and 0 <= asked < inf):
        error.retry_after = None
    return error


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions that a TaskGroup wrapped up."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _told(error: BaseException) -> str:
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a user's __str__
        return kind
    if isinstance(error, ToolError | ProviderError) and text:
        return text
    return f"{kind}: {text}" if text else kind
