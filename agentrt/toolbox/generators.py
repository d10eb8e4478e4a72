"""Async generators as tools: what is yielded is progress, and the last of it the result.

Which value is the last nobody knows when it comes, and progress must not wait for the next one. So a value is told
once the generator waits for something, or yields again; if it ends instead, the value was the last and is not told.
One that waits after its last value, to close a connection, has its result shown as progress too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from agentrt.errors import ToolError
from agentrt.toolbox.context import Tell
from agentrt.toolbox.lower import JSON, to_builtins


async def last_of(generator: AsyncGenerator[Any, Any], tell: Tell) -> JSON:
    """The last value, lowered; None if there is none. However it ends, the generator is closed, and awaited.

    Raises:
        ToolError: `result_invalid`: a value has no JSON form.
    """
    loop = asyncio.get_running_loop()
    untold: list[JSON] = []
    last: JSON = None

    def tell_now() -> None:
        while untold:
            tell(untold.pop())

    async with aclosing(generator):
        async for value in generator:
            if untold:
                # Now it is told. And one that only yields must not hold the loop, and can be cancelled here.
                await asyncio.sleep(0)
            last = _lowered(value)
            untold.append(last)
            loop.call_soon(tell_now)
        untold.clear()
    return last


def _lowered(value: Any) -> JSON:
    try:
        return to_builtins(value)
    except TypeError as error:
        raise ToolError(f"what the tool yielded cannot be shown: {error}", code="result_invalid") from error
