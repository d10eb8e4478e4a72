"""Questions as people put them, and what is found in them."""

from __future__ import annotations

import re
import time

import pytest

from agentrt.local.asking import EACH_OF_THEM, IS_IT_HERE, WHAT_IT_IS, WHAT_IT_NEEDS, WHETHER_IT_NEEDS, WHO_NEEDS, names


def found(patterns: tuple[re.Pattern[str], ...], question: str) -> str | None:
    """The subject that the first fitting pattern finds."""
    return next((match["subject"] for p in patterns if (match := p.search(question))), None)


@pytest.mark.parametrize(
    "question",
    [
        "which installed packages need anyio, and what does each of them do?",
        "Which packages here depend on `anyio`?",
        "what depends on anyio?",
        "What needs anyio",
        "who uses anyio?",
        "which libraries use 'anyio' right now?",
        "list all packages that require the package anyio.",
        "Does anything rely on anyio in this environment?",
        "show me the dependents of anyio, please",
        "reverse dependencies of anyio?",
        "why is anyio installed?",
        "what pulls in anyio and why?",
    ],
)
def test_who_needs_it(question: str) -> None:
    assert found(WHO_NEEDS, question) == "anyio"


@pytest.mark.parametrize(
    "question",
    [
        "what do I need to write an iterator?",
        "which statements use indentation?",
        "what uses indentation to delimit blocks?",
        "what depends on the order of evaluation?",
        "why is the sky blue?",
        "which packages need anyio and idna?",
        "what does anyio need?",
    ],
)
def test_not_who_needs_it(question: str) -> None:
    assert found(WHO_NEEDS, question) is None


@pytest.mark.parametrize(
    "question",
    [
        "what does ruamel.yaml need?",
        "what does `ruamel.yaml` require to run?",
        "which packages does ruamel.yaml depend on?",
        "Which other libraries does the package ruamel.yaml pull in?",
        "dependencies of ruamel.yaml",
        "list the dependencies of ruamel.yaml, please",
        "what are ruamel.yaml's dependencies?",
        "show me the requirements of ruamel.yaml and what each does",
        "how many dependencies does ruamel.yaml have?",
        "what is needed by ruamel.yaml?",
    ],
)
def test_what_it_needs(question: str) -> None:
    assert found(WHO_NEEDS, question) is None
    subject = found(WHAT_IT_NEEDS, question)
    assert subject is not None
    assert names(subject) == ["ruamel.yaml"]


@pytest.mark.parametrize(
    "question",
    ["what does a class need?", "what do I need for a coroutine?", "what does it depend on?", "what is needed?"],
)
def test_not_what_it_needs(question: str) -> None:
    assert found(WHAT_IT_NEEDS, question) is None


def test_whether_it_needs_another() -> None:
    assert found(WHETHER_IT_NEEDS, "does rich need pygments?") == "rich"
    assert found(WHETHER_IT_NEEDS, "do rich and h11 depend on pygments") == "rich and h11"
    assert found(WHETHER_IT_NEEDS, "does a class need a name?") is None


@pytest.mark.parametrize(
    "question",
    [
        "which version of rich is installed?",
        "what version of rich do I have",
        "which rich version is installed?",
        "is rich installed?",
        "do we have rich installed here?",
        "show the installed version of rich.",
    ],
)
def test_whether_it_is_here(question: str) -> None:
    assert found(IS_IT_HERE, question) == "rich"


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("what is rich?", ["rich"]),
        ("What's the rich package?", ["rich"]),
        ("what is `rich` used for?", ["rich"]),
        ("what does rich do, and who needs it?", ["rich"]),
        ("tell me about the library rich", ["rich"]),
        ("what do you know about rich?", ["rich"]),
        ("describe rich.", ["rich"]),
        ("what do rich, typing_extensions and h11 do?", ["rich", "typing_extensions", "h11"]),
        ("what are rich, h11, and uv?", ["rich", "h11", "uv"]),
        ("compare rich and h11", ["rich", "h11"]),
        ("compare rich with h11", ["rich", "h11"]),
        ("rich vs. h11?", ["rich", "h11"]),
        ("what is the difference between rich and rich?", ["rich"]),
        ("how does rich differ from h11?", ["rich", "h11"]),
        ("how is rich different from h11?", ["rich", "h11"]),
        ("what is the version of rich?", ["rich"]),
        ("what is rich's version?", ["rich"]),
        ("can you tell me what rich does?", ["rich"]),
    ],
)
def test_what_it_is(question: str, expected: list[str]) -> None:
    subject = found(WHAT_IT_IS, question)
    assert subject is not None
    assert names(subject) == expected


@pytest.mark.parametrize(
    "question",
    [
        "how does `with` work?",
        "what is a context manager?",
        "what is the GIL?",
        "what is rich text?",
        "what does rich do with markup?",
        "what is the difference between is and ==?",
        "what does it do?",
        "what is the latest version of rich?",
        "tell me about the with statement",
    ],
)
def test_not_what_it_is(question: str) -> None:
    assert found(WHAT_IT_IS, question) is None


def test_each_of_them_is_asked_for_in_a_second_question() -> None:
    assert EACH_OF_THEM.search(", and what does each of them do?")
    assert EACH_OF_THEM.search(" and what they do")
    assert not EACH_OF_THEM.search(" to run, and which version is it?")


@pytest.mark.parametrize("piece", ["what is a.", "what is a, ", "a, ", "dependencies of ", "a", " ", "compare a with "])
def test_a_long_question_costs_little(piece: str) -> None:
    question = "what do " + piece * (20_000 // len(piece)) + "#"
    started = time.process_time()
    for patterns in (WHO_NEEDS, WHAT_IT_NEEDS, WHETHER_IT_NEEDS, IS_IT_HERE, WHAT_IT_IS):
        found(patterns, question)
    assert time.process_time() - started < 2
