from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import FrozenInstanceError, replace
from typing import Any, cast

import pytest

from agentrt.errors import ToolInvalid
from agentrt.gate.limits import Limits
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool, ToolOptions, tool


@tool
async def stock(context: Context, sku: str) -> int:
    """Units in the warehouse."""
    return len(sku)


def price(sku: str, currency: str = "EUR") -> str:
    """Price of an article."""
    return f"{len(sku)} {currency}"


class Warehouse:
    async def count(self, sku: str) -> int:
        """Count them."""
        return len(sku)

    def __call__(self, sku: str) -> str:
        """Fetch it."""
        return sku


def test_a_tool_is_still_called_as_its_function() -> None:
    assert asyncio.run(stock(Context(None), sku="abc")) == 3
    assert tool(price)("abc", currency="USD") == "3 USD"


def test_the_model_sees_name_description_and_parameters() -> None:
    spec = tool(price).spec
    assert (spec.name, spec.description) == ("price", "Price of an article.")
    assert json.loads(bytes(spec.parameters)) == {
        "type": "object",
        "properties": {"sku": {"type": "string"}, "currency": {"type": "string", "default": "EUR"}},
        "required": ["sku"],
        "additionalProperties": False,
    }


def test_without_arguments_a_tool_has_the_documented_policy() -> None:
    assert (stock.timeout, stock.effect, stock.max_result, stock.run_in) == (60.0, None, 65_536, "loop")
    assert not stock.idempotent
    assert (stock.concurrency, stock.idle_timeout, stock.retries, stock.cache) == (None, None, 0, None)
    assert not stock.needs_approval


def test_options_win_over_what_the_function_says() -> None:
    made = tool(name="cost", description="What it costs.", timeout=5, effect="read", max_result=100, idempotent=True)(
        price
    )
    assert (made.name, made.description, made.timeout, made.idempotent) == ("cost", "What it costs.", 5, True)
    assert (made.effect, made.max_result, made.run_in) == ("read", 100, "thread")


def test_one_decorator_serves_several_functions() -> None:
    quick = tool(timeout=1)
    assert [quick(price).name, quick(stock.function).name] == ["price", "stock"]


def test_bound_methods_partials_and_callable_objects_become_tools() -> None:
    assert tool(Warehouse().count).run_in == "loop"
    assert tool(Warehouse().count).description == "Count them."
    assert tool(Warehouse(), name="fetch").description == "Fetch it."
    dollars = tool(functools.partial(price, currency="USD"), name="dollars")
    assert (dollars("abc"), dollars.description) == ("3 USD", "Price of an article.")


def test_a_wrapped_function_is_read_through_its_wrapper() -> None:
    def logged(function: Callable[[str], Awaitable[int]]) -> Callable[[str], Awaitable[int]]:
        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> int:
            return await function(*args, **kwargs)

        return wrapper

    made = tool(logged(Warehouse().count))
    assert (made.name, made.run_in) == ("count", "loop")
    assert "sku" in bytes(made.spec.parameters).decode()


def test_a_tool_is_frozen_equal_to_itself_and_replaceable() -> None:
    with pytest.raises(FrozenInstanceError):
        stock.timeout = 1.0  # type: ignore[misc]
    slow = replace(stock, timeout=300)
    assert (slow.timeout, slow.spec) == (300, stock.spec)
    assert slow != stock
    assert {stock: 1}[stock] == 1


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"name": "look up"}, 'a tool\'s name is 1 to 64 of .*"look up"'),
        ({"name": ""}, "a tool's name is 1 to 64"),
        ({"name": "x" * 65}, "a tool's name is 1 to 64"),
        ({"timeout": 0}, 'tool "price": timeout=0; it needs more than 0 seconds'),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"max_result": 0}, "max_result=0; it needs 1 byte or more"),
        ({"effect": "delete"}, 'effect="delete"; it is "read", "egress" or "write"'),
        ({"provider": "crm:eu"}, 'tool "price": provider="crm:eu"; a provider\'s name has no colon'),
        ({"provider": ""}, 'provider=""; a provider\'s name'),
        ({"provider": Limits()}, r"provider=Limits\(.*\); it is a Provider or the name of one"),
        ({"rate": 0}, 'tool "price": rate=0; it needs calls a second'),
        ({"rate": (5, 0)}, r"rate=\(5, 0\); it needs"),
        ({"rate": 0.5}, r"rate=0.5; it needs 1 call or more in a period; write \(1, 2\)"),
        ({"rate": 5, "provider": "crm"}, "provider= and rate= together; let the provider have the rate"),
        ({"concurrency": 0}, 'tool "price": concurrency=0; it needs 1 call or more, or None'),
        ({"retries": -1, "effect": "read"}, 'tool "price": retries=-1; it needs 0 or more'),
        ({"retries": 1}, 'retries=1, but a call that failed may have taken effect; say effect="read", or idempotent'),
        ({"retries": 1, "effect": "write"}, "retries=1, but a call that failed may have taken effect"),
        ({"retries": 1, "effect": "read", "provider": "crm"}, "retries= and provider= together; the provider's gate"),
        ({"cache": 0, "effect": "read"}, "cache=0; it needs more than 0 seconds, or None"),
        ({"cache": float("nan"), "effect": "read"}, "cache=nan; it needs"),
        ({"cache": 5}, 'cache=5 needs effect="read"; it is None'),
        ({"cache": 5, "effect": "egress", "idempotent": True}, "cache=5 needs effect=\"read\"; it is 'egress'"),
        ({"run_in": "cloud"}, 'run_in="cloud"; it is "loop", "thread", "process" or "client"'),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ToolInvalid, match=complaint):
        tool(price, **cast("ToolOptions", options))


def test_a_call_may_be_repeated_if_it_only_reads_or_is_idempotent() -> None:
    assert tool(effect="read")(price).repeatable
    assert tool(idempotent=True, effect="write")(price).repeatable
    assert not tool(effect="egress")(price).repeatable
    assert not tool(price).repeatable


def test_an_async_generator_is_a_tool_and_a_plain_one_is_told_what_to_write() -> None:
    async def later(count: int) -> AsyncIterator[int]:
        yield count

    def soon(count: int) -> Iterator[int]:
        yield count

    assert tool(later).run_in == "loop"
    with pytest.raises(ToolInvalid, match=r'tool "soon" is a plain generator; write "async def", .*Context.emit_soon'):
        tool(cast("Callable[..., Any]", soon))


def test_a_tool_is_run_where_its_function_can_be() -> None:
    plain = tool(run_in="thread")(price)
    assert (plain.run_in, tool(run_in="process")(price).run_in) == ("thread", "process")
    assert tool(run_in="loop")(stock.function).run_in == "loop"
    for function in (price, stock.function):
        assert tool(cast("Callable[..., Any]", function), run_in="client").run_in == "client"


@pytest.mark.parametrize("run_in", ["thread", "process"])
def test_an_async_function_runs_nowhere_but_on_the_loop(run_in: Any) -> None:
    async def yields(count: int) -> AsyncIterator[int]:
        yield count

    for function in (stock.function, Warehouse().count, yields):
        with pytest.raises(ToolInvalid, match=f'run_in="{run_in}", but its function is async; leave run_in out'):
            tool(cast("Callable[..., Any]", function), run_in=run_in)


def test_a_plain_function_never_runs_on_the_loop() -> None:
    with pytest.raises(ToolInvalid, match=r'run_in="loop", but its function is a plain one; .*write "async def"'):
        tool(price, run_in="loop")
    with pytest.raises(ToolInvalid, match='run_in="loop", but'):
        replace(tool(price), run_in="loop")


def test_what_cannot_travel_to_a_process_is_refused_where_the_tool_is_defined() -> None:
    def local(sku: str) -> str:
        return sku

    def with_context(context: Context, sku: str) -> str:
        return sku

    for function, complaint in (
        (local, "a lambda or within a function"),
        (Warehouse(), "a method or an object"),
        (with_context, "a Context cannot travel there; take what it needs as arguments"),
    ):
        with pytest.raises(ToolInvalid, match=f'tool "x": run_in="process", but .*{complaint}'):
            tool(cast("Callable[..., Any]", function), name="x", run_in="process")


@pytest.mark.parametrize(
    "option",
    [{"provider": "crm"}, {"rate": 5}, {"concurrency": 1}, {"retries": 1}, {"cache": 5}, {"idle_timeout": 1}],
)
def test_a_tool_of_the_client_has_no_policy_of_running(option: dict[str, Any]) -> None:
    def shelf(context: Context, sku: str) -> str:
        raise AssertionError

    with pytest.raises(ToolInvalid, match=f'run_in="client" and {next(iter(option))}= together; the client runs it'):
        tool(cast("Any", shelf), run_in="client", effect="read", **option)


def test_a_call_may_begin_early_if_it_only_reads_here_and_nobody_is_asked() -> None:
    assert tool(effect="read")(price).early
    assert tool(effect="read", run_in="process")(price).early
    assert not tool(price).early
    assert not tool(idempotent=True)(price).early
    assert not tool(effect="read", needs_approval=True)(price).early
    assert not tool(effect="read", run_in="client")(price).early


def test_silence_can_only_be_broken_by_who_can_speak() -> None:
    async def yields(count: int) -> AsyncIterator[int]:
        yield count

    assert replace(stock, idle_timeout=3).idle_timeout == 3
    assert tool(yields, idle_timeout=3).idle_timeout == 3
    with pytest.raises(ToolInvalid, match=r'tool "price": idle_timeout=3, but it cannot say .*heartbeat\(\) or emit'):
        tool(price, idle_timeout=3)
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ToolInvalid, match=r"idle_timeout=.*; it needs more than 0 seconds"):
            replace(stock, idle_timeout=wrong)


def test_tools_in_annotations_may_leave_out_what_does_not_matter() -> None:
    assert Tool[int].__origin__ is Tool  # type: ignore[attr-defined]
    assert Tool[int, float, [str]].__origin__ is Tool  # type: ignore[attr-defined]
