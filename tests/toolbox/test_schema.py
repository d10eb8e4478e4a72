from __future__ import annotations

import enum
import json
import queue
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, Field

from agentrt.errors import ToolError, ToolInvalid
from agentrt.toolbox.context import Context
from agentrt.toolbox.schema import Signature, read_docstring, read_signature

if TYPE_CHECKING:
    from decimal import Decimal


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Size:
    width: int


class Box(BaseModel):
    """A box."""

    title: str = Field(title="Shown name")
    size: Size


def schema(signature: Signature) -> Any:
    return json.loads(bytes(signature.parameters))


def read(function: Callable[..., Any]) -> Signature:
    return read_signature(function, "t")


def complaint(function: Callable[..., Any], arguments: str) -> str:
    with pytest.raises(ToolError) as caught:
        read(function).read(arguments)
    assert caught.value.code == "arguments_invalid"
    return str(caught.value)


# ---- what the model is shown -----------------------------------------------------------------------


def test_types_defaults_and_constraints_become_the_schema() -> None:
    def pack(
        box: Box,
        colour: Colour = Colour.RED,
        count: Annotated[int, Field(ge=1, le=50, description="How many.")] = 1,
        speed: Literal["slow", "fast"] = "slow",
        weight: float = Field(default=1.5, gt=0),
    ) -> None: ...

    assert schema(read(pack)) == {
        "type": "object",
        "additionalProperties": False,
        "required": ["box"],
        "properties": {
            "box": {"$ref": "#/$defs/Box"},
            "colour": {"$ref": "#/$defs/Colour", "default": "red"},
            "count": {"type": "integer", "minimum": 1, "maximum": 50, "description": "How many.", "default": 1},
            "speed": {"type": "string", "enum": ["slow", "fast"], "default": "slow"},
            "weight": {"type": "number", "exclusiveMinimum": 0, "default": 1.5},
        },
        "$defs": {
            "Box": {
                "type": "object",
                "description": "A box.",
                "required": ["title", "size"],
                "properties": {"title": {"type": "string"}, "size": {"$ref": "#/$defs/Size"}},
            },
            "Colour": {"type": "string", "enum": ["red"]},
            "Size": {"type": "object", "required": ["width"], "properties": {"width": {"type": "integer"}}},
        },
    }


def test_titles_are_dropped_but_not_what_is_called_title() -> None:
    def show(
        title: str, properties: dict[str, str], extra: Annotated[Any, Field(examples=[{"title": "kept"}])] = None
    ) -> None: ...

    shown = schema(read(show))
    assert shown["properties"]["title"] == {"type": "string"}
    assert shown["properties"]["extra"]["examples"] == [{"title": "kept"}]
    assert "title" not in shown
    assert "title" not in shown["properties"]["properties"]


def test_the_docstring_gives_the_description_and_the_texts_of_parameters() -> None:
    def find(query: str, limit: Annotated[int, Field(description="Own text.")] = 5, exact: bool = False) -> None:
        """Find documents.

        Newest first.

        Args:
            query: What to look for,
                e.g. "limits: how?"
            limit (int, optional): Overruled by the field.
            unknown: Nobody minds.

        Returns:
            query: not this one.
        """

    signature = read(find)
    assert signature.description == "Find documents.\n\nNewest first."
    shown = schema(signature)["properties"]
    assert shown["query"]["description"] == 'What to look for, e.g. "limits: how?"'
    assert shown["limit"]["description"] == "Own text."
    assert "description" not in shown["exact"]


@pytest.mark.parametrize(
    ("doc", "description", "texts"),
    [
        ("", "", {}),
        ("One line.", "One line.", {}),
        ("Args:\n    a: x", "", {"a": "x"}),
        (
            "Do.\n\nArgs:\n  a: x\n\n  b (dict[str, int]): y: z\n    more\nRaises:\n  c: no",
            "Do.",
            {"a": "x", "b": "y: z more"},
        ),
        ("Do.\n\nArgs:\n    a:\n        below", "Do.", {"a": "below"}),
        ("See Args: not a section.\nArgs: neither", "See Args: not a section.\nArgs: neither", {}),
        ("Args:\n    just words\n    a: x", "", {"a": "x"}),
    ],
)
def test_docstrings_are_read_as_google_writes_them(doc: str, description: str, texts: dict[str, str]) -> None:
    assert read_docstring(doc) == (description, texts)


def test_the_context_is_not_shown_to_the_model() -> None:
    class Deps:
        pass

    def bare(context: Context, sku: str) -> None: ...
    def typed(context: Context[Deps], sku: str) -> None: ...
    def without(sku: str) -> None: ...
    def positional(context: Context[Deps], /, sku: str) -> None: ...

    for function in (bare, typed, positional):
        assert read(function).takes_context
        assert list(schema(read(function))["properties"]) == ["sku"]
    assert not read(without).takes_context


def test_annotations_that_are_text_may_name_locals_of_every_function_around() -> None:
    class Outer(BaseModel):
        x: int

    def define() -> Signature:
        class Inner(BaseModel):
            y: int

        def made(outer: Outer, inner: list[Inner]) -> None: ...

        return read(made)  # `read` is a frame between the definition and the reader

    outer = define().read('{"outer": {"x": 1}, "inner": []}')["outer"]
    assert isinstance(outer, Outer)


def test_the_nearest_of_two_locals_of_one_name_is_meant() -> None:
    class Thing(BaseModel):
        x: int

    def define() -> Signature:
        class Thing(BaseModel):
            y: int

        def made(thing: Thing) -> None: ...

        return read(made)

    assert "y" in vars(define().read('{"thing": {"y": 1}}')["thing"])
    assert Thing(x=1)


def test_locals_of_a_function_of_the_same_name_in_another_module_are_not_meant() -> None:
    home: dict[str, Any] = {"read": read, "Thing": str}
    exec("def main():\n    def made(thing: 'Thing') -> None: ...\n    return read(made)", home)
    abroad: dict[str, Any] = {"home": home["main"]}
    exec("def main():\n    Thing = int\n    return home()", abroad)
    assert schema(abroad["main"]())["properties"] == {"thing": {"type": "string"}}


# ---- what cannot be a tool -------------------------------------------------------------------------


class Method:
    def count(self, sku: str) -> None: ...


def unannotated(sku) -> None: ...  # type: ignore[no-untyped-def]
def many(*skus: str) -> None: ...
def named(**skus: str) -> None: ...
def positional(sku: str, /) -> None: ...
def private(_sku: str) -> None: ...
def reserved(model_config: str) -> None: ...
def late(sku: str, context: Context) -> None: ...
def thing(first: int, lock: queue.Queue[int]) -> None: ...
def function(first: int, then: Callable[[int], int] = abs) -> None: ...
def pattern(sku: Annotated[str, Field(pattern="(")]) -> None: ...
def unknown(sku: Decimal) -> None: ...
def broken(sku: "int |") -> None: ...  # type: ignore[valid-type]  # noqa: F722


@pytest.mark.parametrize(
    ("refused", "text"),
    [
        (Method.count, 'parameter "self" needs a type annotation; make a tool of a bound method'),
        (unannotated, 'parameter "sku" needs a type annotation'),
        (many, r"parameter \"\*skus: 'str'\" cannot be given by a model; .* take a list"),
        (named, r"parameter \"\*\*skus: 'str'\" cannot be given by a model; .* take a list"),
        (positional, "remove the `/`"),
        (private, "rename it"),
        (reserved, "rename it"),
        (late, 'the Context must be the first parameter, not "context"'),
        (thing, r'parameter "lock" cannot come from a model as JSON; .*`Context.deps`.*queue.Queue'),
        (function, 'parameter "then" cannot come from a model as JSON'),
        (pattern, 'parameter "sku" cannot come from a model as JSON'),
        (unknown, r"annotation of parameter \"sku\" cannot be read .*'Decimal' is not defined.*TYPE_CHECKING"),
        (broken, 'annotation of parameter "sku" cannot be read'),
        (int, "no signature found"),
    ],
)
def test_a_function_that_no_model_can_call_is_refused_in_one_line_that_says_why(
    refused: Callable[..., Any], text: str
) -> None:
    with pytest.raises(ToolInvalid, match=text) as caught:
        read(refused)
    assert str(caught.value).startswith('tool "t": ')
    assert "\n" not in str(caught.value)


# ---- what the model sends --------------------------------------------------------------------------


def test_arguments_arrive_as_the_types_the_function_asks_for() -> None:
    def pack(box: Box, colour: Colour = Colour.RED, tags: list[str] = []) -> None: ...  # noqa: B006

    values = read(pack).read('{"box": {"title": "x", "size": {"width": "3"}}}')
    assert values == {"box": Box(title="x", size=Size(3)), "colour": Colour.RED, "tags": []}


def test_every_call_gets_defaults_of_its_own() -> None:
    def pack(tags: list[str] = [], parts: list[str] = Field(default_factory=list)) -> None: ...  # noqa: B006, B008

    signature = read(pack)
    signature.read("{}")["tags"].append("kept?")
    signature.read("{}")["parts"].append("kept?")
    assert signature.read("{}") == {"tags": [], "parts": []}


def test_a_default_without_json_form_holds_but_is_not_shown() -> None:
    here = threading.Lock()

    def pack(key: Any = here) -> None: ...

    assert read(pack).read("{}") == {"key": here}
    assert schema(read(pack))["properties"] == {"key": {}}


def test_parameters_may_have_the_names_of_pydantic_methods() -> None:
    def query(schema: str, json: int, model_dump: bool, model_fields: int, copy: int = 1) -> None: ...

    values = {"schema": "s", "json": 1, "model_dump": True, "model_fields": 2}
    assert read(query).read(json.dumps(values)) == {**values, "copy": 1}


def test_empty_arguments_are_no_arguments() -> None:
    def now() -> None: ...

    assert read(now).read("") == {}
    assert read(now).read("{}") == {}


def search(query: str, limit: Annotated[int, Field(ge=1, le=50)] = 5, boxes: list[Size] | None = None) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ('{"query": "q", "limit": 0}', ["limit: should be greater than or equal to 1; got 0"]),
        ("{}", ["query: required, but not given"]),
        ('{"query": "q", "page": 2}', ["page: unknown; the tool takes query, limit, boxes"]),
        ('{"query": null, "limit": "x"}', ["query: should be a valid string; got null", 'limit: .*integer.*; got "x"']),
        ('{"query": "q", "boxes": [{"width": 1}, {}]}', [r"boxes\.1\.width: required, but not given"]),
        ("[1]", [r"arguments: should be an object; got \[1\]"]),
        ("null", ["arguments: should be an object; got null"]),
        ('{"query": ', ["arguments: Invalid JSON: .*"]),
        ('{"query": "a"}{"query": "b"}', ["arguments: Invalid JSON: trailing characters.*"]),
        ('{"query": "\\ud800"}', ["arguments: Invalid JSON: .*"]),
        ('{"query": "\ud800"}', ["arguments: should be a valid string.*\ufffd.*"]),
        ("[" * 100_000, [r"arguments: Invalid JSON: recursion limit.*\(100,002 characters\)"]),
    ],
)
def test_a_bad_call_is_told_where_it_is_wrong_what_was_expected_and_what_came(arguments: str, lines: list[str]) -> None:
    first, *rest = complaint(search, arguments).split("\n")
    assert first == 'the arguments of "t" do not fit:'
    assert len(rest) == len(lines)
    for line, expected in zip(rest, lines, strict=True):
        assert re.fullmatch(f"- {expected}", line), line


def test_many_mistakes_are_counted_and_long_input_is_shortened() -> None:
    def pack(sizes: list[int]) -> None: ...

    text = complaint(pack, json.dumps({"sizes": ["x" * 1000] * 100}))
    assert text.endswith("- and 92 more")
    assert "(1,002 characters)" in text
    assert len(text) < 3000


def test_what_a_validator_of_the_user_says_reaches_the_model() -> None:
    def even(value: int) -> int:
        if value % 2:
            raise ValueError("odd counts are not sold")
        return value

    def sell(count: Annotated[int, AfterValidator(even)]) -> None: ...

    assert "count: Value error, odd counts are not sold; got 3" in complaint(sell, '{"count": 3}')
