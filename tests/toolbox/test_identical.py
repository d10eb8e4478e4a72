from __future__ import annotations

import enum
import json
import math
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, Field

from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool, tool
from agentrt.toolbox.identical import canonical, question


class Colour(enum.Enum):
    RED = "red"


class Query(BaseModel):
    text: str
    hidden: str = Field(default="", exclude=True)


@tool(effect="read")
async def search(query: str, limit: int = 10, filters: dict[str, int] | None = None) -> str:
    return query


@tool
async def measure(value: float | None = None, exact: Decimal = Decimal(0), colour: Colour = Colour.RED) -> None: ...


@tool
async def look(query: Query) -> None: ...


@tool
async def of_deps(context: Context[object], sku: str) -> None: ...


def asked(made: Tool[Any], arguments: str, **context: Any) -> Any:
    return question(made, made.signature.read(arguments), Context(context.pop("deps", None), **context))


@pytest.mark.parametrize(
    "arguments",
    [
        '{"query": "a", "limit": 10, "filters": {"x": 1, "y": 2}}',
        '{"filters":{"y":2,"x":1},"query":"a"}',
        '{"limit": "10", "query": "a", "filters": {"y": 2.0, "x": 1}}',
    ],
)
def test_arguments_that_mean_the_same_have_one_text(arguments: str) -> None:
    assert canonical(search, arguments) == '{"filters":{"x":1,"y":2},"limit":10,"query":"a"}'


@pytest.mark.parametrize("arguments", ["", "{", "[]", '{"query": 5}', '{"query": "a", "more": 1}'])
def test_arguments_that_do_not_fit_have_none(arguments: str) -> None:
    assert canonical(search, arguments) is None


@given(st.text(), st.integers(), st.none() | st.dictionaries(st.text(), st.integers()))
def test_a_canonical_text_reads_back_to_the_same_values(query: str, limit: int, filters: dict[str, int] | None) -> None:
    values = {"query": query, "limit": limit, "filters": filters}
    text = canonical(search, json.dumps(values))
    if text is not None:
        assert search.signature.read(text) == values
        assert canonical(search, text) == text
    else:  # JSON of a model's arguments is bounded by what the parser of the schema reads
        assert abs(limit) > 2**53 or any(abs(number) > 2**53 for number in (filters or {}).values())


@given(st.floats() | st.none(), st.floats() | st.none())
def test_values_that_differ_never_share_a_text(one: float | None, other: float | None) -> None:
    first, second = (canonical(measure, json.dumps({"value": value})) for value in (one, other))
    if first is not None and first == second:
        assert one == other


def test_what_json_cannot_tell_apart_is_like_nothing_else() -> None:
    assert canonical(measure, '{"value": null}') is not None
    for value in ("NaN", "Infinity", "-Infinity"):
        read = measure.signature.read(f'{{"value": {value}}}')["value"]
        assert isinstance(read, float)
        assert not math.isfinite(read)
        assert canonical(measure, f'{{"value": {value}}}') is None


def test_what_a_type_leaves_out_of_its_json_is_not_lost() -> None:
    assert canonical(look, '{"query": {"text": "a"}}') == '{"query":{"text":"a"}}'
    assert canonical(look, '{"query": {"text": "a", "hidden": "b"}}') is None


def test_a_type_that_cannot_be_read_twice_or_compared_is_like_nothing_else() -> None:
    class Cross:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("no")

        __hash__ = None  # type: ignore[assignment]

    @tool
    async def counting(value: Annotated[int, AfterValidator(lambda value: value + 1)]) -> None: ...

    @tool
    async def crossing(value: Annotated[Any, AfterValidator(lambda _: Cross())]) -> None: ...

    assert canonical(counting, '{"value": 1}') is None
    assert canonical(crossing, '{"value": 1}') is None


def test_digits_of_a_decimal_count() -> None:
    texts = {canonical(measure, f'{{"exact": "{digits}"}}') for digits in ("0.1", "0.10000000000000000001", "0.2")}
    assert None not in texts
    assert len(texts) == 3


def test_a_question_is_one_by_tool_arguments_principal_and_deps() -> None:
    deps: list[int] = []
    same = asked(of_deps, '{"sku": "a"}', deps=deps, principal="ada")
    assert same == asked(of_deps, ' {"sku":"a"} ', deps=deps, principal="ada", run_id="another", call_id="c2")
    assert hash(same) == hash(asked(of_deps, '{"sku": "a"}', deps=deps, principal="ada"))
    assert same != asked(of_deps, '{"sku": "b"}', deps=deps, principal="ada")
    assert same != asked(of_deps, '{"sku": "a"}', deps=deps, principal="eve")
    assert same != asked(of_deps, '{"sku": "a"}', deps=deps)
    assert same != asked(of_deps, '{"sku": "a"}', deps=[], principal="ada"), "equal, but not the same"
    assert same != asked(tool(of_deps.function), '{"sku": "a"}', deps=deps, principal="ada")


def test_deps_count_only_for_a_tool_that_gets_them() -> None:
    assert asked(search, '{"query": "a"}', deps=[1]) == asked(search, '{"query": "a"}', deps=[2])


def test_a_question_without_a_text_is_none() -> None:
    assert asked(measure, '{"value": NaN}') is None
