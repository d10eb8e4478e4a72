"""An agent as a tool of another: a run inside of a run, which inherits deadline, budget and cancellation."""

from __future__ import annotations

from typing import Any, TypeVar

from agentrt.agent import Agent, Budget
from agentrt.errors import RunFailed, ToolError
from agentrt.events import TextDelta
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Effect, Tool, tool
from agentrt.verbs import stream

D = TypeVar("D")


def as_tool(
    agent: Agent[D],
    *,
    name: str | None = None,
    description: str | None = None,
    effect: Effect | None = None,
    budget: Budget | None = None,
    timeout: float = 600.0,
) -> Tool[D]:
    """A tool that asks the agent, with a conversation of its own, and gives what it answers.

    Its run goes on under the deadline, the budget, the principal and the priority of the run that calls it, and ends
    with it; what it spends is part of the call's result. Its text is shown as the tool's progress, as it comes. A call
    that waits for a person there cannot be decided from here: it is an error of the tool, and the inner run rests.

    Args:
        name: By default the agent's, in letters that tools may have.
        description: What it is good for; by default the agent's.
        effect: What calling it does to the world. "read" if all its tools read.
        budget: In place of the agent's own.
        timeout: Seconds for one answer.

    Raises:
        ToolInvalid: a name that is none.
    """

    async def ask(context: Context[D], question: str) -> Any:
        options: dict[str, Any] = {} if budget is None else {"budget": budget}
        async with stream(agent, question, deps=context.deps, metadata=context.metadata, **options) as running:
            async for event in running:
                if isinstance(event, TextDelta):
                    context.emit_soon({"text": event.text})
            try:
                answer = await running.answer()
            except RunFailed as failed:
                raise ToolError(f"{agent.name} has no answer: {failed}", code=failed.reason) from failed
        if answer.waiting:
            calls = ", ".join(call.name for call in answer.waiting)
            raise ToolError(
                f"{agent.name} waits for a person, about {calls}; its run is {answer.run_id}", code="waiting"
            )
        return answer.output

    ask.__doc__ = (
        f"{description or agent.description or f'Ask {agent.name}.'}\n\nArgs:\n    question: All it needs to know."
    )
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in agent.name)[:64]
    return tool(ask, name=name or safe, effect=effect, timeout=timeout)
