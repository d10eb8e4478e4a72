"""What agentrt costs over the loop one writes by hand: `python -m bench.overhead`.

CPU of this process, user and system, for one run of five turns with a tool each and an answer; the
provider is a process of its own. Both sides run in turn within one measurement, so that the ratio
holds on a machine whose speed drifts. Then ten real tools of 100 ms in one turn, and the import.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable

import openai

from agentrt import Agent, Provider, Runtime, run, tool
from bench.provider import provider
from bench.reference import openai_sdk

QUESTION = "How many are left?"


@tool(name="tool")
async def counted(n: int) -> str:
    """A tool."""
    return f"{n}"


@tool(name="tool")
async def slow(n: int) -> str:
    """A tool that waits."""
    await asyncio.sleep(0.1)
    return f"{n}"


async def plain(n: int) -> str:
    """The same tool for the reference."""
    return f"{n}"


def agent(model: str, a_tool: object = counted) -> Agent[None]:
    """The agent that does what the reference does."""
    return Agent(name="bench", model=f"bench:{model}", instructions="Be brief.", tools=[a_tool])  # type: ignore[list-item]


async def cpu(job: Callable[[], Awaitable[object]], times: int) -> float:
    """Seconds of CPU one job takes, the mean of `times`."""
    before = time.process_time()
    for _ in range(times):
        await job()
    return (time.process_time() - before) / times


async def overhead(base_url: str, rounds: int, times: int) -> None:
    """Interleaved: the SDK loop, agentrt, the SDK loop, ..."""
    model = "turns-5-tokens-20"
    clerk = agent(model)
    async with openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0) as client:
        async with Runtime(providers=[Provider(name="bench", base_url=base_url)]):

            async def ours() -> object:
                return await run(clerk, QUESTION)

            async def theirs() -> object:
                return await openai_sdk.run(client, model, QUESTION, plain)

            await cpu(ours, 5)
            await cpu(theirs, 5)
            pairs = [(await cpu(ours, times), await cpu(theirs, times)) for _ in range(rounds)]
    ratio = statistics.median(a / b for a, b in pairs)
    a, b = (statistics.median(side) * 1e3 for side in zip(*pairs, strict=True))
    print(f"run of 5 turns x 1 tool: agentrt {a:.2f} ms CPU, openai SDK loop {b:.2f} ms; ratio {ratio:.3f}")


async def fan_out(base_url: str, rounds: int) -> None:
    """Ten calls of 100 ms in one turn."""
    clerk = agent("calls-10-turns-1", slow)
    async with Runtime(providers=[Provider(name="bench", base_url=base_url)]):
        await run(clerk, QUESTION)
        walls: list[float] = []
        for _ in range(rounds):
            before = time.perf_counter()
            await run(clerk, QUESTION)
            walls.append(time.perf_counter() - before)
    low, middle, high = min(walls) * 1e3, statistics.median(walls) * 1e3, max(walls) * 1e3
    print(f"10 tools of 100 ms in one turn, {rounds} runs: wall min {low:.0f}, median {middle:.0f}, max {high:.0f} ms")


def importing(rounds: int) -> None:
    """CPU of the front door's import, modules compiled before as they are from the second start on."""
    code = (
        "import time; t = time.process_time(); from agentrt import Agent, tool, run; import sys; "
        "print(time.process_time() - t, 'openai' in sys.modules, 'websockets' in sys.modules)"
    )
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [sys.executable, "-c", code]
        outputs = [subprocess.check_output(command, env=environ, text=True).split() for _ in range(rounds + 1)]
    middle = statistics.median(float(seconds) for seconds, *_ in outputs[1:]) * 1e3
    loaded = f"openai loaded: {outputs[0][1]}, websockets: {outputs[0][2]}"
    print(f"from agentrt import Agent, tool, run: {middle:.0f} ms CPU; {loaded}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--times", type=int, default=10, help="runs of each side in a round")
    arguments = parser.parse_args()
    with provider() as (base_url, _log):
        asyncio.run(overhead(base_url, arguments.rounds, arguments.times))
        asyncio.run(fan_out(base_url, arguments.rounds))
    importing(arguments.rounds)


if __name__ == "__main__":
    main()
