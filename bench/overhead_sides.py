"""The sides that `bench.overhead` compares: the same task by the references and by agentrt, in one process."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import openai

from agentrt import Agent, Limits, Provider, Runtime, Tool, stream, tool
from bench.reference import openai_sdk

QUESTION = "How many are left?"

NEEDS = {
    "openai SDK": (),
    "httpx": ("httpx", "orjson"),
    "httpx2": ("orjson",),
    "aiohttp": ("aiohttp", "orjson"),
    "agentrt": (),
    "agentrt fast": ("aiohttp",),
    "agentrt, SQLite": (),
    "agentrt fast, SQLite": ("aiohttp",),
}
"""The sides by name, and the packages each needs."""

Job = Callable[[str], Awaitable[object]]
"""The whole task once, with the model of this name."""


def available(names: Collection[str] = tuple(NEEDS)) -> list[str]:
    """Those of the sides that have their packages."""
    return [name for name in names if all(find_spec(package) for package in NEEDS[name])]


@asynccontextmanager
async def side(name: str, base_url: str, pause: float = 0.0) -> AsyncGenerator[Job, None]:
    """One side, its client open; its tool waits for `pause` seconds."""
    async with AsyncExitStack() as stack:
        if name.startswith("agentrt"):
            yield await stack.enter_async_context(_ours(name, base_url, pause))
        elif name == "openai SDK":
            sdk = openai.AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0)
            client = await stack.enter_async_context(sdk)
            yield lambda model: openai_sdk.run(client, model, QUESTION, _plain(pause))
        else:
            reference = import_module(f"bench.reference.{name}_by_hand")
            client = await stack.enter_async_context(reference.client())
            yield lambda model: reference.run(client, base_url, model, QUESTION, _plain(pause))


@asynccontextmanager
async def sides(names: Collection[str], base_url: str) -> AsyncGenerator[dict[str, Job], None]:
    """Several sides at once, to be measured in turn."""
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(side(name, base_url)) for name in names}


@asynccontextmanager
async def _ours(name: str, base_url: str, pause: float) -> AsyncGenerator[Job, None]:
    limits = Limits(concurrency=10_000)
    provider = Provider(name="bench", base_url=base_url, fast="fast" in name, limits=limits)
    counted = _counted(pause)
    with tempfile.TemporaryDirectory() as folder:
        journal = f"sqlite:{Path(folder) / 'runs.db'}" if "SQLite" in name else "memory"
        async with Runtime(providers=[provider], journal=journal) as runtime:

            async def once(model: str) -> object:
                agent = Agent(name="bench", model=f"bench:{model}", instructions="Be brief.", tools=[counted])
                async with stream(agent, QUESTION, runtime=runtime) as running:
                    async for _event in running:
                        pass
                    return await running.answer()

            yield once


def _counted(pause: float) -> Tool[Any]:
    work = _plain(pause)

    @tool(name="tool")
    async def counted(n: int) -> str:
        """A tool."""
        return await work(n)

    return counted


def _plain(pause: float) -> Callable[[int], Awaitable[str]]:
    async def counted(n: int) -> str:
        if pause:
            await asyncio.sleep(pause)
        return f"{n}"

    return counted
