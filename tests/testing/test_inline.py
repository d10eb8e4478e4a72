from __future__ import annotations

from agentrt import Agent, Runtime, run, tool
from agentrt.messages import ToolMessage
from agentrt.testing import InlineThreads, ScriptedModel, call, reply, run_virtual


@tool
def half(n: int) -> float:
    """Half of a number that is not odd."""
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n / 2


def test_plain_functions_run_on_the_virtual_clock_and_may_fail() -> None:
    model = ScriptedModel([reply(calls=[call("half", n=4), call("half", n=3)]), reply("done")])

    async def main() -> list[str]:
        async with Runtime(providers=[model.provider("openai")], threads=InlineThreads()):
            answer = await run(Agent(name="a", model="openai:m", tools=[half]), "Halve.")
        return [message.content for message in answer.messages if isinstance(message, ToolMessage)]

    assert run_virtual(main()) == ["2.0", "ValueError: 3 is odd"]
