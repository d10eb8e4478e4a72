"""Tools over a SQLite database that only read.

`database_tools` makes a tool of each named, parameterised query: the model chooses a query and its values, never
SQL. That is the way to prefer. `sql_tool` lets the model write SQL, over the tables you name.
"""

from __future__ import annotations

import inspect
import re
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from pydantic import Field

from agentrt.errors import ToolInvalid
from agentrt.toolbox.define import Tool, tool
from agentrt_tools.readonly import KIB, PLAIN_FUNCTIONS, Guards, ReadOnlyDatabase

_PATIENCE = 5.0
"""Seconds that a tool waits beyond its query's own limit, for a thread and for the step that is being made."""


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A query that a model may make. `parameters` says what each `:name` in `sql` is; all of them are text."""

    name: str
    description: str
    sql: str
    parameters: Mapping[str, str]


def database_tools(path: str | Path, templates: Iterable[Template], *, seconds: float = 5.0) -> tuple[Tool, ...]:
    """One tool a template; its result is a list of rows by column. Their effect is "read".

    At most 200 rows and 64 KiB come; if there were more, the last row says so in a column "(note)". A query that
    takes longer than `seconds` is stopped.

    Raises:
        ToolInvalid: The database cannot be read, or a template's SQL cannot work on it or is more than a SELECT.
    """
    database = ReadOnlyDatabase(path, Guards(seconds=seconds))
    return tuple(_template_tool(database, template, seconds) for template in templates)


def sql_tool(path: str | Path, *, tables: Collection[str], seconds: float = 2.0) -> Tool:
    """The tool `query_database(sql)`: one SELECT over these tables, as the model writes it.

    Everything that is not a SELECT is refused, and so is every other table and every function outside
    `PLAIN_FUNCTIONS`; caps as in `database_tools`. Its effect is "read".

    Raises:
        ToolInvalid: The database cannot be read, no table was named, or one that is not there.
    """
    if not tables:
        raise ToolInvalid('tool "query_database" was given no tables; name those that the model may read')
    guards = Guards(tables=frozenset(tables), functions=PLAIN_FUNCTIONS, statement=4 * KIB, seconds=seconds)
    database = ReadOnlyDatabase(path, guards)
    try:
        made = database.schema()
    except sqlite3.Error as error:
        raise ToolInvalid(f'tool "query_database": "{path}" cannot be read: {error}') from error
    missing = ", ".join(name for name in tables if name.lower() not in made)
    if missing:
        raise ToolInvalid(f'tool "query_database": "{path}" has no table {missing}')
    schema = "\n".join(made[name.lower()] for name in tables)

    def query_database(sql: Annotated[str, Field(description="One SELECT statement.")]) -> list[dict[str, Any]]:
        return database.query(sql)

    description = f"Ask a SQLite database by SQL. At most {guards.rows} rows are shown. Its tables:\n{schema}"
    return tool(query_database, description=description, effect="read", timeout=seconds + _PATIENCE)


def _template_tool(database: ReadOnlyDatabase, template: Template, seconds: float) -> Tool:
    named = set(re.findall(r"(?<![\w:]):([A-Za-z_]\w*)", template.sql))
    if named != set(template.parameters):
        raise ToolInvalid(
            f'template "{template.name}" describes the parameters {sorted(template.parameters)}, '
            f"and its SQL names {sorted(named)}; they must be the same"
        )
    try:
        database.check(template.sql, dict.fromkeys(template.parameters, ""))
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise ToolInvalid(f'template "{template.name}" cannot work on this database: {error}') from error

    def query(**values: str) -> list[dict[str, Any]]:
        return database.query(template.sql, values)

    shown = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[str, Field(description=text)])
        for name, text in template.parameters.items()
    ]
    query.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]  # in place of **values
    return tool(
        query,
        name=template.name,
        description=template.description,
        effect="read",
        timeout=seconds + _PATIENCE,
    )
