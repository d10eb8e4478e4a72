"""What a type checker must say of `@tool`. Checked by mypy and pyright, never run.

Each line with `type: ignore` is a mistake that both must find: both complain of an ignore that hides nothing.
"""

# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Concatenate, assert_type

import httpx2

from agentrt import Limits, Provider, ProviderThrottled, raise_for_provider
from agentrt.toolbox.call import Caller
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool, tool
from agentrt.toolbox.outcome import ToolOutcome
from agentrt.toolbox.registry import Registry


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


@tool
async def stock(context: Context[Shop], sku: str) -> int:
    return context.deps.shelf[sku]


@tool(timeout=5, effect="write", name="sell", description="Sell one.", max_result=100)
def sell(context: Context[Shop], sku: str, count: int = 1) -> None:
    context.deps.shelf[sku] -= count


@tool(effect="read")
async def slowly(context: Context, steps: int) -> str:
    await context.emit({"steps": steps})
    assert_type(context.deps, object)
    return "done"


@tool()
async def cash(context: Context[Till]) -> float:
    return 0.0


class Warehouse:
    async def count(self, sku: str) -> int:
        return len(sku)


count = tool(Warehouse().count, name="count", timeout=1.5)

crm = Provider(name="crm", limits=Limits(requests=100))


@tool(provider=crm, effect="read")
async def customer(context: Context[Shop], name: str) -> str:
    raise ProviderThrottled("slow down", retry_after=12)


by_name = tool(Warehouse().count, name="count", provider="crm", idempotent=True)
five_a_second = tool(Warehouse().count, name="count", rate=5)
thirty_a_minute = tool(Warehouse().count, name="count", rate=(30, 60))


@tool(idle_timeout=5, timeout=300)
async def climb(context: Context[Shop], to: int) -> AsyncIterator[int]:
    for step in range(to):
        context.heartbeat()
        yield step


@tool(effect="read", retries=2, cache=60, concurrency=4, needs_approval=True, run_in="process")
def digits(number: int) -> str:
    return str(number)


@tool(run_in="client")
async def locate(accuracy: float) -> dict[str, float]:
    raise NotImplementedError


# ---- what they are ---------------------------------------------------------------------------------

# The checkers have different names for a coroutine, so these are assignments.
of_nobody: Tool[object, Awaitable[str], []] = now
assert_type(add(1, right=2), int)
assert_type(add(1), int)
as_function: Callable[[int], int] = add
of_shop: Tool[Shop, Awaitable[int], Concatenate[Context[Shop], ...]] = stock
of_till: Tool[Till] = cash
of_anybody: Tool = slowly
with_provider: Tool[Shop, Awaitable[str], Concatenate[Context[Shop], ...]] = customer
assert_type(customer.provider, Provider | str | None)
assert_type(five_a_second.rate, float | tuple[float, float] | None)
other_policy: Tool[Shop] = replace(stock, timeout=1.0)
generated: Tool[Shop, AsyncIterator[int], Concatenate[Context[Shop], ...]] = climb
assert_type(digits(5), str)
assert_type(digits.early, bool)
assert_type(digits.cache, float | None)


async def called() -> None:
    shop = Context(Shop({"A": 1}), call_id="c1")
    assert_type(shop, Context[Shop])
    assert_type(await now(), str)
    assert_type(await stock(shop, "A"), int)
    assert_type(await stock(shop, sku="A"), int)
    assert_type(sell(shop, "A", count=2), None)
    assert_type(await slowly(shop, 3), str)
    assert_type(await count("A"), int)
    assert_type(shop.remaining(), float)
    assert_type(shop.principal, str | None)
    assert_type(await locate(3.0), dict[str, float])
    async for step in climb(shop, 3):
        assert_type(step, int)


async def wrong_calls(shop: Context[Shop]) -> None:
    add("1")  # type: ignore[arg-type]
    add(1, 2, 3)  # type: ignore[call-arg]
    await stock("A")  # type: ignore[call-arg, arg-type]
    await stock(Context(Till()), "A")  # type: ignore[arg-type]
    await climb(shop, 3)  # type: ignore[misc]
    await slowly(shop, steps="3")  # type: ignore[arg-type]
    add.timeout = 3.0  # type: ignore[misc]
    shop.deps = Shop({})  # type: ignore[misc]


def wrong_options() -> None:
    tool(timeout="5")  # type: ignore[call-overload]
    tool(effect="delete")  # type: ignore[call-overload]
    tool(colour="red")  # type: ignore[call-overload]
    tool(provider=Limits())  # type: ignore[call-overload]
    tool(rate="5/s")  # type: ignore[call-overload]
    tool(concurrency=0.5)  # type: ignore[call-overload]
    tool(idle_timeout="5")  # type: ignore[call-overload]
    tool(retries=None)  # type: ignore[call-overload]
    tool(cache="1h")  # type: ignore[call-overload]
    tool(needs_approval="always")  # type: ignore[call-overload]
    tool(run_in="cloud")  # type: ignore[call-overload]
    tool(rate=(1, 2, 3))  # type: ignore[arg-type]


class Answer:
    status_code = 429

    def __init__(self) -> None:
        self.headers = {"retry-after": "3"}

    content = b""


def answers() -> None:
    raise_for_provider(httpx2.Response(429))
    raise_for_provider(Answer())
    raise_for_provider("429")  # type: ignore[arg-type]


# ---- who may hold and call them --------------------------------------------------------------------

assert_type(Registry([stock]), Registry[Shop])
assert_type(Registry([slowly]), Registry[object])
mixed: Registry[Shop] = Registry([stock, add, sell, slowly])
shop_tools: Sequence[Tool[Shop]] = [stock, now, sell, slowly, count]
free_tools: Sequence[Tool] = [now, add, slowly]
shop_registry: Registry[Shop] = Registry(free_tools)
wrong_registry: Registry[Shop] = Registry([stock, cash])  # type: ignore[list-item]
wrong_tools: Sequence[Tool[Shop]] = [stock, cash]  # type: ignore[list-item]
needs_deps: Sequence[Tool] = [stock]  # type: ignore[list-item]
not_a_tool: Sequence[Tool[Shop]] = [len]  # type: ignore[list-item]


async def through_the_caller(caller: Caller, shop: Context[Shop]) -> None:
    assert_type(await caller.call(stock, "{}", shop), ToolOutcome)
    assert_type(caller.known(climb, "{}", shop), ToolOutcome | None)
    async with caller.turn(stock, "c1", print) as turn:
        await caller.call(stock, "{}", shop, turn=turn, readable=False)
    await caller.call(add, "{}", shop)
    await caller.call(cash, "{}", shop)  # type: ignore[misc]


# ---- callables of every kind -----------------------------------------------------------------------


def returns_awaitable(sku: str) -> Awaitable[int]:
    raise NotImplementedError


made_later = tool(returns_awaitable)


@tool
async def anything(value: Any) -> Any:
    return value


@tool
async def whatever(value: object) -> str:
    return str(value)


loose: Sequence[Tool[Shop]] = [anything, whatever]
loosest: Sequence[Tool] = [anything, whatever]
