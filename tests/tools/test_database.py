from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentrt.errors import ToolInvalid
from agentrt.toolbox.call import Caller
from agentrt.toolbox.context import Context
from agentrt.toolbox.define import Tool
from agentrt.toolbox.outcome import ToolOutcome
from agentrt_tools.database import Template, database_tools, sql_tool

PRICE = Template(
    name="price",
    description="What an article costs.",
    sql="SELECT name, price FROM goods WHERE name = lower(:name)",
    parameters={"name": "Name of an article, e.g. apple."},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    database = sqlite3.connect(path)
    database.executescript("""
        CREATE TABLE goods (name TEXT PRIMARY KEY, price REAL NOT NULL);
        CREATE TABLE secrets (password TEXT);
        INSERT INTO goods VALUES ('apple', 1.5), ('pear', 2);
    """)
    database.close()
    return path


def called(tool: Tool, **arguments: Any) -> ToolOutcome:
    async def main() -> ToolOutcome:
        caller = Caller()
        outcome = await caller.call(tool, msgspec.json.encode(arguments).decode(), Context[object](None))
        caller.close()
        return outcome

    return asyncio.run(main())


def test_a_template_becomes_a_typed_reading_tool(path: Path) -> None:
    (tool,) = database_tools(path, [PRICE])

    assert (tool.name, tool.description, tool.effect) == ("price", "What an article costs.", "read")
    assert tool.run_in == "thread"
    assert msgspec.json.decode(tool.spec.parameters) == {
        "type": "object",
        "properties": {"name": {"type": "string", "description": "Name of an article, e.g. apple."}},
        "required": ["name"],
        "additionalProperties": False,
    }


def test_the_model_gets_rows_by_column(path: Path) -> None:
    (tool,) = database_tools(path, [PRICE])

    assert called(tool, name="APPLE").content == '[{"name":"apple","price":1.5}]'
    assert called(tool, name="zebra").content == "[]"
    assert called(tool, name="' OR 1 = 1 --").content == "[]"
    assert called(tool, name=7).code == "arguments_invalid"
    assert called(tool, other="apple").code == "arguments_invalid"


def test_a_template_without_parameters_is_a_tool_without_arguments(path: Path) -> None:
    (tool,) = database_tools(
        path, [Template(name="all", description="All.", sql="SELECT name FROM goods", parameters={})]
    )
    assert called(tool).content == '[{"name":"apple"},{"name":"pear"}]'


@pytest.mark.parametrize(
    ("sql", "parameters", "told"),
    [
        ("SELECT * FROM absent", {}, "no such table: absent"),
        ("SELECT nonsense(", {}, "incomplete input"),
        ("DELETE FROM goods", {}, "not authorized"),
        ("PRAGMA user_version", {}, "not authorized"),
        ("SELECT 1; SELECT 2", {}, "one statement"),
        ("SELECT :a", {}, r"describes the parameters \[\], and its SQL names \['a'\]"),
        ("SELECT 1", {"a": "what"}, r"describes the parameters \['a'\], and its SQL names \[\]"),
    ],
)
def test_a_template_that_cannot_work_is_refused_at_once(
    path: Path, sql: str, parameters: dict[str, str], told: str
) -> None:
    with pytest.raises(ToolInvalid, match=told):
        database_tools(path, [Template(name="bad", description="", sql=sql, parameters=parameters)])


def test_a_database_that_is_not_there_is_refused_and_not_created(tmp_path: Path) -> None:
    for make in (lambda p: database_tools(p, [PRICE]), lambda p: sql_tool(p, tables=["goods"])):
        with pytest.raises(ToolInvalid, match="unable to open database file"):
            make(tmp_path / "absent.db")
    assert list(tmp_path.iterdir()) == []


def test_a_query_that_never_ends_is_stopped_and_says_so(path: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    (tool,) = database_tools(path, [Template(name="n", description="", sql=endless, parameters={})], seconds=0.1)
    outcome = called(tool)

    assert (outcome.status, outcome.code) == ("error", "query_timeout")
    assert outcome.content == "the query took longer than 0.1 s and was stopped; ask for less"


def test_free_sql_shows_the_model_its_tables_and_no_other(path: Path) -> None:
    tool = sql_tool(path, tables=["goods"])

    assert (tool.name, tool.effect) == ("query_database", "read")
    assert "CREATE TABLE goods (name TEXT PRIMARY KEY, price REAL NOT NULL)" in tool.description
    assert "secrets" not in tool.description
    assert called(tool, sql="SELECT max(price) AS most FROM goods").content == '[{"most":2.0}]'
    for hostile in ("SELECT * FROM secrets", "DROP TABLE goods", "SELECT randomblob(9)"):
        assert called(tool, sql=hostile).code == "query_refused"


def test_free_sql_needs_tables(path: Path) -> None:
    with pytest.raises(ToolInvalid, match="name those that the model may read"):
        sql_tool(path, tables=[])
    with pytest.raises(ToolInvalid, match="has no table nothing"):
        sql_tool(path, tables=["goods", "nothing"])
