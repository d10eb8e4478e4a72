from __future__ import annotations

import re
from math import inf, nan
from typing import Any

import pytest

from agentrt.errors import SettingInvalid
from agentrt.messages import AssistantMessage, ImagePart, TextPart, ToolCall, ToolMessage, UserMessage
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


def test_a_question_may_hold_images() -> None:
    for image in (
        ImagePart(data=b"x", media_type="image/svg+xml"),
        ImagePart(url="https://x/a.png", detail="low"),
        ImagePart(url="data:image/png;base64,eA=="),
    ):
        asked = [UserMessage((TextPart("Which?"), image))]
        assert as_messages(asked, ()) == tuple(asked)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ((), "at least one, not ()"),
        ([TextPart("x")], "a text or a tuple of parts"),
        (None, "a text or a tuple of parts"),
        (("x",), "expected parts, TextPart(...) or ImagePart(...), and got 'x'"),
        ((ImagePart(),), "either data or a url; here it has neither"),
        ((ImagePart(data=b"x", media_type="image/png", url="https://x"),), "here it has both"),
        ((ImagePart(data=b"x"),), 'ImagePart(media_type=None): expected that of its data, e.g. "image/png"'),
        ((ImagePart(data=b"x", media_type="text/html"),), "media_type='text/html'): expected that of its data"),
        ((ImagePart(data=b"", media_type="image/png"),), "without a byte"),
        ((ImagePart(url="a.png"),), "url='a.png'): expected an address"),
        ((ImagePart(url="file:///etc/passwd"),), "expected an address"),
        ((ImagePart(url=""),), "expected an address"),
    ],
)
def test_an_image_that_no_provider_would_take_is_refused_where_it_enters(content: Any, says: str) -> None:
    for asked, before in (([UserMessage(content)], ()), ("How many?", [UserMessage(content)])):
        with pytest.raises(SettingInvalid, match=re.escape(says)):
            as_messages(asked, before)


@pytest.mark.parametrize("seconds", [0, -1.0, nan, inf])
def test_a_deadline_is_a_number_of_seconds_ahead(seconds: float) -> None:
    with pytest.raises(SettingInvalid, match="expected more than 0 seconds"):
        as_deadline(seconds)


def test_without_a_word_on_it_a_run_has_ten_minutes() -> None:
    assert as_deadline(None) == 600.0
    assert as_deadline(0.5) == 0.5
