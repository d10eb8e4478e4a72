"""Calls whose arguments are there while the model still writes: reads among them begin at once.

Arguments are there when they are one whole JSON object: more text could only be white space, or a mistake, and then
no call of the reply will match. Only text that ends in a brace and has as many to close as to open is looked at, so
that long arguments are not read at every piece; braces inside of strings may delay a call, never begin it wrongly.
"""

from __future__ import annotations

from agentrt.messages import ToolCall
from agentrt.runs.carried import Carried
from agentrt.runs.execute import key_of

LONGEST = 65_536
"""Characters of arguments that are looked at; a call with more begins when the reply is there."""


class EarlyCalls:
    """One attempt at a reply, watched."""

    def __init__(self, run: Carried) -> None:
        self._run = run
        self._parts: dict[str, list[str]] = {}
        self._begun: set[str] = set()

    def piece(self, call_id: str, name: str, text: str) -> None:
        """A piece of a call's arguments came; the call may begin by it."""
        tool = self._run.role.registry.get(name)
        if tool is None or not tool.early:
            return
        parts = self._parts.setdefault(call_id, [])
        parts.append(text)
        if text.rstrip().endswith("}") and call_id not in self._begun:
            arguments = "".join(parts)
            whole = len(arguments) <= LONGEST and arguments.count("{") == arguments.count("}")
            call = ToolCall(call_id, name, arguments)
            if whole and self._allowed() and (key := key_of(self._run, call)) is not None:
                self._begun.add(call_id)
                self._run.reads.begin(key, tool, call)

    def forget(self) -> None:
        """The attempt failed. What has begun may yet match a call of the next one."""
        self._parts.clear()
        self._begun.clear()

    def _allowed(self) -> bool:
        """A run that is about to stop begins nothing, and none begins more calls than its budget has left."""
        state, budget = self._run.record.state, self._run.order.budget
        return state.stop is None and state.tool_calls + len(self._run.reads) < budget.tool_calls
