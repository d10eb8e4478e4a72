"""Statements from a hostile model: none changes anything, none takes more than its share."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agentrt.errors import ToolError
from agentrt_tools.readonly import KIB, PLAIN_FUNCTIONS, Guards, ReadOnlyDatabase

FREE = Guards(tables=frozenset({"goods", "cheap"}), functions=PLAIN_FUNCTIONS, statement=4 * KIB, seconds=0.3)

# Refused before anything is run. {other} is a path in the database's folder.
FORBIDDEN = """
    INSERT INTO goods VALUES (9, 'x', 1)
    REPLACE INTO goods VALUES (1, 'x', 1)
    UPDATE goods SET price = 0
    DELETE FROM goods
    DROP TABLE goods
    DROP INDEX goods_by_name
    ALTER TABLE goods RENAME TO bads
    ALTER TABLE goods ADD COLUMN x
    CREATE TABLE x (y)
    CREATE TEMP TABLE x (y)
    CREATE TABLE x AS SELECT * FROM goods
    CREATE VIEW x AS SELECT 1
    CREATE TEMP VIEW x AS SELECT 1
    CREATE INDEX x ON goods (price)
    CREATE TRIGGER x AFTER INSERT ON goods BEGIN SELECT 1; END
    CREATE TEMP TRIGGER x AFTER INSERT ON goods BEGIN SELECT 1; END
    CREATE VIRTUAL TABLE x USING fts5 (y)
    WITH x AS (SELECT 1) DELETE FROM goods
    DELETE FROM goods RETURNING *
    UPDATE goods SET price = 0 RETURNING *
    INSERT INTO goods SELECT * FROM goods
    ATTACH DATABASE '{other}' AS x
    ATTACH ':memory:' AS x
    DETACH DATABASE main
    VACUUM
    VACUUM INTO '{other}'
    REINDEX
    ANALYZE
    PRAGMA writable_schema = ON
    PRAGMA query_only = OFF
    PRAGMA journal_mode = WAL
    PRAGMA user_version = 7
    PRAGMA temp_store_directory = '/'
    PRAGMA table_info(goods)
    BEGIN
    BEGIN IMMEDIATE
    COMMIT
    ROLLBACK
    SAVEPOINT x
    RELEASE x
    SELECT 1; DROP TABLE goods
    SELECT * FROM secrets
    SELECT * FROM cheap_secrets
    SELECT count(*) FROM SECRETS
    SELECT count(*) FROM main."secrets" AS goods
    SELECT count(*) FROM sqlite_master
    SELECT count(*) FROM pragma_table_info('secrets')
    WITH cheap AS (SELECT * FROM secrets) SELECT * FROM cheap
    WITH cheap AS (SELECT 1 FROM secrets) SELECT count(*) FROM cheap
    SELECT count(*) FROM secrets
    SELECT name FROM goods UNION SELECT password FROM secrets
    SELECT (SELECT password FROM secrets) FROM goods
    SELECT * FROM goods JOIN secrets
    WITH goods AS (SELECT * FROM secrets) SELECT * FROM goods
    SELECT * FROM goods WHERE name IN secrets
    SELECT EXISTS (SELECT * FROM secrets WHERE password LIKE 'a%')
    SELECT sql FROM sqlite_master
    SELECT sql FROM sqlite_schema
    SELECT * FROM sqlite_temp_master
    SELECT * FROM pragma_table_info('secrets')
    SELECT * FROM pragma_database_list
    SELECT * FROM json_each('[1, 2]')
    SELECT * FROM dbstat
    SELECT load_extension('x')
    SELECT readfile('/etc/passwd')
    SELECT writefile('{other}', 'x')
    SELECT randomblob(1000000)
    SELECT zeroblob(1000000)
    SELECT printf('%.*c', 1000000, 'x')
    SELECT format('%1000000d', 1)
    SELECT hex(name) FROM goods
    SELECT replace('aaa', 'a', 'bbbbbb')
    SELECT instr(name, name) FROM goods
    SELECT trim(name, name) FROM goods
    SELECT fts5(1)
    SELECT sqlite_version()
    SELECT last_insert_rowid()
    SELECT name FROM goods ORDER BY random()
    EXPLAIN DROP TABLE goods
    nonsense
    SELECT ?1000
    SELECT :unknown
"""

SWELL = "WITH RECURSIVE s(x) AS (SELECT 'aaaaaaaaaaaaaaaa' UNION ALL SELECT x || x FROM s LIMIT {count})"
COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n{limit})"

# Allowed to begin, and ended by the clock, by a limit or by a cap.
GREEDY = [
    f"{COUNT.format(limit='')} SELECT i FROM n",
    f"{COUNT.format(limit='')} SELECT count(*) FROM n",
    f"{COUNT.format(limit='')} SELECT i FROM n ORDER BY i DESC",
    f"{COUNT.format(limit='')} SELECT group_concat(i) FROM n",
    f"{COUNT.format(limit='')} SELECT DISTINCT i FROM n WHERE i < 0",
    f"{COUNT.format(limit=' LIMIT 100000000')} SELECT sum(a.i * b.i) FROM n a, n b",
    "SELECT count(*) FROM " + ", ".join(f"goods g{number}" for number in range(12)),
    "SELECT * FROM goods a, goods b, goods c, goods d, goods e ORDER BY a.name || b.name || c.name || d.name",
    f"{SWELL.format(count=12)} SELECT x FROM s",
    f"{SWELL.format(count=60)} SELECT length(x) FROM s",
    f"{SWELL.format(count=12)} SELECT a.x FROM s a, s b, s c, s d, s e, s f ORDER BY a.x || b.x",
    f"{SWELL.format(count=12)}, {COUNT.format(limit='')[15:]} SELECT max(x || i) FROM s, n GROUP BY x || i",
    "SELECT name LIKE '" + "%a" * 300 + "' FROM goods",
    f"{SWELL.format(count=12)} SELECT count(*) FROM s a, s b, s c, s d, s e, s f WHERE a.x LIKE '{'%a' * 24}%b'",
    "SELECT " + "(" * 200 + "1" + ")" * 200,
    "SELECT 1" + " + 1" * 900,
    "SELECT " + ", ".join(["name"] * 500) + " FROM goods",
    " UNION ALL ".join(["SELECT 1"] * 100),
    "SELECT '" + "x" * 10_000 + "'",
]


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "shop #1?.db"
    database = sqlite3.connect(path)
    database.executescript("""
        CREATE TABLE goods (id INTEGER PRIMARY KEY, name TEXT, price REAL);
        CREATE INDEX goods_by_name ON goods (name);
        CREATE TABLE secrets (password TEXT);
        CREATE VIEW cheap AS SELECT * FROM goods WHERE price < 10;
        CREATE VIEW cheap_secrets AS SELECT * FROM secrets;
        INSERT INTO secrets VALUES ('abracadabra');
        CREATE TABLE texts (body TEXT);
        INSERT INTO texts VALUES (CAST(x'ff41' AS TEXT));
    """)
    database.executemany("INSERT INTO goods VALUES (?, ?, ?)", [(n, f"ware {n}", n * 1.5) for n in range(300)])
    database.commit()
    database.close()
    yield path
    assert sorted(tmp_path.iterdir()) == [path], "nothing but the database is in its folder"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("statement", FORBIDDEN.strip().splitlines())
def test_a_forbidden_statement_is_refused_and_changes_nothing(path: Path, statement: str) -> None:
    before = digest(path)
    sql = statement.strip().format(other=path.with_name("other.db"))
    with pytest.raises(ToolError) as caught:
        ReadOnlyDatabase(path, FREE).query(sql)
    assert caught.value.code == "query_refused"
    assert "abracadabra" not in str(caught.value)
    assert digest(path) == before


@pytest.mark.parametrize("number", range(len(GREEDY)))
def test_a_greedy_statement_is_ended_in_work_and_size(path: Path, number: int) -> None:
    before = digest(path)
    began = time.thread_time()
    try:
        rows = ReadOnlyDatabase(path, FREE).query(GREEDY[number])
    except ToolError as error:
        assert error.code in {"query_refused", "query_timeout"}  # noqa: PT017 - either end is right
    else:
        assert len(rows) <= 200
        assert len(msgspec.json.encode(rows)) <= 64 * KIB
    assert time.thread_time() - began < FREE.seconds + 1, "of CPU: a busy machine is not the statement's fault"
    assert digest(path) == before


def test_there_are_enough_hostile_statements() -> None:
    assert len(FORBIDDEN.strip().splitlines()) + len(GREEDY) >= 90


def test_greedy_statements_do_not_swell_the_process(path: Path) -> None:
    program = """
import resource, sys
from agentrt_tools.readonly import *
guards = msgspec.convert(msgspec.json.decode(sys.argv[2]), Guards)
database = ReadOnlyDatabase(sys.argv[1], guards)
database.query("SELECT 1")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for sql in msgspec.json.decode(sys.argv[3]):
    try:
        database.query(sql)
    except ToolError:
        pass
unit = 1 if sys.platform == "darwin" else KIB  # of ru_maxrss, in bytes
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit // KIB**2)
"""
    arguments = [str(path), msgspec.json.encode(FREE).decode(), msgspec.json.encode(GREEDY).decode()]
    command = [sys.executable, "-c", program, *arguments]
    environment = {"PYTHONPATH": ":".join(entry for entry in sys.path if entry)}
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert int(ended.stdout) < 64, "MiB"


def test_what_is_allowed_works(path: Path) -> None:
    database = ReadOnlyDatabase(path, FREE)

    assert database.query("SELECT name, price FROM goods WHERE id = 2") == [{"name": "ware 2", "price": 3.0}]
    assert database.query("SELECT count(*) AS n FROM cheap") == [{"n": 7}]
    assert database.query("WITH t AS (SELECT upper(name) AS u FROM goods) SELECT u FROM t LIMIT 1") == [{"u": "WARE 0"}]
    assert database.query("SELECT id FROM goods WHERE name LIKE '%e 17' AND name GLOB 'w*'") == [{"id": 17}]
    assert database.query(f"{COUNT.format(limit=' LIMIT 3')} SELECT sum(i) AS s FROM n") == [{"s": 6}]
    assert database.query("SELECT rank() OVER (ORDER BY price DESC) AS r FROM goods WHERE id < 2") == [
        {"r": 1},
        {"r": 2},
    ]


def test_columns_of_one_name_are_all_there(path: Path) -> None:
    database = ReadOnlyDatabase(path, FREE)

    assert database.query("SELECT a.id, b.id, a.id FROM goods a JOIN goods b ON b.id = a.id + 1 LIMIT 1") == [
        {"id": 0, "id (2)": 1, "id (3)": 0}
    ]
    assert database.query('SELECT 1 AS "x (2)", 2 AS x, 3 AS x') == [{"x (2)": 1, "x": 2, "x (3)": 3}]


def test_values_are_values_and_never_sql(path: Path) -> None:
    database = ReadOnlyDatabase(path, FREE)
    sql = "SELECT id FROM goods WHERE name = :name"

    assert database.query(sql, {"name": "ware 3"}) == [{"id": 3}]
    assert database.query(sql, {"name": "' OR 1 = 1; DROP TABLE goods; --"}) == []
    with pytest.raises(ToolError, match="too big"):
        database.query(sql, {"name": "x" * 100_000})


def test_a_result_that_was_cut_says_so_in_its_last_row(path: Path) -> None:
    rows = ReadOnlyDatabase(path, FREE).query("SELECT id FROM goods ORDER BY id")

    assert [row["id"] for row in rows] == list(range(200))
    assert rows[-1]["(note)"] == "cut here after 200 rows: at most 200 rows and 65536 bytes are shown; ask for less"
    assert not any("(note)" in row for row in rows[:-1])
    assert "(note)" not in ReadOnlyDatabase(path, FREE).query("SELECT id FROM goods LIMIT 200")[-1]


def test_a_result_that_is_too_large_is_cut_in_bytes(path: Path) -> None:
    small = Guards(tables=FREE.tables, size=1000)
    rows = ReadOnlyDatabase(path, small).query("SELECT name, price FROM goods ORDER BY id")

    assert len(msgspec.json.encode(rows)) <= 1000
    assert "at most 200 rows and 1000 bytes" in rows[-1]["(note)"]
    assert list(ReadOnlyDatabase(path, Guards(size=210)).query("SELECT name FROM goods")[0]) == ["(note)"]


def test_text_that_is_not_utf_8_is_shown_all_the_same(path: Path) -> None:
    assert ReadOnlyDatabase(path, Guards()).query("SELECT body FROM texts") == [{"body": "\ufffdA"}]


def test_a_query_that_was_stopped_says_why(path: Path) -> None:
    with pytest.raises(ToolError, match=r"took longer than 0.3 s and was stopped") as caught:
        ReadOnlyDatabase(path, FREE).query(f"{COUNT.format(limit='')} SELECT count(*) FROM n")
    assert caught.value.code == "query_timeout"
