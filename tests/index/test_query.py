from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.index.query import match_expression


@pytest.mark.parametrize(
    ("question", "expression"),
    [
        ("How are leases renewed?", '"leases" OR "renewed"'),
        ("lease lease LEASE", '"lease"'),
        ("how does `with` work?", '"with" OR "work" OR title : "with"'),
        ("how does the with statement work?", '"statement" OR "work" OR title : "with"'),
        ('what is "the end"?', '"the" OR "end" OR title : "the" OR title : "end"'),
        ("is `None` a type?", '"none" OR "type" OR title : "none"'),
        ("asyncio.TaskGroup's __aexit__", '"asyncio" OR "taskgroup" OR "aexit"'),
        ("to be or not to be", 'title : "not"'),
        ("who are you?", '"who" OR "are" OR "you"'),
        ("", None),
        ("?!… ---", None),
    ],
)
def test_a_question_is_searched_by_its_words(question: str, expression: str | None) -> None:
    assert match_expression(question) == expression


HOSTILE = [
    '"',
    '""" OR',
    "title:x",
    "a NEAR b",
    "NOT",
    "AND OR NOT",
    "(",
    "a*",
    "^a",
    "{title text}: x",
    "-a",
    "'; --",
    "\x00a",
]


@given(st.one_of(st.text(), st.sampled_from(HOSTILE), st.text(alphabet='"`“”ab (){}:*^-+NOTANDR\x00')))
def test_every_text_is_a_valid_query(question: str) -> None:
    expression = match_expression(question)
    database = sqlite3.connect(":memory:")
    try:
        database.execute("CREATE VIRTUAL TABLE passages USING fts5 (title, text)")
        if expression is not None:
            database.execute("SELECT * FROM passages WHERE passages MATCH ?", (expression,)).fetchall()
    finally:
        database.close()


def test_a_very_long_question_is_searched_by_its_first_words() -> None:
    expression = match_expression(" ".join(f"word{number}" for number in range(10_000)))
    assert expression is not None
    assert expression.count(" OR ") == 47
