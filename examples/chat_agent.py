"""A chat in the terminal with an agent that looks into a warehouse.

    OPENAI_API_KEY=... python examples/chat_agent.py

The thread remembers; Ctrl-D leaves. Any OpenAI-compatible service does: set OPENAI_BASE_URL.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

from agentrt import Agent, Context, RunFailed, Runtime, ToolError, stream, tool
from agentrt.events import GateWaited, TextDelta, ToolReturned, ToolStarted
from agentrt.offloop import aside

Warehouse = dict[str, int]


@tool(timeout=5, effect="read")
async def stock(ctx: Context[Warehouse], sku: str) -> int:
    """Units of an article in the warehouse.

    Args:
        sku: Article number as printed on the shelf, e.g. "A-1207".
    """
    await asyncio.sleep(0.1)  # a database would take its time, too
    return ctx.deps[sku]


@tool(timeout=5, effect="write")
async def reserve(ctx: Context[Warehouse], sku: str, units: int) -> str:
    """Put units of an article aside for the customer."""
    if ctx.deps[sku] < units:
        raise ToolError(f"only {ctx.deps[sku]} of {sku} are left")
    ctx.deps[sku] -= units
    return f"{units} of {sku} reserved, {ctx.deps[sku]} left"


clerk = Agent[Warehouse](
    name="clerk",
    model="openai:gpt-5-mini",
    instructions="You are the clerk of a warehouse. Answer from the warehouse only, and be brief.",
    tools=[stock, reserve],
)


async def answer(question: str, warehouse: Warehouse) -> None:
    """Ask, and print what happens as it happens."""
    async with stream(clerk, question, deps=warehouse, thread="chat", deadline=120) as running:
        async for event in running:
            match event:
                case TextDelta(text=text):
                    print(text, end="", flush=True)
                case ToolStarted(name=name, arguments=arguments):
                    print(f"  [{name} {arguments}]")
                case ToolReturned(name=name, status=status, seconds=seconds):
                    print(f"  [{name}: {status}, {seconds * 1e3:.0f} ms]")
                case GateWaited(reason=reason, waited=0.0):
                    print(f"  [waiting for {reason}]")
                case _:
                    pass
        try:
            usage = (await running.answer()).usage
            print(f"\n  [{usage.input_tokens} tokens in, {usage.output_tokens} out]")
        except RunFailed as failed:
            print(f"\n  [no answer: {failed}]")


async def main() -> None:
    """Questions from standard input, until it ends."""
    warehouse = {"A-1207": 3, "B-33": 0}
    async with Runtime():
        while question := (await aside(sys.stdin.readline)).strip():
            await answer(question, warehouse)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
