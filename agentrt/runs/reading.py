"""Reading on in a result that was cut: `read_result`, which nobody runs; it is answered from the facts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from agentrt.errors import JournalFailed, ToolError
from agentrt.events import AnyEvent, RunStarted, ToolReturned
from agentrt.messages import ToolCall
from agentrt.runs.carried import Carried
from agentrt.surrogates import mended_text
from agentrt.toolbox.outcome import ToolOutcome
from agentrt.toolbox.results import asked_for, excerpt

PIECE = 65_536
"""Bytes that one call of `read_result` gives."""


async def read_on(run: Carried, call: ToolCall) -> ToolOutcome:
    """A piece of the result that the call names, of this run or one before in its conversation."""
    try:
        asked = asked_for(call.arguments)
    except ToolError as error:
        return ToolOutcome("error", mended_text(str(error)), error.code)
    try:
        async for events in _conversation(run):
            for event in events:
                if isinstance(event, ToolReturned) and event.call_id == asked.call_id:
                    whole = event.content if event.rest is None else event.rest
                    return ToolOutcome("ok", excerpt(whole, asked.offset, PIECE, asked.call_id))
    except JournalFailed as error:
        return ToolOutcome("error", mended_text(f"the result cannot be read: {error}"), "result_unreadable")
    text = f'no call "{asked.call_id}" has a result in this conversation'
    return ToolOutcome("error", mended_text(text), "arguments_invalid")


async def _conversation(run: Carried) -> AsyncIterator[Sequence[AnyEvent]]:
    """The events of the run, then the facts of each before it."""
    events: Sequence[AnyEvent] = run.record.feed.events
    while events:
        yield events
        started = events[0]
        previous = started.previous if isinstance(started, RunStarted) else None
        events = await run.ports.journal.read(previous) if previous is not None else ()
