"""From a tree of what was given to records, by the records' own types and bounds; every fault is noted.

The fields of a record, what they may hold and what they are by default stand in the record and nowhere else.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin

import msgspec

from agentrt.configuration.sources import Node, Table
from agentrt.errors import ConfigurationError

_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_LISTS = (tuple, frozenset, Sequence, Collection)
_SHOWN = 60


class _Wrong(Exception):
    """It has been noted."""


@dataclass(frozen=True)
class Shape:
    """What may stand in a table, by name and type, and what is made of it."""

    fields: Mapping[str, Any]
    make: Callable[..., Any]


def shape_of(kind: Any) -> Shape:
    """The shape of a record's table: those of its fields that can be written as text."""
    return Shape(writable_fields(kind), kind)


@cache
def writable_fields(annotated: Any) -> Mapping[str, Any]:
    """Names and types of those fields, or parameters, that can be written as text."""
    names = dict(vars(sys.modules[annotated.__module__]))
    fields: dict[str, Any] = {}
    for name, annotation in inspect.get_annotations(annotated).items():
        text = annotation.__forward_arg__ if isinstance(annotation, ForwardRef) else annotation
        try:
            hint = eval(text, names) if isinstance(text, str) else text  # noqa: S307 - our own annotations
        except NameError:  # imported for type checkers only, so no part of a setting: a transport
            continue
        kinds = [kind for kind in _alternatives(hint) if _is_writable(kind)]
        if any(kind is not NoneType for kind in kinds):
            fields[name] = Union[tuple(kinds)]  # noqa: UP007 - made at run time
    return fields


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _is_writable(kind: Any) -> bool:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Mapping:
        return inner[0] is str and all(_is_writable(each) for each in _alternatives(inner[1]))
    if origin in _LISTS:
        return inner[0] in _WORDS
    return kind is NoneType or kind in _WORDS or origin is Literal or _is_record(kind)


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, msgspec.Struct))


@dataclass
class Reading:
    """One reading of a tree.

    Attributes:
        faults: What is wrong, and where it stands; a line each.
        origins: Where each value was given that is in force, by its path.
    """

    faults: list[str] = field(default_factory=list[str])
    origins: dict[tuple[str, ...], str] = field(default_factory=dict[tuple[str, ...], str])

    def fault(self, node: Node, text: str) -> None:
        """Note what is wrong with what stands there."""
        self.faults.append(f"{node.where}: {text}" if node.where else text)

    def record(self, shape: Shape, table: Table, **fixed: Any) -> Any:
        """What the shape makes of a table, as far as that is right, and of the values that are fixed; or None."""
        values: dict[str, Any] = {}
        for key, node in table.entries.items():
            if key not in shape.fields or key in fixed:
                self.fault(node, f'there is no setting "{key}"{near(key, set(shape.fields) - set(fixed))}')
                continue
            with suppress(_Wrong):
                values[key] = self._value(shape.fields[key], node)
        return self._made(shape, table, values, fixed)

    def _made(self, shape: Shape, table: Table, values: dict[str, Any], fixed: dict[str, Any]) -> Any:
        """A record says but one thing that is wrong with it, so each of its values is tried alone then."""
        required = _required(shape.make)
        if missing := required & shape.fields.keys() - fixed.keys() - values.keys():
            self.fault(table, f"{', '.join(sorted(missing))}: required, but not given")
            return None
        try:
            return shape.make(**fixed, **values)
        except ConfigurationError as error:
            wrong = _refused(shape, fixed)
            if wrong is not None:
                self.fault(table, wrong)
                return None
            alone = {key: _refused(shape, {**fixed, key: value}) for key, value in values.items()}
            for key, said in alone.items():
                if said is not None:
                    self.fault(table.entries[key], said)
            if not any(alone.values()):
                self.fault(table, str(error))
            return None

    def _value(self, hint: Any, node: Node) -> Any:
        kinds = _alternatives(hint)
        if isinstance(node, Table):
            return self._of_table(kinds, node)
        scalars = [kind for kind in kinds if not _is_record(kind) and get_origin(kind) is not Mapping]
        try:
            # The environment knows only text; in a file "5" is no number.
            value = msgspec.convert(node.value, Union[tuple(scalars)], strict=not node.spoken)  # noqa: UP007
        except (msgspec.ValidationError, TypeError):  # the latter: a field that only a table can be
            raise self._mistaken(kinds, node, _shown(node.value)) from None
        self.origins[node.path] = node.where
        return value

    def _of_table(self, kinds: tuple[Any, ...], table: Table) -> Any:
        for kind in kinds:
            if _is_record(kind):
                made = self.record(shape_of(kind), table)
                if made is None:
                    raise _Wrong
                return made
            if get_origin(kind) is Mapping:
                values: dict[str, Any] = {}
                for key, node in table.entries.items():
                    with suppress(_Wrong):
                        values[key] = self._value(get_args(kind)[1], node)
                if len(values) < len(table.entries):
                    raise _Wrong
                return values
        raise self._mistaken(kinds, table, "a table")

    def _mistaken(self, kinds: tuple[Any, ...], node: Node, came: str) -> _Wrong:
        expected = " or ".join(_in_words(kind) for kind in kinds if kind is not NoneType)
        self.fault(node, f"expected {expected}, got {came}")
        return _Wrong()


def _required(make: Callable[..., Any]) -> set[str]:
    """What a record cannot do without."""
    if not is_dataclass(make):
        return set()
    return {one.name for one in fields(make) if one.init and one.default is one.default_factory is MISSING}


def _refused(shape: Shape, values: dict[str, Any]) -> str | None:
    """What a record has against these values."""
    try:
        shape.make(**values)
    except ConfigurationError as error:
        return str(error)
    except TypeError:  # tried alone, it lacks what is required
        return None
    return None


def near(name: str, known: set[str]) -> str:
    """Names like that one, as a question."""
    alike = get_close_matches(name, sorted(known), n=1)
    return f'; did you mean "{alike[0]}"?' if alike else f"; there are {', '.join(sorted(known))}"


def _in_words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(json.dumps(choice) for choice in get_args(kind))
    if get_origin(kind) in _LISTS:
        return f"a list of {_WORDS[get_args(kind)[0]].removeprefix('a ')}"
    return _WORDS.get(kind, "a table")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
