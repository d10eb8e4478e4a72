"""Arguments are an object or they are not."""

from __future__ import annotations

import pytest

from agentrt.model.arguments import is_object


@pytest.mark.parametrize(
    "text", ["{}", ' {"a": [1, {"b": null}]} ', '{"a": "Grüße"}', '{"a":' + "[" * 50 + "]" * 50 + "}"]
)
def test_one_json_object_is_an_object(text: str) -> None:
    assert is_object(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "null",
        "[]",
        "1",
        '"{}"',
        "{",
        '{"a": oops}',
        "{}{}",
        "{} x",
        '{"a": "\ud800"}',
        '{"a": "\\ud800"}',
        "{'a': 1}",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert not is_object(text)


def test_what_is_too_deep_to_be_read_is_none() -> None:
    assert not is_object('{"a":' + "[" * 100_000 + "]" * 100_000 + "}")
