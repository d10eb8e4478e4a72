from __future__ import annotations

import pytest

from agentrt.errors import ToolInvalid
from agentrt.toolbox.define import tool
from agentrt.toolbox.registry import Registry


@tool
async def stock(sku: str) -> int:
    """Units in the warehouse."""
    return len(sku)


@tool
def price(sku: str) -> float:
    """Price in euros."""
    return float(len(sku))


def test_tools_are_found_by_name_and_shown_in_the_order_given() -> None:
    registry = Registry([price, stock])
    assert registry.get("stock") is stock
    assert registry.get("Stock") is None
    assert registry.names == ("price", "stock")
    assert registry.specs == (price.spec, stock.spec)


def test_two_tools_of_one_name_are_refused() -> None:
    other = tool(name="stock")(price.function)
    with pytest.raises(ToolInvalid, match=r'two tools are called "stock"; .*name='):
        Registry([stock, other])
    with pytest.raises(ToolInvalid, match="two tools"):
        Registry([stock, stock])


def test_what_is_no_tool_is_refused_with_the_way_to_make_it_one() -> None:
    with pytest.raises(ToolInvalid, match=r"price is not a tool; write @tool above it"):
        Registry([price.function])  # type: ignore[list-item]
