"""The reads of one run that are in flight: begun early, and shared.

Theory: a call that only reads may begin as soon as its arguments are there, while the model still writes. It is
speculation: it writes no fact, and what goes wrong in it is kept as its outcome. Once the reply is a fact its calls
adopt the reads that they match by tool and arguments, in whatever attempt those began, and what no call matches is
cancelled. Two calls of one reply that read the same share one execution in the same way. The tasks live in a group of
the run and outlive the model call; what a read tells before it is adopted is told then, under the id of its call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextvars import copy_context
from typing import Any

from msgspec.structs import replace

from agentrt.events import CallAttempted, GateWaited, Passing, Retrying, ToolProgress
from agentrt.messages import ToolCall
from agentrt.toolbox.define import Tool
from agentrt.toolbox.outcome import ToolOutcome
from agentrt.toolbox.results import renamed

Key = tuple[str, str]
"""A tool's name, and its arguments in canonical form."""

OfCall = ToolProgress | GateWaited | CallAttempted | Retrying
"""What may be told of a call while it runs."""

Tell = Callable[[Passing], None]
Execute = Callable[[Tool[Any], ToolCall, Tell], Awaitable[ToolOutcome]]


class _Read:
    """One execution, and the calls it is for."""

    def __init__(self, call_id: str) -> None:
        self.call_id = call_id
        self.task: asyncio.Task[ToolOutcome | Exception]
        self.adopters: dict[str, Tell] = {}
        self.told: list[Passing] = []

    def tell(self, event: Passing) -> None:
        self.told.append(event)
        for call_id, tell in self.adopters.items():
            tell(_under(call_id, event))

    def adopt(self, call_id: str, tell: Tell) -> None:
        self.adopters[call_id] = tell
        for event in self.told:
            tell(_under(call_id, event))


class Reads:
    """What is being read. `execute` makes one call and writes no fact; `group` outlives every move of the run."""

    def __init__(self, group: asyncio.TaskGroup, execute: Execute) -> None:
        self._group = group
        self._execute = execute
        self._context = copy_context()  # not that of a model call: its place at a gate is not the read's
        self._reads: dict[Key, _Read] = {}

    def __len__(self) -> int:
        return len(self._reads)

    def begin(self, key: Key, tool: Tool[Any], call: ToolCall) -> None:
        """Read, if nobody does yet."""
        if key not in self._reads:
            read = self._reads[key] = _Read(call.id)
            work, name = self._outcome(tool, call, read.tell), f"{call.name} {call.id}"
            read.task = self._group.create_task(work, name=name, context=self._context.copy())

    def __contains__(self, key: Key) -> bool:
        return key in self._reads

    async def outcome(self, key: Key, call: ToolCall, tell: Tell) -> ToolOutcome:
        """What came of the read that has begun under this key. It is cancelled with the last who waits for it."""
        read = self._reads[key]
        read.adopt(call.id, tell)
        try:
            outcome = await asyncio.shield(read.task)
        finally:
            del read.adopters[call.id]
            if not read.adopters and not read.task.done():
                self._reads.pop(key, None)  # who comes later reads anew
                read.task.cancel()
        if isinstance(outcome, Exception):
            raise outcome
        if outcome.rest is None or read.call_id == call.id:
            return outcome
        return replace(outcome, content=renamed(outcome.content, read.call_id, call.id))

    def keep(self, keys: Collection[Key]) -> None:
        """Let go of all others: nobody asked for them in the end."""
        for key in self._reads.keys() - set(keys):
            self._reads.pop(key).task.cancel()

    async def _outcome(self, tool: Tool[Any], call: ToolCall, tell: Tell) -> ToolOutcome | Exception:
        try:
            return await self._execute(tool, call, tell)
        except Exception as error:  # noqa: BLE001 - it concerns who adopts it, and nobody may
            return error


def _under(call_id: str, event: Passing) -> Passing:
    return replace(event, call_id=call_id) if isinstance(event, OfCall) else event
