"""`agentrt config`: what is configured, and where each value comes from."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Generator, Mapping
from typing import Any

import msgspec

from agentrt.cli.printing import on_one_line, print_lines
from agentrt.configuration.config import Configuration
from agentrt.configuration.sources import FILE, dotted
from agentrt.providers import Provider

HIDDEN = "***"
DEFAULT = "default"


def config(arguments: argparse.Namespace) -> int:
    """Print what is in force; returns the exit code."""
    print_lines(shown(Configuration.read(arguments.config)))
    return 0


def shown(configuration: Configuration) -> Generator[str]:
    """A line for each value, as TOML, and where it was given."""
    yield f"# {configuration.file or f'no file: neither --config nor AGENTRT_CONFIG names one, nor is {FILE} here'}"
    values: dict[tuple[str, ...], str] = {}
    for provider in configuration.runtime.get("providers", ()):
        _collect(values, ("providers", provider.name), provider)
    for section in ("runtime", "serve", "ingest"):
        for key, value in getattr(configuration, section).items():
            if key != "providers":
                _collect(values, (section, key), value)
    for path, text in values.items():
        origin = configuration.origins.get(path, DEFAULT).removesuffix(f": {dotted(path)}")
        yield on_one_line(f"{dotted(path)} = {text} # {origin}")
    if not values:
        yield "# nothing is configured: all is as by default"


def _collect(values: dict[tuple[str, ...], str], path: tuple[str, ...], value: Any) -> None:
    """Put a value there, or, of a record or mapping, those that it has. None is what was left out."""
    if isinstance(value, Mapping):
        inner: Mapping[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        for key, each in inner.items():
            _collect(values, (*path, key), each)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            each = getattr(value, field.name)
            if not field.repr and isinstance(each, Mapping):
                values.update(((*path, field.name, name), HIDDEN) for name in each)  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
            elif not field.repr and each is not None:
                values[*path, field.name] = HIDDEN
            elif not (isinstance(value, Provider) and field.name == "name"):
                _collect(values, (*path, field.name), each)
    elif isinstance(value, msgspec.Struct):
        _collect(values, path, {name: getattr(value, name) for name in value.__struct_fields__})
    elif value is not None:
        values[path] = _as_toml(value)


def _as_toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=sorted)  # what JSON does not know is a set
