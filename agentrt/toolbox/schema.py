"""A function's signature and docstring, read as what a model needs to call it.

The signature becomes a pydantic model, which checks what the language model sends, and its JSON
schema, which tells the language model what to send. Types, defaults and `Annotated[..., Field(...)]`
count as pydantic counts them; descriptions come from `Field(description=...)` or the docstring.
"""

from __future__ import annotations

import functools
import inspect
import re
import textwrap
import typing
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails, SchemaError

from agentrt.errors import ToolError, ToolInvalid
from agentrt.toolbox.context import Context
from agentrt.toolbox.lower import JSON, to_json

_SHOWN = 8
"""Mistakes told at once: a model that made more has to start afresh anyway."""

_CONFIG = ConfigDict(extra="forbid", protected_namespaces=())


@dataclass(frozen=True, eq=False)
class Signature:
    """How a model calls a function.

    Attributes:
        description: The docstring up to its first section.
        parameters: JSON schema of the arguments, encoded.
        takes_context: Whether the first argument is the `Context`.
    """

    description: str
    parameters: msgspec.Raw
    takes_context: bool
    arguments: type[BaseModel]

    def read(self, text: str) -> dict[str, Any]:
        """Arguments by name, checked and with defaults filled in; empty text is no arguments.

        Raises:
            ToolError: `arguments_invalid`; its text tells the model each mistake: where, what was
                expected, what came.
        """
        try:
            return vars(self.arguments.model_validate_json(text or "{}"))
        except ValidationError as error:
            raise ToolError(self._explain(error), code="arguments_invalid") from None

    def _explain(self, error: ValidationError) -> str:
        known = ", ".join(self.arguments.model_fields) or "no arguments"
        mistakes = error.errors(include_url=False, include_context=False)
        lines = [_mistake(details, known) for details in mistakes[:_SHOWN]]
        if len(mistakes) > _SHOWN:
            lines.append(f"and {len(mistakes) - _SHOWN} more")
        return "\n- ".join([f'the arguments of "{self.arguments.__name__}" do not fit:', *lines])


def _mistake(details: ErrorDetails, known: str) -> str:
    place = ".".join(map(str, details["loc"])) or "arguments"
    match details["type"]:
        case "missing":
            return f"{place}: required, but not given"
        case "extra_forbidden" if len(details["loc"]) == 1:
            return f"{place}: unknown; the tool takes {known}"
        case _:
            expected = details["msg"].replace("Input should be", "should be", 1)
            return f"{place}: {expected}; got {_shortly(details['input'])}"


def _shortly(value: Any) -> str:
    """What came, as the model wrote it if it was JSON, and not all of it if it was long."""
    try:
        text = to_json(value)
    except TypeError:
        text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}... ({len(text):,} characters)"


def read_signature(function: Callable[..., Any], tool: str) -> Signature:
    """Read how to call `function`, for the tool of that name.

    Raises:
        ToolInvalid: a model could not call this function; the text says what to write instead.
    """
    bare = _bare(function)
    description, texts = read_docstring(inspect.getdoc(bare) or "")
    known = _names_around(bare)
    fields: dict[str, Any] = {}
    takes_context = False
    for place, parameter in enumerate(_parameters(function, tool)):
        annotation = _annotation(parameter, tool, known)
        if _is_context(annotation):
            if place > 0:
                raise ToolInvalid(f'tool "{tool}": the Context must be the first parameter, not "{parameter.name}"')
            takes_context = True
            continue
        _check_kind(parameter, tool)
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[parameter.name] = (_described(annotation, texts.get(parameter.name)), default)
    arguments, schema = _build(tool, fields)
    return Signature(description, msgspec.Raw(msgspec.json.encode(schema)), takes_context, arguments)


def _parameters(function: Callable[..., Any], tool: str) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except ValueError as error:
        raise ToolInvalid(f'tool "{tool}": {error}; write a function around it') from error


def _bare(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself, under `functools.partial`, `functools.wraps` and objects with `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function):
        function = type(function).__call__
    bare: Callable[..., Any] = inspect.unwrap(function)
    return bare


def _names_around(function: Callable[..., Any]) -> dict[str, Any]:
    """What annotations that are text may name: the module's names, and the locals of the functions around
    the definition, as far as they are running. A function knows its module but not its locals.
    """
    module = getattr(function, "__globals__", {})
    known: dict[str, Any] = {}
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals is module and function.__qualname__.startswith(f"{frame.f_code.co_qualname}.<locals>."):
            known = {**frame.f_locals, **known}
        frame = frame.f_back
    return {**module, **known}


def _annotation(parameter: inspect.Parameter, tool: str, known: dict[str, Any]) -> Any:
    if parameter.annotation is inspect.Parameter.empty:
        hint = "; make a tool of a bound method by tool(object.method)" if parameter.name in ("self", "cls") else ""
        raise ToolInvalid(f'tool "{tool}": parameter "{parameter.name}" needs a type annotation{hint}')
    holder = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        return typing.get_type_hints(holder, known, include_extras=True)[parameter.name]
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise ToolInvalid(
            f'tool "{tool}": the annotation of parameter "{parameter.name}" cannot be read ({error}); its names must '
            f"exist when the tool is defined, so import them outside `if TYPE_CHECKING`"
        ) from error


def _is_context(annotation: Any) -> bool:
    return annotation is Context or typing.get_origin(annotation) is Context


def _check_kind(parameter: inspect.Parameter, tool: str) -> None:
    match parameter.kind:
        case inspect.Parameter.VAR_POSITIONAL | inspect.Parameter.VAR_KEYWORD:
            instead = "a model needs to know each argument's name: take a list or a dict"
        case inspect.Parameter.POSITIONAL_ONLY:
            instead = "arguments are given by name: remove the `/`"
        case _:
            if not parameter.name.startswith("_") and parameter.name != "model_config":
                return
            instead = "pydantic keeps such names to itself: rename it"
    raise ToolInvalid(f'tool "{tool}": parameter "{parameter}" cannot be given by a model; {instead}')


def _described(annotation: Any, text: str | None) -> Any:
    """The annotation with the docstring's text, over which a `Field(description=...)` of its own wins."""
    if text is None:
        return annotation
    described = Field(description=text)
    if typing.get_origin(annotation) is Annotated:
        return Annotated[annotation.__origin__, described, *annotation.__metadata__]
    return Annotated[annotation, described]


class _Schema(GenerateJsonSchema):
    """A default that has no JSON form is left out of the schema; it still holds."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic's own form


def _build(tool: str, fields: dict[str, Any]) -> tuple[type[BaseModel], JSON]:
    try:
        return _model(tool, fields)
    except _UNFIT as error:
        for name, (annotation, default) in fields.items():
            try:
                _model(tool, {name: (annotation, default)})
            except _UNFIT as reason:
                why = textwrap.shorten(str(reason), 240, placeholder="...")
                raise ToolInvalid(
                    f'tool "{tool}": parameter "{name}" cannot come from a model as JSON; take text, numbers, lists, '
                    f"dicts or pydantic models and get the rest from `Context.deps` ({why})"
                ) from error
        raise


_UNFIT = (PydanticUserError, SchemaError, NameError, TypeError, ValueError)
"""What pydantic raises about a type or a constraint that it cannot use."""


def _model(tool: str, fields: dict[str, Any]) -> tuple[type[BaseModel], JSON]:
    with warnings.catch_warnings():
        # A parameter may be called `json` or `schema`; values are read from __dict__, where nothing is shadowed.
        warnings.filterwarnings("ignore", "Field name .* shadows", UserWarning)
        arguments = create_model(tool, __config__=_CONFIG, **fields)
    return arguments, _untitled(arguments.model_json_schema(schema_generator=_Schema))


def _untitled(schema: JSON, *, names: bool = False) -> JSON:
    """The schema without titles, which repeat the names. `names`: its keys are names, and one may be "title"."""
    if isinstance(schema, list):
        return [_untitled(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, JSON] = {}
    for key, value in schema.items():
        if names:
            kept[key] = _untitled(value)
        elif key in ("default", "examples", "const", "enum"):
            kept[key] = value
        elif key != "title":
            kept[key] = _untitled(value, names=key in ("properties", "$defs"))
    return kept


_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns?|Yields?|Raises|Examples?|Notes?|Attributes|See Also):\s*$")
_ENTRY = re.compile(r"(\w+)\s*(?:\(.*?\))?\s*:\s*(.*)")


def read_docstring(doc: str) -> tuple[str, dict[str, str]]:
    """A Google-style docstring: what stands before the first section, and the texts of `Args:` by name."""
    description: list[str] = []
    entries: dict[str, list[str]] = {}
    section, entry, margin = "", None, 0
    for line in doc.splitlines():
        if found := _SECTION.match(line):
            section, entry = found[1], None
        elif not section:
            description.append(line)
        elif section in ("Args", "Arguments", "Parameters") and line.strip():
            indent = len(line) - len(line.lstrip())
            if entry is None:
                margin = indent
            if indent <= margin and (found := _ENTRY.match(line.strip())):
                entry = entries.setdefault(found[1], [found[2]])
            elif entry is not None:
                entry.append(line.strip())
    return "\n".join(description).strip(), {name: " ".join(texts).strip() for name, texts in entries.items()}
