"""What a file and the environment say, as one tree; every leaf knows who said it."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from agentrt.errors import SettingInvalid

FILE = "agentrt.toml"
"""What is read where no other file is named."""

LARGEST = 1_000_000
"""Bytes of a file that are read at most; settings are a few thousand."""

PREFIX = "AGENTRT_"
FILE_VARIABLE = f"{PREFIX}CONFIG"
_NESTED = "__"


@dataclass(frozen=True)
class Given:
    """A value that somebody gave.

    Attributes:
        path: Its keys, from the root on.
        where: The file and the key in it, or the variable, for people.
        spoken: It is text of the environment, whose type is that of the setting.
    """

    path: tuple[str, ...]
    where: str
    value: Any
    spoken: bool = False


@dataclass(frozen=True)
class Table:
    """Settings by name; `where` the first of them was given."""

    path: tuple[str, ...]
    where: str
    entries: dict[str, Node] = field(default_factory=dict[str, "Node"])


Node: TypeAlias = Given | Table


def chosen_file(file: str | Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file that is named, by argument or environment; or that of the usual name in this folder, if there is one.

    Raises:
        SettingInvalid: one is named and is not there.
    """
    if named := environ.get(FILE_VARIABLE) if file is None else file:
        path = _expanded(named)
        if path is None or not path.is_file():
            by = f", which {FILE_VARIABLE} names" if file is None else ""
            raise SettingInvalid(f'there is no file "{named}"{by}')
        return path
    return Path(FILE) if Path(FILE).is_file() else None


def _expanded(named: str | Path) -> Path | None:
    try:
        return Path(named).expanduser()
    except RuntimeError:  # "~somebody", who has no home here
        return None


def from_file(file: Path) -> Table:
    """The tree that a TOML file holds.

    Raises:
        SettingInvalid: it cannot be read, or is not TOML.
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(LARGEST + 1)
        if len(text) > LARGEST:
            raise SettingInvalid(f"{file} is too large: at most {LARGEST:,} bytes are read")
        # Editors on Windows begin a file with a mark of its encoding.
        return _table(tomllib.loads(text.decode("utf-8-sig").replace("\r\n", "\n")), (), f"{file}: ")
    except OSError as error:
        raise SettingInvalid(f"{file} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # no UTF-8, or no TOML; the latter says the line
        raise SettingInvalid(f"{file} is not TOML: {error}") from error
    except RecursionError:
        raise SettingInvalid(f"{file} is nested too deep") from None


def _table(content: Mapping[str, Any], path: tuple[str, ...], prefix: str, *, one_place: bool = False) -> Table:
    """A mapping as a tree. All of it stands at `prefix` where that is one place, else behind it, each at its key."""
    entries: dict[str, Node] = {}
    for key, value in content.items():
        below = (*path, key)
        if isinstance(value, dict):
            entries[key] = _table(value, below, prefix, one_place=one_place)  # pyright: ignore[reportUnknownArgumentType]
        else:
            entries[key] = Given(below, prefix if one_place else prefix + dotted(below), value)
    return Table(path, prefix if one_place else (prefix + dotted(path)).removesuffix(": "), entries)


def dotted(path: tuple[str, ...]) -> str:
    """A path as TOML writes it."""
    return ".".join(
        key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False) for key in path
    )


def overlay(tree: Table, environ: Mapping[str, str]) -> None:
    """Let the environment have the last word: every variable AGENTRT_SECTION__NAME that is not empty.

    A segment means the key that is already there and is spelled so, "MY_VLLM" being also "my-vllm"; else itself in
    lower case. A value in brackets or braces is a list or table of TOML.
    """
    for variable in sorted(environ):  # a table's own variable comes before those of what is in it
        path = variable.removeprefix(PREFIX).split(_NESTED)
        if variable.startswith(PREFIX) and len(path) > 1 and environ[variable]:
            _put(tree, path, variable, environ[variable])


def _put(tree: Table, path: list[str], variable: str, text: str) -> None:
    table = tree
    for segment in path[:-1]:
        key = _key(table, segment)
        below = table.entries.get(key)
        if not isinstance(below, Table):
            below = table.entries[key] = Table((*table.path, key), variable)
        table = below
    key = _key(table, path[-1])
    at = (*table.path, key)
    value = _structured(text)
    if isinstance(value, dict):
        table.entries[key] = _table(value, at, variable, one_place=True)  # pyright: ignore[reportUnknownArgumentType]
    else:
        table.entries[key] = Given(at, variable, text.strip() if value is None else value, spoken=value is None)


def _key(table: Table, segment: str) -> str:
    same = (key for key in table.entries if spelled(key) == segment.upper())
    return next(same, segment.lower())


def spelled(key: str) -> str:
    """A key as a variable's name has it."""
    return re.sub(r"[^A-Z0-9]", "_", key.upper())


def _structured(text: str) -> Any:
    """A list or table that the text is, else None."""
    if not text.lstrip().startswith(("[", "{")):
        return None
    try:
        content = tomllib.loads(f"value = {text}")
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    return content["value"] if len(content) == 1 else None
