"""Calls of earlier turns as providers take them back.

What the model wrote stays in our history, beside the error that it got; but a provider refuses every request of a
conversation that repeats a call with arguments that are no object, or with a name that no tool can have.
"""

from __future__ import annotations

import re

import msgspec

from agentrt.messages import ToolCall
from agentrt.model.arguments import is_object

_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST = 64
_NAMELESS = "unnamed"


def replayed(call: ToolCall) -> ToolCall:
    """The call, or one like it that may be sent."""
    arguments = call.arguments if is_object(call.arguments) else "{}"
    name = _FOREIGN.sub("_", call.name)[:_LONGEST] or _NAMELESS
    if name == call.name and arguments is call.arguments:
        return call
    return msgspec.structs.replace(call, name=name, arguments=arguments)
