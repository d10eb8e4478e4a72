"""What providers write into their headers, and what is read there; each example is in a provider's manner."""

from __future__ import annotations

from math import isfinite

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentrt.gate.headers import Allowance, read_limits, seconds_until

WALL = 1_763_800_000.0
"""2025-11-22T08:26:40Z."""

NAMES = [
    f"{family}{part}{kind}"
    for family in ("x-ratelimit-", "ratelimit-")
    for part in ("limit", "remaining", "reset")
    for kind in ("", "-requests", "-tokens")
] + [
    f"anthropic-ratelimit-{kind}-{part}"
    for kind in ("requests", "tokens", "input-tokens", "output-tokens")
    for part in ("limit", "remaining", "reset")
] + ["ratelimit", "ratelimit-policy", "retry-after"]  # fmt: skip


def test_openai_tells_of_requests_and_tokens() -> None:
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-reset-tokens": "6m0s",
    }
    assert read_limits(headers, WALL) == {
        "requests": Allowance(60, 59, 1.0),
        "tokens": Allowance(150_000, 149_984, 360.0),
    }


def test_groq_tells_fractions_of_seconds() -> None:
    headers = {"x-ratelimit-remaining-tokens": "17997", "x-ratelimit-reset-tokens": "7.66s"}
    assert read_limits(headers, WALL) == {"tokens": Allowance(None, 17_997, 7.66)}


def test_openrouter_tells_the_moment_of_the_reset_in_milliseconds() -> None:
    headers = {
        "x-ratelimit-limit": "20",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": str(int((WALL + 30) * 1000)),
    }
    assert read_limits(headers, WALL) == {"requests": Allowance(20, 0, 30.0)}


def test_anthropic_tells_the_moment_of_the_reset_as_a_date() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2025-11-22T08:26:41Z",
        "anthropic-ratelimit-tokens-limit": "38000",
        "anthropic-ratelimit-tokens-remaining": "38000",
        "anthropic-ratelimit-tokens-reset": "2025-11-22T08:26:40Z",
    }
    assert read_limits(headers, WALL) == {
        "requests": Allowance(50, 49, 1.0),
        "tokens": Allowance(38_000, 38_000, 0.0),
    }


ANTHROPIC_SIDES = {
    "anthropic-ratelimit-input-tokens-limit": "30000",
    "anthropic-ratelimit-input-tokens-remaining": "20000",
    "anthropic-ratelimit-input-tokens-reset": "2025-11-22T08:27:00Z",
    "anthropic-ratelimit-output-tokens-limit": "8000",
    "anthropic-ratelimit-output-tokens-remaining": "7000",
    "anthropic-ratelimit-output-tokens-reset": "2025-11-22T08:26:50Z",
}


def test_anthropics_input_and_output_are_added_up() -> None:
    assert read_limits(ANTHROPIC_SIDES, WALL) == {"tokens": Allowance(38_000, 27_000, 20.0)}


def test_where_one_of_anthropics_sides_is_used_up_nothing_remains_until_it_is_back() -> None:
    headers = ANTHROPIC_SIDES | {"anthropic-ratelimit-output-tokens-remaining": "0"}
    assert read_limits(headers, WALL) == {"tokens": Allowance(38_000, 0, 10.0)}
    headers |= {"anthropic-ratelimit-tokens-limit": "40000", "anthropic-ratelimit-tokens-remaining": "27000"}
    assert read_limits(headers, WALL) == {"tokens": Allowance(40_000, 0, 10.0)}


def test_of_one_side_alone_no_sum_is_made() -> None:
    headers = {name: value for name, value in ANTHROPIC_SIDES.items() if "input" in name}
    assert read_limits(headers, WALL) == {}
    headers |= {"anthropic-ratelimit-output-tokens-remaining": "9"}
    assert read_limits(headers, WALL) == {"tokens": Allowance(None, 20_009, 20.0)}


@pytest.mark.parametrize(
    "headers",
    [
        {"ratelimit": '"default";r=50;t=30', "ratelimit-policy": '"default";q=100;w=60'},
        {"ratelimit": "default; r=50; t=30", "ratelimit-policy": "burst;q=9;w=1, default; q=100; w=60"},
        {"ratelimit": "limit=100, remaining=50, reset=30", "ratelimit-policy": "100;w=60"},
        {"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "50", "ratelimit-reset": "30"},
        {"ratelimit-limit": "100, 9;w=1, 100;w=60", "ratelimit-remaining": "50", "ratelimit-reset": "30"},
    ],
)
def test_every_draft_of_the_standard_is_read(headers: dict[str, str]) -> None:
    assert read_limits(headers, WALL) == {"requests": Allowance(100, 50, 30, 60)}


def test_of_several_limits_the_one_with_the_least_left_counts() -> None:
    headers = {"ratelimit": '"day";r=900;t=4000, "second";r=2;t=1', "ratelimit-policy": '"second";q=5;w=1'}
    assert read_limits(headers, WALL) == {"requests": Allowance(5, 2, 1, 1)}


def test_a_limit_of_something_else_than_requests_is_passed_over() -> None:
    headers = {"ratelimit": '"bytes";r=0;t=30', "ratelimit-policy": '"bytes";q=1000;w=60;qu="content-bytes"'}
    assert read_limits(headers, WALL) == {}


def test_where_two_families_speak_the_more_exact_one_is_heard() -> None:
    headers = {"x-ratelimit-limit": "5", "x-ratelimit-limit-requests": "60"}
    assert read_limits(headers, WALL) == {"requests": Allowance(60)}


@pytest.mark.parametrize("said", ["", "-1", "1e300", "inf", "nan", "unlimited", "1,000", "0x10", "9" * 400, "١٢"])
def test_a_number_that_is_none_has_not_been_said(said: str) -> None:
    assert read_limits({"x-ratelimit-limit-requests": said, "x-ratelimit-remaining-tokens": said}, WALL) == {}


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("2d", 172_800),
        ("250us", 0.00025),
        ("0", 0),
        ("12", 12),
        ("12.5", 12.5),
        (" 7 ", 7),
        ("2025-11-22T08:27:40Z", 60),
        ("2025-11-22T10:27:40+02:00", 60),
        ("2025-11-22T08:27:40.500000Z", 60.5),
        ("2025-11-22T08:27:40", 60),
        ("Sat, 22 Nov 2025 08:27:40 GMT", 60),
        ("1763800060", 60),
        ("1763800060000", 60),
    ],
)
def test_a_time_is_a_duration_or_a_moment(said: str, seconds: float) -> None:
    assert seconds_until(said, WALL) == pytest.approx(seconds)


@pytest.mark.parametrize("said", ["2025-11-22T08:00:00Z", "Sat, 22 Nov 2025 08:00:00 GMT", "1763700000"])
def test_a_moment_that_has_passed_is_now(said: str) -> None:
    assert seconds_until(said, WALL) == 0


@pytest.mark.parametrize(
    "said",
    [
        None,
        "",
        "soon",
        "-5",
        "-1s",
        "1e9",
        "inf",
        "nan",
        "1 s",
        "s",
        "m0s",
        "1s later",
        "9" * 500,
        "1.2.3s",
        "2025-13-45",
        "Sat, 22 Nov 99999999999 08:27:40 GMT",
    ],
)
def test_a_time_that_cannot_be_read_has_not_been_said(said: str | None) -> None:
    assert seconds_until(said, WALL) is None


PIECES = st.sampled_from(
    [
        "1",
        "0",
        "6m0s",
        "20ms",
        ";",
        ",",
        "=",
        '"',
        "r",
        "t",
        "q",
        "w=0",
        ";w=60",
        "limit",
        "remaining=",
        " ",
        "-",
        ".",
        "e9",
    ]
)
VALUES = st.one_of(st.text(), st.lists(PIECES, max_size=12).map("".join), st.floats().map(str), st.datetimes().map(str))


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8), st.floats(0, 4e9))
@example({"ratelimit": "remaining=", "ratelimit-policy": ""}, 0.0)
@example({"x-ratelimit-reset": "0001-01-01T00:00:00+23:59"}, 0.0)
@example({"x-ratelimit-reset": "Mon, 99 Jan 0 99:99:99 +9999"}, 0.0)
def test_whatever_comes_every_figure_is_a_sensible_number(headers: dict[str, str], wall: float) -> None:
    allowances = read_limits(headers, wall)
    assert set(allowances) <= {"requests", "tokens"}
    for allowance in allowances.values():
        for figure in (allowance.limit, allowance.remaining, allowance.reset, allowance.window):
            assert figure is None or (isfinite(figure) and figure >= 0)
