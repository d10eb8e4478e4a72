"""What a type checker must say of the front door. Checked by mypy and pyright, never run.

Each line with `type: ignore` is a mistake that both must find: both complain of an ignore that hides nothing.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import assert_type

from agentrt import Agent, Answer, Budget, Context, Limits, Provider, Runtime, Tool, ingest, run, serve, stream, tool
from agentrt.errors import RunFailed
from agentrt.events import AnyEvent, RunEnded, RunStarted, TextDelta
from agentrt.messages import AssistantMessage, Message, ToolCall, UserMessage
from agentrt.pipeline.document import Reference
from agentrt.pipeline.report import Report, Snapshot
from agentrt.runs.owner import Run
from agentrt.verbs import Running


@dataclass
class Shop:
    shelf: dict[str, int]


class Till:
    pass


@tool
async def now() -> str:
    return "noon"


@tool
def add(left: int, right: int = 0) -> int:
    return left + right


@tool(timeout=5, effect="read")
async def stock(context: Context[Shop], sku: str) -> int:
    return context.deps.shelf[sku]


@tool
def sell(context: Context[Shop], sku: str, count: int = 1) -> None:
    context.deps.shelf[sku] -= count


@tool
async def slowly(context: Context, steps: int) -> str:
    await context.emit({"steps": steps})
    return "done"


@tool
async def cash(context: Context[Till]) -> float:
    return 0.0


@tool
async def maybe(context: Context[Shop | None]) -> bool:
    return context.deps is None


# ---- agents ----------------------------------------------------------------------------------------

bare = Agent(name="bare", model="openai:small")
free = Agent(name="free", model="openai:small", tools=[now, add, slowly])
one = Agent(name="one", model="openai:small", instructions="Be brief.", tools=[stock], budget=Budget(turns=3))
clerk: Agent[Shop] = Agent(name="clerk", model="openai:small", tools=[stock, sell])
mixed: Agent[Shop] = Agent(name="mixed", model="openai:small", tools=[stock, now, add, slowly, sell])
either: Agent[Shop | None] = Agent(name="either", model="openai:small", tools=[maybe, now])
shop_tools: Sequence[Tool[Shop]] = [stock, now]
from_list = Agent(name="list", model="openai:small", tools=shop_tools)
free_tools: Sequence[Tool] = [now, slowly]
from_free_list = Agent(name="list", model="openai:small", tools=free_tools)
several = Agent(name="several", model="openai:small", tools=[stock, now, add, slowly, sell])
by_tuple = Agent(name="tuple", model="openai:small", tools=(stock, now, add, slowly, sell))
said = Agent[Shop](name="said", model="openai:small", tools=[stock, now, add, slowly, sell])

# mypy sees what the tools of a tuple have in common, but takes a list of several, untold, for an `Agent[Any]`.
assert_type(one, Agent[Shop])
assert_type(by_tuple, Agent[Shop])
assert_type(said, Agent[Shop])
assert_type(from_list, Agent[Shop])
assert_type(from_free_list, Agent[object])
of_nobody: Agent[None] = bare
of_nobody_either: Agent[None] = free
goes_where_a_shop_is: Agent[Shop] = free
renamed: Agent[Shop] = replace(clerk, name="renamed")
needs_a_shop: Agent[None] = clerk  # type: ignore[assignment]


def wrong_agents() -> None:
    Agent("clerk", "openai:small")  # type: ignore[call-arg]
    Agent(name="clerk")  # type: ignore[call-arg]
    Agent(name="clerk", model="openai:small", tools=[len])  # type: ignore[list-item]
    Agent(name="clerk", model="openai:small", temperature="hot")  # type: ignore[arg-type]
    Agent[Shop](name="clerk", model="openai:small", tools=[stock, cash])  # type: ignore[list-item]
    clerk.name = "other"  # type: ignore[misc]
    Budget(20)  # type: ignore[call-arg]
    Limits(requests="50")  # type: ignore[arg-type]
    Provider(base_url="http://127.0.0.1:1/v1")  # type: ignore[call-arg]


# ---- run -------------------------------------------------------------------------------------------


async def runs(runtime: Runtime, shop: Shop, messages: Sequence[Message]) -> None:
    assert_type(await run(bare, "How many?"), Answer)
    assert_type(await run(free, "How many?"), Answer)
    assert_type(await run(from_free_list, [UserMessage("How many?")]), Answer)
    assert_type(await run(clerk, "How many?", deps=shop), Answer)
    assert_type(await run(mixed, messages, deps=shop), Answer)
    assert_type(await run(one, "How many?", deps=shop), Answer)
    assert_type(await run(from_list, "How many?", deps=shop), Answer)
    assert_type(await run(several, "How many?", deps=shop), Answer)
    assert_type(await run(by_tuple, "How many?", deps=shop), Answer)
    assert_type(await run(said, "How many?", deps=shop), Answer)
    await run(either, "How many?")
    await run(either, "How many?", deps=shop)
    await run(either, "How many?", deps=None)
    await run(free, "How many?", deps=shop)
    await run(
        clerk,
        "How many?",
        deps=shop,
        thread="t1",
        messages=[UserMessage("Hello."), AssistantMessage("Hello.")],
        deadline=5,
        budget=Budget(turns=3, tokens=None),
        metadata={"user": "ada"},
        runtime=runtime,
    )
    await run(bare, "How many?", thread=None, deadline=None, budget=None, metadata=None, runtime=None)


async def wrong_runs(shop: Shop) -> None:
    await run(clerk, "How many?")  # type: ignore[arg-type]
    await run(one, "How many?")  # type: ignore[arg-type]
    await run(mixed, "How many?", thread="t1")  # type: ignore[arg-type]
    await run(from_list, "How many?")  # type: ignore[arg-type]
    await run(by_tuple, "How many?")  # type: ignore[arg-type]
    await run(said, "How many?")  # type: ignore[arg-type]
    await run(clerk, "How many?", deps=Till())  # type: ignore[misc]
    await run(clerk, "How many?", deps=None)  # type: ignore[misc]
    await run(bare)  # type: ignore[call-overload]
    await run(bare, 5)  # type: ignore[call-overload]
    await run(bare, "How many?", "t1")  # type: ignore[call-overload]
    await run(bare, ["How many?"])  # type: ignore[list-item]
    await run(bare, "How many?", deadline="soon")  # type: ignore[call-overload]
    await run(bare, "How many?", budget=3)  # type: ignore[call-overload]
    await run(bare, "How many?", metadata={"tries": 1})  # type: ignore[dict-item]
    await run(bare, "How many?", colour="red")  # type: ignore[call-overload]
    await run("bare", "How many?")  # type: ignore[call-overload]


# ---- stream ----------------------------------------------------------------------------------------


async def streams(runtime: Runtime, shop: Shop) -> None:
    watched: AbstractAsyncContextManager[Running] = stream(free, "How many?")
    async with watched as running:
        assert_type(running, Running)
        async for event in running:
            said: AnyEvent = event
            if isinstance(said, TextDelta):
                assert_type(said.text, str)
            elif isinstance(said, RunEnded):
                assert_type(said.stragglers, tuple[str, ...])
        assert_type(await running.answer(), Answer)
        assert_type(running.run_id, str)
        running.cancel("enough")
    async with stream(clerk, "How many?", deps=shop, thread="t1", runtime=runtime) as running:
        assert_type(running, Running)
    async with stream(either, "How many?") as running:
        assert_type(running, Running)


async def wrong_streams(shop: Shop) -> None:
    stream(clerk, "How many?")  # type: ignore[arg-type]
    stream(clerk, "How many?", deps=Till())  # type: ignore[misc]
    stream(bare, "How many?", deadline="soon")  # type: ignore[call-overload]
    with stream(free, "How many?"):  # type: ignore[attr-defined]
        pass
    async with stream(free, "How many?") as running:
        for _ in running:  # type: ignore[attr-defined]
            pass
        print(running.answer().output)  # type: ignore[attr-defined]


# ---- the runtime, and what comes back --------------------------------------------------------------


async def runtimes(shop: Shop) -> None:
    provider = Provider(name="openai", base_url=None, limits=Limits(requests=50, concurrency=4))
    async with Runtime(providers=[provider], grace=1) as runtime:
        assert_type(runtime, Runtime)
        assert_type(Runtime.current(), Runtime | None)
        started = runtime.start(clerk, "How many?", deps=shop)
        assert_type(await started.answer(), Answer)
    try:
        answer = await run(free, "How many?")
    except RunFailed as failed:
        answer = failed.answer
    assert_type(answer.output, str)
    assert_type(answer.messages, tuple[Message, ...])
    for message in answer.messages:
        if isinstance(message, AssistantMessage):
            assert_type(message.tool_calls, tuple[ToolCall, ...])


async def wrong_runtimes() -> None:
    Runtime([])  # type: ignore[call-arg]
    Runtime(providers=["openai"])  # type: ignore[list-item]
    Runtime(journal=5)  # type: ignore[arg-type]
    with Runtime():  # type: ignore[attr-defined]
        pass


# ---- documents -------------------------------------------------------------------------------------


async def references() -> AsyncIterator[Reference]:
    yield Reference("https://x.example/")


def seen(snapshot: Snapshot) -> None:
    assert_type(snapshot.total, int | None)


async def documents() -> None:
    assert_type(await ingest("docs", index="kb.sqlite"), Report)
    report = await ingest(Path("docs"), index=Path("kb.sqlite"), allow={"localhost:8000"}, prune=True, progress=seen)
    assert_type(report.bottleneck, tuple[str, float] | None)
    await ingest(references(), index="kb.sqlite")


async def wrong_documents() -> None:
    await ingest("docs")  # type: ignore[call-arg]
    await ingest("docs", "kb.sqlite")  # type: ignore[call-arg]
    await ingest(["docs"], index="kb.sqlite")  # type: ignore[arg-type]
    await ingest("docs", index="kb.sqlite", embedder="minilm")  # type: ignore[arg-type]


# ---- serving and taking up -------------------------------------------------------------------------


async def shop_of(principal: str | None, metadata: Mapping[str, str]) -> Shop:
    raise NotImplementedError


async def served(shop: Shop) -> None:
    await serve(free)
    await serve([free, clerk], port=0, deps=shop_of, journal="sqlite:chat.db", ready=print)
    async with Runtime(on_exit="suspend") as runtime:
        runtime.start(free, "How many?", run_id="r1", principal="ada")
        for started in await runtime.unfinished():
            assert_type(started, RunStarted)
        assert_type(await runtime.resume("r1", clerk, deps=shop), Run)
        assert_type(runtime.find("r1"), Run | None)


async def wrongly_served(runtime: Runtime) -> None:
    await serve("free")  # type: ignore[arg-type]
    await serve(free, port="8080")  # type: ignore[arg-type]
    await runtime.resume("r1", clerk)  # type: ignore[arg-type]
    Runtime(on_exit="stop")  # type: ignore[arg-type]
