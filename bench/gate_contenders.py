"""Who knocks at the provider: agentrt's gate, and what one reaches for without it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from random import Random

import httpx2
from openai import AsyncOpenAI

from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock
from agentrt.gate.leases import Leases
from agentrt.messages import UserMessage
from agentrt.model.model import Began, ModelRequest, Told
from agentrt.model.openai import OpenAIModel
from bench.gate_world import MEAN, RATE, Asks, By, limits
from bench.reference.aiolimiter_readme import Limiter
from bench.reference.openai_retries import Retries
from bench.reference.semaphore import Semaphore

AT_ONCE = 20

Transport = httpx2.AsyncBaseTransport | None
Contender = Callable[[str, Transport, By, float], AbstractAsyncContextManager[Asks]]
"""Makes a client for the provider at that address, which keeps to its share of the limits; a transport of one's own
stands for the network."""


class Gated:
    """agentrt's own client behind its gate, as runs have it."""

    def __init__(self, model: OpenAIModel, gate: Gate) -> None:
        self._model = model
        self._gate = gate

    async def ask(self, tokens: int) -> str:
        """One call that may use so many tokens."""
        request = ModelRequest("bench", (UserMessage("Go on."),), max_output_tokens=tokens)

        async def work(grant: Grant) -> str:
            def tell(told: Told) -> None:
                if isinstance(told, Began):
                    grant.report(status=told.status, headers=told.headers)

            reply = await self._model.reply(request, tell)
            if reply.usage is not None:
                grant.report(input_tokens=reply.usage.input_tokens, output_tokens=reply.usage.output_tokens)
            return reply.message.content

        return await self._gate.call(work, Knock(output=tokens, model="bench"))


@asynccontextmanager
async def gated(base_url: str, transport: Transport, by: By, share: float) -> AsyncGenerator[Asks]:
    """agentrt."""
    model = OpenAIModel("bench", base_url=base_url, api_key="none", transport=transport)
    try:
        yield Gated(model, Gate("bench", limits(by, share), random=Random(1)))
    finally:
        await model.aclose()


@asynccontextmanager
async def leased(leases: Leases, base_url: str, transport: Transport, by: By, share: float) -> AsyncGenerator[Asks]:  # noqa: ARG001
    """agentrt, which shares the whole limits with all others that have these leases."""
    model = OpenAIModel("bench", base_url=base_url, api_key="none", transport=transport)
    gate = Gate("bench", limits(by), random=Random(1), leases=leases)
    try:
        async with asyncio.TaskGroup() as group:
            tending = group.create_task(gate.tend())
            yield Gated(model, gate)
            tending.cancel()
    finally:
        await model.aclose()


@asynccontextmanager
async def _package(base_url: str, transport: Transport) -> AsyncGenerator[AsyncOpenAI]:
    http = None if transport is None else httpx2.AsyncClient(transport=transport)
    async with AsyncOpenAI(api_key="none", base_url=base_url, http_client=http) as client:
        if transport is not None:  # it would ask a thread for the platform's name, which no virtual clock can wait for
            client._platform = "Unknown"
        yield client


@asynccontextmanager
async def retries(base_url: str, transport: Transport, by: By, share: float) -> AsyncGenerator[Asks]:  # noqa: ARG001
    """The openai package alone."""
    async with _package(base_url, transport) as client:
        yield Retries(client)


@asynccontextmanager
async def semaphore(base_url: str, transport: Transport, by: By, share: float) -> AsyncGenerator[Asks]:  # noqa: ARG001
    """Twenty at once."""
    async with _package(base_url, transport) as client:
        yield Semaphore(client, round(AT_ONCE * share))


@asynccontextmanager
async def limiter(base_url: str, transport: Transport, by: By, share: float) -> AsyncGenerator[Asks]:
    """So many a second."""
    async with _package(base_url, transport) as client:
        rate = RATE * share
        if by == "requests":
            yield Limiter(client, requests=rate, tokens=None, per=1)
        else:
            yield Limiter(client, requests=None, tokens=rate * MEAN, per=1)


CONTENDERS: dict[str, Contender] = {
    "openai's own retries": retries,
    f"Semaphore({AT_ONCE})": semaphore,
    f"AsyncLimiter({RATE:.0f}, 1)": limiter,
    "agentrt": gated,
}
"""By the name they have in the table."""

LEASED = "agentrt with leases"
"""Has its row where there is more than one process."""


def contender(name: str, leases: Leases) -> Contender:
    """By its name; who shares limits does so by these leases."""
    return partial(leased, leases) if name == LEASED else CONTENDERS[name]
