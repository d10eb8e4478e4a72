from __future__ import annotations

import re
from math import inf, nan
from typing import Any

import pytest

from agentrt.errors import SettingInvalid
from agentrt.messages import AssistantMessage, ToolCall, ToolMessage, UserMessage
from agentrt.runs.asked import as_deadline, as_messages

CALLED = AssistantMessage("", (ToolCall("a", "stock"), ToolCall("b", "stock")))
RESULTS = (ToolMessage("b", "stock", "0"), ToolMessage("a", "stock", "3"))


def test_a_question_comes_behind_what_was_said_before() -> None:
    before = (UserMessage("Hello."), CALLED, *RESULTS, AssistantMessage("Hello."))
    assert as_messages("How many?", before) == (*before, UserMessage("How many?"))
    assert as_messages([UserMessage("How many?")], ()) == (UserMessage("How many?"),)


@pytest.mark.parametrize(
    ("input", "before", "says"),
    [
        ("", (), "input is empty"),
        ([], (), "input is empty"),
        (None, (), "input=None: expected a sequence of messages"),
        ({"role": "user"}, (), "expected a sequence of messages"),
        (["How many?"], (), "got 'How many?'"),
        ("How many?", "Hello.", "messages='Hello.': expected a sequence"),
        ("How many?", [CALLED], "without a ToolMessage behind them: a, b"),
        ("How many?", [CALLED, RESULTS[0]], "behind them: a"),
        ("How many?", [RESULTS[0]], 'answers "b"'),
        ([CALLED, RESULTS[0], RESULTS[0], RESULTS[1]], (), 'answers "b"'),
    ],
)
def test_what_no_provider_would_take_is_refused_where_it_enters(input: Any, before: Any, says: str) -> None:
    with pytest.raises(SettingInvalid, match=re.escape(says)):
        as_messages(input, before)


@pytest.mark.parametrize("seconds", [0, -1.0, nan, inf])
def test_a_deadline_is_a_number_of_seconds_ahead(seconds: float) -> None:
    with pytest.raises(SettingInvalid, match="expected more than 0 seconds"):
        as_deadline(seconds)


def test_without_a_word_on_it_a_run_has_ten_minutes() -> None:
    assert as_deadline(None) == 600.0
    assert as_deadline(0.5) == 0.5
