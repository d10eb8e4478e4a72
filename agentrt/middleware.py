"""What users may put around a turn of the model and around a call of a tool.

A middleware is an async function. It sees a frozen record of what is about to be done, and `proceed`, which does it:
it may proceed with another record, more than once, or not at all, and what it returns counts. `runs/around.py` runs it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias

from typing_extensions import TypeVar

from agentrt.messages import ToolCall
from agentrt.model.model import ModelReply, ModelRequest
from agentrt.toolbox.context import Context
from agentrt.toolbox.outcome import ToolOutcome

D = TypeVar("D", default=object)

ProceedModel: TypeAlias = Callable[[ModelRequest], Coroutine[Any, Any, ModelReply]]
"""Asks the model, with all attempts and fallbacks."""

ProceedTool: TypeAlias = Callable[[ToolCall], Coroutine[Any, Any, ToolOutcome]]
"""Executes the call: its arguments are read again, its id and name cannot be changed."""

AroundModel: TypeAlias = Callable[[ModelRequest, ProceedModel], Awaitable[ModelReply]]
AroundTool: TypeAlias = Callable[[ToolCall, Context[D], ProceedTool], Awaitable[str | ToolOutcome]]
