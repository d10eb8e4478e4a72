"""Agents with tools of every kind, and the book in which the tools write down what they did to the world.

The book outlives the processes; a `Till` is one process's way to it, and the `deps` of its runs. What a process that
has died still does is not written down: it did not happen.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from agentrt import Agent, Context, run, tool
from agentrt.errors import ProviderThrottled, ProviderUnavailable, ProviderUnreachable, ToolError
from agentrt.events import ToolReturned, ToolStarted
from tests.simulation.invariants import Deed
from tests.simulation.journal import Desk


class Book:
    """What was done, by all processes. `asked` counts how often the service behind `crm` was asked, by key."""

    def __init__(self) -> None:
        self.deeds: list[Deed] = []
        self.asked: Counter[str] = Counter()


class Till:
    """One process's way to the book; it sees what the process's journal had acknowledged when a tool began."""

    def __init__(self, book: Book, desk: Desk) -> None:
        self.book = book
        self._desk = desk

    def note(self, ctx: Context[Till], name: str) -> None:
        if self._desk.dead:
            return
        facts = self._desk.disk.acknowledged.get(ctx.run_id, [])
        epoch = facts[-1].epoch if facts else 0
        mine = [fact for fact in facts if isinstance(fact, ToolStarted | ToolReturned) and fact.call_id == ctx.call_id]
        intended = any(isinstance(fact, ToolStarted) and fact.epoch == epoch for fact in mine)
        settled = any(isinstance(fact, ToolReturned) for fact in mine)
        self.book.deeds.append(Deed(name, ctx.run_id, ctx.call_id, ctx.idempotency_key, intended, settled))


async def _work(ctx: Context[Till], name: str, seconds: float) -> str:
    ctx.deps.note(ctx, name)
    await asyncio.sleep(seconds)
    return f"{name} took {seconds} s"


@tool(effect="read")
async def look(ctx: Context[Till], seconds: float = 0.0) -> str:
    """Read something."""
    return await _work(ctx, "look", seconds)


@tool(idempotent=True)
async def post(ctx: Context[Till], seconds: float = 0.0) -> str:
    """Write something that is written once."""
    return await _work(ctx, "post", seconds)


@tool
async def pay(ctx: Context[Till], seconds: float = 0.0) -> str:
    """Write something."""
    return await _work(ctx, "pay", seconds)


@tool(effect="egress")
async def send(ctx: Context[Till], seconds: float = 0.0) -> str:
    """Send something out."""
    return await _work(ctx, "send", seconds)


@tool(timeout=1.0)
async def slow(ctx: Context[Till], seconds: float = 0.0) -> str:
    """Write something, and maybe not in time."""
    return await _work(ctx, "slow", seconds)


@tool(rate=(2, 1.0))
async def paced(ctx: Context[Till], seconds: float = 0.0) -> str:
    """Write something, at its own pace."""
    return await _work(ctx, "paced", seconds)


@tool
def plain(ctx: Context[Till], times: int = 0) -> str:
    """Write something in a thread."""
    ctx.deps.note(ctx, "plain")
    for n in range(times):
        ctx.emit_soon({"n": n})
    return "plain"


@tool(effect="read")
async def tell(ctx: Context[Till], times: int = 3, seconds: float = 0.0) -> str:
    """Read something, and say how it goes."""
    ctx.deps.note(ctx, "tell")
    for n in range(times):
        await ctx.emit({"n": n})
        await asyncio.sleep(seconds)
    return "told"


@tool
async def stubborn(ctx: Context[Till], seconds: float = 1.0) -> str:
    """Write something, and hear nothing meanwhile."""
    ctx.deps.note(ctx, "stubborn")
    until = asyncio.get_running_loop().time() + seconds
    while (left := until - asyncio.get_running_loop().time()) > 1e-6:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue
    return "done in spite of all"


@tool
async def careful(ctx: Context[Till], seconds: float = 1.0) -> str:
    """Write something, and tidy up for half a second when stopped."""
    try:
        return await _work(ctx, "careful", seconds)
    finally:
        await asyncio.sleep(0.5)


@tool
async def fail(ctx: Context[Till], how: str = "value") -> str:
    """Fail."""
    ctx.deps.note(ctx, "fail")
    await asyncio.sleep(0)
    match how:
        case "tool":
            raise ToolError("no such article", code="no_article")
        case "exit":
            raise SystemExit(3)
        case "cancel":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(0)
        case "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(1.0))
                group.create_task(_raise(ValueError("one of two")))
        case "other":
            raise asyncio.CancelledError
        case _:
            raise ValueError(how)
    return "came back"


async def _raise(error: Exception) -> None:
    raise error


_REFUSALS: dict[str, Callable[[], Exception]] = {
    "throttled": lambda: ProviderThrottled("slow down", status=429, retry_after=1.0),
    "unsent": lambda: ProviderUnreachable("no connection", sent=False),
    "ill": lambda: ProviderUnavailable("ill", status=503),
}


async def _crm(ctx: Context[Till], name: str, fails: list[str], seconds: float) -> str:
    """The service fails so often, in these ways, before it does what it is asked. If it is ill it may have done it."""
    book, attempt = ctx.deps.book, ctx.deps.book.asked[ctx.idempotency_key]
    book.asked[ctx.idempotency_key] += 1
    how = fails[attempt] if attempt < len(fails) else "done"
    if how in ("done", "ill"):
        ctx.deps.note(ctx, name)
    await asyncio.sleep(seconds)
    if how != "done":
        raise _REFUSALS[how]()
    return "filed"


@tool(provider="crm")
async def crm(ctx: Context[Till], fails: list[str], seconds: float = 0.0) -> str:
    """Write something through a gate."""
    return await _crm(ctx, "crm", fails, seconds)


@tool(provider="crm", effect="read")
async def find(ctx: Context[Till], fails: list[str], seconds: float = 0.0) -> str:
    """Read something through a gate."""
    return await _crm(ctx, "find", fails, seconds)


@tool(concurrency=1)
async def lined(ctx: Context[Till], seconds: float = 0.0) -> str:
    """Write something, one after the other."""
    return await _work(ctx, "lined", seconds)


@tool(effect="read", retries=2)
async def again(ctx: Context[Till], fails: int = 0) -> str:
    """Read something that fails so often."""
    ctx.deps.note(ctx, "again")
    ctx.deps.book.asked[ctx.idempotency_key] += 1
    await asyncio.sleep(0)
    if ctx.deps.book.asked[ctx.idempotency_key] <= fails:
        raise ValueError("not yet")
    return "at last"


@tool(effect="read", cache=60.0)
async def known(sku: str) -> str:
    """Read something that stays as it is."""
    await asyncio.sleep(0.01)
    return sku


@tool(idle_timeout=0.4)
async def quiet(ctx: Context[Till], seconds: float = 0.0, beats: bool = True) -> str:
    """Write something, and say now and then that it goes on."""
    ctx.deps.note(ctx, "quiet")
    for _ in range(3):
        await asyncio.sleep(seconds / 3)
        if beats:
            ctx.heartbeat()
    return "quiet"


@tool(effect="read")
async def count(upto: int = 2) -> AsyncIterator[int]:
    """Read one thing after the other; the last is the result."""
    for n in range(upto):
        yield n
        await asyncio.sleep(0.01)


@tool(needs_approval=True)
async def sign(ctx: Context[Till], seconds: float = 0.0) -> str:
    """Write something that a person has to approve of."""
    return await _work(ctx, "sign", seconds)


@tool(run_in="client")
def pick(question: str) -> str:
    """Ask the person."""
    return question


SIMPLE = (look, post, pay)
HAND: Agent[Till] = Agent(name="hand", model="model:m", tools=SIMPLE)


async def _delegated(ctx: Context[Till], name: str, again: bool) -> str:
    ctx.deps.note(ctx, name)
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(run(HAND, "hand", deps=ctx.deps)) for _ in range(2 if again else 1)]
    return " ".join(one.result().output for one in asked)


@tool(effect="read")
async def delegate(ctx: Context[Till], twice: bool = False) -> str:
    """Let another agent do it, or two."""
    return await _delegated(ctx, "delegate", twice)


@tool(provider="model")
async def within(ctx: Context[Till]) -> str:
    """Let another agent do it, while holding a place at the gate that it has to pass."""
    return await _delegated(ctx, "within", False)


TOOLS: tuple[Any, ...] = (
    *SIMPLE, send, slow, paced, plain, tell, stubborn, careful, fail, crm, find, delegate, within,
    lined, again, known, quiet, count, sign, pick,
)  # fmt: skip
CLERK: Agent[Till] = Agent(name="clerk", model="model:m", instructions="Work.", tools=TOOLS)
DOUBLED: Agent[Till] = Agent(name="doubled", model="model:m", fallbacks=("backup:b",), tools=TOOLS)
AGENTS = {agent.name: agent for agent in (CLERK, DOUBLED, HAND)}

REPEATABLE = frozenset(one.name for one in TOOLS if one.repeatable)
READS = frozenset(one.name for one in TOOLS if one.effect == "read")
STRAGGLERS = frozenset({"stubborn"})
"""Tools that may be named as such; all others stop when they are told to."""
