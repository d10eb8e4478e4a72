"""What the measurements of the gate share: a provider that limits, clients that knock, and how it went.

The provider allows 50 requests a second with a burst of 10, or 10,000 tokens a second with a burst of
2,000, where a call takes 100 to 300 tokens: the same load either way, and 500 calls take 9.8 s at best.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random
from typing import Literal, Protocol

import msgspec
import openai

from agentrt import Limits
from agentrt.errors import AgentrtError
from agentrt.local.chat import Completion, write_stream, write_whole
from agentrt.local.handler import Request, Response, whole
from agentrt.messages import AssistantMessage
from agentrt.testing import Limited, Window

By = Literal["requests", "tokens"]

RATE, BURST = 50.0, 10.0
MEAN = 200
LATENCY = 0.1
"""Seconds until the provider answers."""


class Asks(Protocol):
    """A client with its way of minding the limits."""

    async def ask(self, tokens: int) -> object:
        """One call."""
        ...


class Calls(msgspec.Struct, frozen=True):
    """What is asked for: when, in seconds from the start, and for how many tokens."""

    wanted: tuple[tuple[float, int], ...]

    def share(self, n: int, of: int) -> Calls:
        """What the `n`-th of so many processes asks for."""
        return Calls(self.wanted[n::of])

    def ideal(self, by: By) -> float:
        """Seconds that it takes at best."""
        whole = len(self.wanted) if by == "requests" else sum(tokens for _, tokens in self.wanted) / MEAN
        return max(self.wanted[-1][0], (whole - BURST) / RATE)


def calls(count: int, *, within: float = 0.0) -> Calls:
    """So many calls, evenly over so many seconds; their tokens are always the same ones."""
    random = Random(4)
    return Calls(tuple((n * within / count, random.randint(MEAN // 2, MEAN * 3 // 2)) for n in range(count)))


def limits(by: By, share: float = 1.0) -> Limits:
    """What a client is told of the provider's limits, or its share of them."""
    each = {"requests": RATE * share} if by == "requests" else {"tokens": RATE * MEAN * share}
    return Limits(per=1.0, burst=BURST / RATE, concurrency=1000, **each)


def provider(by: By) -> Limited:
    """The provider. It names no Retry-After: told to come back in some milliseconds, as is true for each of them alone,
    the callers with two retries of their own come back together, and most of them fail.
    """
    size = 1 if by == "requests" else MEAN
    return Limited(_answer, Window(RATE * size * 60, of=by, burst=BURST * size), pause="none")


class _Asked(msgspec.Struct):
    model: str
    max_completion_tokens: int
    stream: bool = False


async def _answer(request: Request) -> Response:
    asked = msgspec.json.decode(request.body, type=_Asked)
    await asyncio.sleep(LATENCY)
    completion = Completion(
        id="bench",
        created=0,
        model=asked.model,
        reply=AssistantMessage("So it goes."),
        prompt_tokens=0,
        completion_tokens=asked.max_completion_tokens,
    )
    if not asked.stream:
        return whole(200, write_whole(completion), "application/json")
    return Response(200, {"content-type": "text/event-stream"}, _events(completion))


async def _events(completion: Completion) -> AsyncIterator[bytes]:
    for event in write_stream(completion, include_usage=True):
        yield event


class Outcome(msgspec.Struct, frozen=True):
    """How it went: when it began, on the loop's clock; seconds until the last call had ended; calls that failed."""

    began: float
    seconds: float
    failed: int


async def drive(client: Asks, calls: Calls) -> Outcome:
    """Ask for everything when it is wanted, and wait for it."""
    loop = asyncio.get_running_loop()
    began, failed = loop.time(), 0

    async def one(tokens: int) -> None:
        nonlocal failed
        try:
            await client.ask(tokens)
        except (openai.OpenAIError, AgentrtError):
            failed += 1

    async with asyncio.TaskGroup() as group:
        for at, tokens in calls.wanted:
            if (left := began + at - loop.time()) > 0:
                await asyncio.sleep(left)
            group.create_task(one(tokens))
    return Outcome(began, loop.time() - began, failed)
