"""Configuration: what a file and the environment say, as the arguments of the calls that take it.

Python is the truth. A section is a call, its keys are the call's arguments, and types, bounds and defaults are those
of the call and of the records it takes: `[runtime]` is `Runtime(...)`, `[serve]` is `serve(...)`, `[ingest]` is
`ingest(...)`, `[providers.NAME]` is `Provider(name=NAME, ...)`. Nothing is read unless somebody asks for it here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentrt.configuration.reading import Reading, Shape, near, shape_of, writable_fields
from agentrt.configuration.sources import PREFIX, Given, Table, chosen_file, from_file, overlay, spelled
from agentrt.errors import SettingInvalid
from agentrt.profiles import PROFILES
from agentrt.providers import Provider

KEY_VARIABLE = "api_key_env"
"""In a provider's table, in place of the key: the name of the variable that holds it."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What was configured; only what was given, the rest being each call's default.

    Attributes:
        runtime: For `Runtime(**configuration.runtime)`, the providers among it.
        serve: For `serve(agent, **configuration.serve)`.
        ingest: For `ingest(source, **configuration.ingest)`.
        file: What was read, if a file was.
        origins: Where each value was given: by its path, the file and the key in it, or the variable.
    """

    runtime: Mapping[str, Any] = field(default_factory=dict[str, Any])
    serve: Mapping[str, Any] = field(default_factory=dict[str, Any])
    ingest: Mapping[str, Any] = field(default_factory=dict[str, Any])
    file: Path | None = None
    origins: Mapping[tuple[str, ...], str] = field(default_factory=dict[tuple[str, ...], str])

    @classmethod
    def read(cls, file: str | Path | None = None, *, environ: Mapping[str, str] = os.environ) -> Configuration:
        """Read a file and the environment, which has the last word.

        Args:
            file: A TOML file; by default the one that AGENTRT_CONFIG names, else "agentrt.toml" of this folder, if it
                is there.
            environ: Where AGENTRT_SECTION__NAME is looked up, and the providers' keys.

        Raises:
            SettingInvalid: a file that is not there or not TOML, or settings with faults: all of them, and where each
                stands.
        """
        chosen = chosen_file(file, environ)
        tree = from_file(chosen) if chosen is not None else Table((), "")
        overlay(tree, environ)
        reading = Reading(_misspelled(environ))
        sections = {name: _section(name, node, reading, environ) for name, node in tree.entries.items()}
        if reading.faults:
            many = f"{len(reading.faults)} settings are" if len(reading.faults) > 1 else "a setting is"
            raise SettingInvalid("\n  ".join([f"{many} wrong:", *reading.faults]))
        runtime = {**sections.pop("runtime", {})}
        if "providers" in sections:
            runtime["providers"] = sections.pop("providers")
        return cls(runtime=runtime, file=chosen, origins=reading.origins, **sections)


def _misspelled(environ: Mapping[str, str]) -> list[str]:
    """Faults of variables that mean a setting and have one "_" where two belong."""
    faults: list[str] = []
    for variable in sorted(environ):
        section, _, rest = variable.removeprefix(PREFIX).lower().partition("_")
        if not variable.startswith(PREFIX) or "__" in variable or "://" in environ[variable]:  # a cluster's own names
            continue
        if section in _SHAPES and rest in _SHAPES[section]().fields:
            faults.append(f"{variable}: expected {PREFIX}{section.upper()}__{rest.upper()}, with two underscores")
    return faults


def _section(name: str, node: Given | Table, reading: Reading, environ: Mapping[str, str]) -> Any:
    if name not in SECTIONS:
        reading.fault(node, f'there is no section "{name}"{near(name, SECTIONS)}')
    elif isinstance(node, Given):
        reading.fault(node, f"expected a table, [{name}]")
    elif name == "providers":
        return _providers(node, reading, environ)
    else:
        return reading.record(_SHAPES[name](), node)
    return None


def _providers(table: Table, reading: Reading, environ: Mapping[str, str]) -> tuple[Provider, ...]:
    providers: list[Provider | None] = []
    for name, node in table.entries.items():
        if isinstance(node, Given):
            reading.fault(node, f"expected a table, [providers.{name}]")
        else:
            providers.append(_provider(name, node, reading, environ))
    return tuple(provider for provider in providers if provider is not None)


def _provider(name: str, table: Table, reading: Reading, environ: Mapping[str, str]) -> Provider | None:
    _put_key(table, reading, environ)
    for key, variable in _usual(table).items():
        if value := environ.get(variable, "").strip():
            table.entries[key] = Given((*table.path, key), variable, value, spoken=True)
    provider: Provider | None = reading.record(shape_of(Provider), table, name=name)
    return provider


def _put_key(table: Table, reading: Reading, environ: Mapping[str, str]) -> None:
    """Put the key in the place of its variable's name. A key itself comes from the environment only."""
    said, key = table.entries.pop(KEY_VARIABLE, None), table.entries.get("api_key")
    if key is not None and key.where not in environ:
        del table.entries["api_key"]
        instead = f'{KEY_VARIABLE} = "{spelled(table.path[-1])}_API_KEY"'
        reading.fault(key, f"a key does not belong in a file; write {instead}, and set that variable")
    elif said is not None and key is None:
        variable: Any = said.value if isinstance(said, Given) else None
        if not isinstance(variable, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", variable):
            reading.fault(said, 'expected the name of a variable, such as "OPENAI_API_KEY"')  # and not the key itself
        elif not environ.get(variable, "").strip():
            reading.fault(said, f"the variable {variable} is to have the key, and is not set")
        else:
            path, where = (*table.path, "api_key"), f"{said.where}, {variable}"
            table.entries["api_key"] = Given(path, where, environ[variable].strip(), spoken=True)


def _usual(table: Table) -> dict[str, str]:
    """The variables in which what nobody said of a provider usually stands; `providers.find` looks there, too.

    They are read here so that it can be shown where a key came from.
    """
    name, profile = table.path[-1], table.entries.get("profile")
    named = name if profile is None else profile.value if isinstance(profile, Given) else None
    known = PROFILES.get(named) if isinstance(named, str) else None
    addressed = "base_url" in table.entries
    usual: dict[str, str] = {}
    if known is not None and known.base_url_env and not addressed:
        usual["base_url"] = known.base_url_env
    # A key goes to no address of another's: that takes `api_key_env`.
    its_own = not addressed or name == named or (known is not None and known.base_url is None)
    if known is not None and known.key_env and "api_key" not in table.entries and its_own:
        usual["api_key"] = known.key_env
    return usual


def _runtime_shape() -> Shape:
    from agentrt.runtime import Runtime  # noqa: PLC0415 - slow, and not every section needs it

    def make(**options: Any) -> dict[str, Any]:
        Runtime(**options)  # it says what is wrong with them, and nothing lives before it is entered
        return options

    return _shape_of_call(Runtime.__init__, make, without={"environ"})


def _serve_shape() -> Shape:
    from agentrt.server.listen import ServeOptions  # noqa: PLC0415 - slow: websockets

    return _shape_of_call(ServeOptions, dict[str, Any], without={"journal"})  # that is the Runtime's


def _ingest_shape() -> Shape:
    from agentrt.ingesting import ingest  # noqa: PLC0415 - slow: who chats loads no pipeline

    return _shape_of_call(ingest, dict[str, Any], without={"source"})


def _shape_of_call(call: Any, make: Callable[..., Any], *, without: set[str]) -> Shape:
    fields = writable_fields(call)
    return Shape({name: hint for name, hint in fields.items() if name not in without | {"return"}}, make)


_SHAPES: Mapping[str, Callable[[], Shape]] = {
    "runtime": _runtime_shape,
    "serve": _serve_shape,
    "ingest": _ingest_shape,
}
SECTIONS = {*_SHAPES, "providers"}
