"""The form of an answer: a type of the user's, as a schema for the model, and what the model wrote as a value of it.

Providers hold a model to a schema while it writes, if the schema is strict: all of an object's properties are
required, no others are allowed, and there is nothing in it but types. OpenAI takes no `default`, `oneOf` or `minLength`
(platform.openai.com, structured-outputs), Anthropic none of the bounds (platform.claude.com, structured-outputs). So
what is sent is the type's own schema made strict: whatever follows it is read as the type itself would read it, for to
require what may be left out only narrows it. Bounds become words, and hold when the answer is read. A type that cannot
be said like that, as `dict[str, int]`, is told to the model in its instructions instead.

A model answers with an object: anything else, as a list or a number, goes into one, under the name "answer".
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any, Generic, cast

import msgspec
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails, SchemaError

from agentrt.errors import SettingInvalid
from agentrt.messages import O_co
from agentrt.toolbox.lower import to_json

_IN = "answer"
"""The name under which an answer stands that is no object."""

_SHOWN = 8
"""Mistakes told at once."""

_FENCED = re.compile(r"```[\w-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.DOTALL)

_AGAIN = "Answer again, with the whole of it: JSON that follows the schema, and nothing around it."

_DEFS = "#/$defs/"
_WORDS = frozenset({"title", "default", "examples", "discriminator", "deprecated", "readOnly", "writeOnly"})
"""What a strict schema goes without; it says nothing about which values fit."""
_BOUNDS = (
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "format", "minItems", "maxItems", "uniqueItems"),
)
"""What narrows a type, and not every provider takes."""
_KNOWN = frozenset({"type", "description", "properties", "required", "additionalProperties", "items", "enum", "const"})
_CHOICES = frozenset({"anyOf", "oneOf"})


class Mismatch(Exception):
    """The answer is not of its form; the text names each mistake, and `for_model` is what to tell the model."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__(f"the answer is not of the form that was asked for: {'; '.join(mistakes)}")
        head = "The answer is not of the form that was asked for:"
        self.for_model = "\n- ".join([head, *mistakes]) + f"\n{_AGAIN}"


class Form(Generic[O_co]):
    """What an answer must be like.

    Args:
        output: A type that pydantic can validate.

    Attributes:
        schema: A strict JSON schema, encoded, with an object at its root; None where there is none.
        instructions: What to tell a model that is not held to the schema.

    Raises:
        SettingInvalid: pydantic cannot read such a value from JSON.
    """

    def __init__(self, output: type[O_co]) -> None:
        try:
            self._adapter: TypeAdapter[O_co] = TypeAdapter(output)
            described = self._adapter.json_schema(schema_generator=_Schema)
        except _UNFIT as error:
            why = textwrap.shorten(str(error), 240, placeholder="...")
            raise SettingInvalid(
                f"Agent(output={output!r:.80}): expected a type that pydantic can read from JSON ({why})"
            ) from error
        root = _root(described)
        self._wrapped = not _is_object(root)
        whole = _wrap(described) if self._wrapped else root
        self.schema = _strict(whole)
        self.instructions = (
            "Answer with JSON that follows this JSON schema, and with nothing around it:\n"
            f"{msgspec.json.encode(_untitled(whole)).decode()}"
        )

    def read(self, text: str) -> O_co:
        """The value that the model wrote. White space and one code fence around it are no mistake.

        Raises:
            Mismatch: it is not of this form.
        """
        text = text.strip()
        if fenced := _FENCED.fullmatch(text):
            text = fenced[1]
        try:
            return self._value(text)
        except ValidationError as error:
            raise Mismatch(_explained(error, self._wrapped)) from None
        except Mismatch:
            raise
        except Exception as error:  # the type brings validators of the user's
            raise Mismatch([f"{type(error).__name__}: {error}"]) from error

    def _value(self, text: str) -> O_co:
        if not self._wrapped:
            return self._adapter.validate_json(text)
        try:
            holder = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        except msgspec.DecodeError:
            holder = {}
        if holder.keys() != {_IN}:
            raise Mismatch([f'{_IN}: should be a JSON object {{"{_IN}": ...}} and no more; got {_cut(text)}'])
        return self._adapter.validate_json(bytes(holder[_IN]))


def form_of(output: Any) -> Form[Any] | None:
    """The form of answers that are `output`; None for text as it comes."""
    return None if output is str else Form(output)


_UNFIT = (PydanticUserError, SchemaError, NameError, TypeError, ValueError)
"""What pydantic raises about a type that it cannot use."""


class _Schema(GenerateJsonSchema):
    """A default that has no JSON form is left out of the schema; it still holds."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic's own form


# ---- what a mistake is -------------------------------------------------------------------------------


def _explained(error: ValidationError, wrapped: bool) -> list[str]:
    mistakes = error.errors(include_url=False, include_context=False)
    lines = [_mistake(details, (_IN,) if wrapped else ()) for details in mistakes[:_SHOWN]]
    if len(mistakes) > _SHOWN:
        lines.append(f"and {len(mistakes) - _SHOWN} more")
    return lines


def _mistake(details: ErrorDetails, within: tuple[str, ...]) -> str:
    place = ".".join(map(str, (*within, *details["loc"]))) or _IN
    match details["type"]:
        case "missing":
            return f"{place}: required, but not given"
        case "extra_forbidden":
            return f"{place}: unknown"
        case _:
            expected = details["msg"].replace("Input should be", "should be", 1)
            return f"{place}: {expected}; got {_cut(details['input'])}"


def _cut(value: Any) -> str:
    try:
        text = to_json(value)
    except TypeError:
        text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text):,} characters)"


# ---- schemas -------------------------------------------------------------------------------------------


class _Loose(Exception):
    """The schema cannot be made strict."""


def _root(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, where its root is but a reference to one of its definitions, with this in its place."""
    reference = str(schema.get("$ref", ""))
    if not reference.startswith(_DEFS):
        return schema
    return {**schema["$defs"][reference.removeprefix(_DEFS)], "$defs": schema["$defs"]}


def _is_object(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "object" and "anyOf" not in schema


def _wrap(schema: dict[str, Any]) -> dict[str, Any]:
    """An object that holds what the schema describes."""
    inner = {key: value for key, value in schema.items() if key != "$defs"}
    outer: dict[str, Any] = {"type": "object", "properties": {_IN: inner}, "required": [_IN]}
    return {**outer, "additionalProperties": False, **({"$defs": schema["$defs"]} if "$defs" in schema else {})}


def _strict(schema: dict[str, Any]) -> msgspec.Raw | None:
    try:
        strict = _closed({key: value for key, value in schema.items() if key != "$defs"})
        if "$defs" in schema:
            strict["$defs"] = {name: _closed(value) for name, value in schema["$defs"].items()}
    except _Loose:
        return None
    return msgspec.Raw(msgspec.json.encode(strict))


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with all properties required, no others allowed, and bounds in words.

    Raises:
        _Loose: there is no such schema.
    """
    if "$ref" in schema:  # it takes no neighbours
        return {"$ref": schema["$ref"]}
    kept: dict[str, Any] = {key: value for key, value in schema.items() if key in _KNOWN}
    for choice in schema.keys() & _CHOICES:
        kept["anyOf"] = [_closed(one) for one in schema[choice]]
    unknown = schema.keys() - _KNOWN - _WORDS - _CHOICES - {*_BOUNDS}
    if unknown or not kept.keys() & {"type", "anyOf", "enum", "const"}:
        raise _Loose
    if bounds := ", ".join(f"{key}: {_bound(schema[key])}" for key in _BOUNDS if key in schema):
        kept["description"] = f"{kept['description']} ({bounds})" if "description" in kept else bounds
    if kept.get("type") == "array":
        kept["items"] = _closed(kept.get("items", {}))
    if kept.get("type") == "object":
        if kept.get("additionalProperties") or "properties" not in kept:
            raise _Loose
        kept["properties"] = {name: _closed(value) for name, value in kept["properties"].items()}
        kept["required"] = list(kept["properties"])
        kept["additionalProperties"] = False
    return kept


def _bound(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _untitled(schema: Any, *, names: bool = False) -> Any:
    """The schema without titles, which repeat the names. `names`: its keys are names, and one may be "title"."""
    if isinstance(schema, list):
        return [_untitled(item) for item in cast("Sequence[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, value in cast("dict[str, Any]", schema).items():
        if not names and key in ("default", "const", "enum", "examples"):
            kept[key] = value
        elif names or key != "title":
            kept[key] = _untitled(value, names=not names and key in ("properties", "$defs"))
    return kept
