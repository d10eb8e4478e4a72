from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from agentrt.toolbox.lower import to_builtins, to_json

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner),
)


class Shelf(BaseModel):
    sku: str
    secret: SecretStr = SecretStr("hidden")


@dataclass
class Crate:
    shelves: list[Shelf]


class Row(msgspec.Struct):
    crate: Crate


def test_models_dataclasses_and_structs_are_lowered_within_one_another() -> None:
    row = Row(Crate([Shelf(sku="A-1")]))
    assert to_builtins({"row": row}) == {"row": {"crate": {"shelves": [{"sku": "A-1", "secret": "**********"}]}}}


def test_what_has_no_json_form_is_refused_by_the_name_of_its_class() -> None:
    class Socket:
        pass

    with pytest.raises(TypeError, match=r"list has no JSON form .*Socket"):
        to_json([Socket()])


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(TypeError, match="list has no JSON form"):
        to_json(loop)


def test_a_lone_surrogate_becomes_the_replacement_character_wherever_it_stands() -> None:
    assert to_builtins({"\ud800": ["a\udfffb", 3, float("nan"), (Shelf(sku="\ud800"),)]}) == {
        "\ufffd": ["a\ufffdb", 3, None, [{"sku": "\ufffd", "secret": "**********"}]]
    }


@given(anything)
def test_every_json_like_value_becomes_valid_json(value: Any) -> None:
    text = to_json(value)
    json.loads(text)
    assert text.encode().decode() == text
    assert to_json(to_builtins(value)) == text
