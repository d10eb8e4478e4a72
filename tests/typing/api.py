"""What a type checker must say of the front door. Checked by mypy and pyright, never run.

Each line with `type: ignore` is a mistake that both must find: both complain of an ignore that hides nothing.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, assert_type, cast

from pydantic import BaseModel

from agentrt import Agent, Answer, Budget, Context, Limits, Provider, Runtime, Tool, ingest, run, serve, stream, tool
from agentrt.errors import OutputInvalid, RunFailed, Tripped
from agentrt.events import AnyEvent, RunEnded, RunStarted, TextDelta
from agentrt.guardrails import Guardrail, guardrail
from agentrt.messages import AssistantMessage, Message, ToolCall, UserMessage
from agentrt.middleware import ProceedModel, ProceedTool
from agentrt.model.model import ModelReply, ModelRequest
from agentrt.pipeline.document import Reference
from agentrt.pipeline.report import Report, Snapshot
from agentrt.runs.owner import Run
from agentrt.toolbox.outcome import ToolOutcome
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


# ---- what an agent answers with, and what is around it -----------------------------------------------


class Invoice(BaseModel):
    total: float


class Row(TypedDict):
    sku: str


biller = Agent(name="biller", model="openai:small", output=Invoice)
of_shop = Agent(name="biller", model="openai:small", tools=[stock], output=Invoice)
both = Agent[Shop, Invoice](name="biller", model="openai:small", tools=[stock, now], output=Invoice)
many = Agent(name="many", model="openai:small", output=list[Invoice])
number = Agent(name="number", model="openai:small", output=int)
row = Agent(name="row", model="openai:small", output=Row)
union = Agent(name="union", model="openai:small", output=cast("type[int | str]", int | str))
any_answer: Agent[Shop, object] = both
other_output: Agent[Shop] = Agent(name="x", model="openai:small", output=Invoice)  # type: ignore[arg-type]
assert_type(of_shop, Agent[Shop, Invoice])
assert_type(both, Agent[Shop, Invoice])


async def around_turn(request: ModelRequest, proceed: ProceedModel) -> ModelReply:
    return await proceed(request)


async def around_call(call: ToolCall, context: Context, proceed: ProceedTool) -> str | ToolOutcome:
    return await proceed(call)


async def around_shop(call: ToolCall, context: Context[Shop], proceed: ProceedTool) -> str:
    return (await proceed(call)).content


@guardrail(on="input")
async def polite(text: str, context: Context) -> None:
    return None


@guardrail(on="output", timeout=5)
def known(text: str, context: Context[Shop]) -> Tripped | None:
    return None if text in context.deps.shelf else Tripped("unknown")


@guardrail(on="input")
async def short(messages: Sequence[Message], context: Context[Shop]) -> None:
    return None


assert_type(polite, Guardrail[object])
assert_type(known, Guardrail[Shop])
assert_type(short, Guardrail[Shop])
wrapped = Agent[Shop](
    name="wrapped",
    model="openai:small",
    around_model=[around_turn],
    around_tool=[around_call, around_shop],
    guardrails=[polite, known, short],
)
plainly_wrapped = Agent(
    name="wrapped", model="openai:small", around_model=[around_turn], around_tool=[around_call], guardrails=[polite]
)


async def values(runtime: Runtime, shop: Shop) -> None:
    assert_type(await run(biller, "The bill?"), Answer[Invoice])
    assert_type((await run(biller, "The bill?", thread="t1")).output, Invoice)
    assert_type((await run(of_shop, "The bill?", deps=shop)).output, Invoice)
    assert_type((await run(both, "The bill?", deps=shop)).output, Invoice)
    assert_type((await run(many, "The bills?")).output, list[Invoice])
    assert_type((await run(number, "How many?")).output, int)
    assert_type((await run(row, "Which?")).output, Row)
    assert_type((await run(union, "Which?")).output, int | str)
    assert_type((await run(wrapped, "Hello.", deps=shop)).output, str)
    assert_type((await run(plainly_wrapped, "Hello.")).output, str)
    async with stream(biller, "The bill?") as running:
        assert_type((await running.answer()).output, Invoice)
    async with stream(both, "The bill?", deps=shop) as running_with_shop:
        assert_type((await running_with_shop.answer()).output, Invoice)
    assert_type((await runtime.start(biller, "The bill?").answer()).output, Invoice)
    resumed = await runtime.resume("r1", both, deps=shop)
    assert_type((await resumed.answer()).output, Invoice)
    try:
        await run(biller, "The bill?")
    except OutputInvalid as failed:
        assert_type(failed.answer.output, str)


async def wrong_values(shop: Shop) -> None:
    await run(both, "The bill?")  # type: ignore[arg-type]
    print((await run(biller, "The bill?")).output.sum)  # type: ignore[attr-defined]
    Agent[None](name="x", model="openai:small", guardrails=[known])  # type: ignore[list-item]
    Agent[None](name="x", model="openai:small", around_tool=[around_shop])  # type: ignore[list-item]
    Agent(name="x", model="openai:small", around_model=[around_call])  # type: ignore[list-item]
    Agent(name="x", model="openai:small", guardrails=[len])  # type: ignore[list-item]
    guardrail(on="both")  # type: ignore[arg-type]


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
