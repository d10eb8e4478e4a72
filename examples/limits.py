"""Limits at work, without a key and without a network: what the events of the runs tell.

    python examples/limits.py

Two customers share one provider, which allows 10 requests a second: six questions of the one do not hold up the one
question of the other. The tool asks a service with a limit of its own. Then the model's provider goes down, and the
agent's second model answers.
"""

from __future__ import annotations

import asyncio
from typing import Any

from agentrt import Agent, Limits, Provider, Runtime, tool
from agentrt.events import CallAttempted, FellBack, GateWaited, Retrying
from agentrt.testing import InMemoryTransport, Limited, ScriptedModel, Window, call, faults, reply

forecasts = Provider(name="forecasts", base_url="http://forecasts.invalid", limits=Limits(requests=5, per=1, burst=0))


@tool(effect="read", provider=forecasts)
async def weather(city: str) -> str:
    """The weather of a city."""
    return f"It rains in {city}."


def say(request: dict[str, Any]) -> Any:
    """What the models say: they ask the tool, then repeat what it said."""
    last = request["messages"][-1]
    return reply(last["content"]) if last["role"] == "tool" else reply(calls=[call("weather", city=last["content"])])


model, spare = ScriptedModel(say), ScriptedModel(say)
limited = Limited(model.faults, Window(10, per=1, burst=5), family="ietf")  # answers 429 to what is too much
main_provider = Provider(
    name="main",
    base_url="http://main.invalid/v1",
    transport=InMemoryTransport(limited),
    limits=Limits(requests=10, per=1, burst=0.5),
)
agent = Agent(name="weatherman", model="main:large", fallbacks=["spare:small"], tools=[weather])


async def ask(runtime: Runtime, customer: str, city: str) -> None:
    """One run on behalf of a customer, and a line for whatever concerns limits."""
    time = asyncio.get_running_loop().time
    began = time()
    run = runtime.start(agent, city, principal=customer)
    async for event in run.events():
        match event:
            case GateWaited(provider=provider, reason=reason, waited=waited, eta=0.0):
                said = f"waited {waited:.2f} s at {provider} for {reason}"
            case CallAttempted(provider=provider, attempt=attempt, error=str(error)):
                said = f"attempt {attempt} at {provider} failed: {error}"
            case Retrying(provider=provider, delay=delay):
                said = f"{provider} is asked again in {delay:.2f} s"
            case FellBack(model=name, instead_of=instead_of, error=error):
                said = f"{name} is asked in place of {instead_of}: {error}"
            case _:
                continue
        print(f"{time() - began:5.2f} s  {customer}, {city}: {said}")
    print(f"{time() - began:5.2f} s  {customer}, {city}: {(await run.answer()).output!r}")


async def main() -> None:
    """All is well, and then it is not."""
    async with Runtime(providers=[main_provider, spare.provider("spare")]) as runtime:
        async with asyncio.TaskGroup() as group:
            for city in ("Bonn", "Bern", "Linz", "Graz", "Basel", "Mainz"):
                group.create_task(ask(runtime, "acme", city))
            group.create_task(ask(runtime, "zoe", "Oslo"))
        print(f"refused by the provider: {len(limited.quota.refused)}")
        model.faults.afterwards(faults.status(503))
        await ask(runtime, "zoe", "Bergen")
        print({name: gate.granted for name, gate in runtime.statistics().items()})


if __name__ == "__main__":
    asyncio.run(main())
