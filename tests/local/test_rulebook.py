"""All rules together, and the one for any other question, asked with tools of a small made-up world."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from agentrt.local.rulebook import RULES
from tests.local.world import DOCS, HITS, Tools, converse

WORLD: dict[str, Callable[[str], str]] = {
    "dependents": lambda _: "[]",
    "requirements": lambda _: "[]",
    "about": lambda name: json.dumps(
        [{"name": "alpha", "version": "1.0", "url": "u/alpha"}] if name == "alpha" else []
    ),
    "search": lambda _question: json.dumps(HITS),
    "fetch_document": lambda url: DOCS[url],
}


def ask(question: str, tools: Tools = WORLD, turns: int = 20) -> tuple[str, list[list[tuple[str, str]]]]:
    return converse(question, RULES, tools, turns)


@pytest.mark.parametrize(
    "question",
    [
        "how does `with` work?",
        "what does a package need?",
        "what does rich do with markup?",
        "what is a context manager?",
        "what is the walrus operator?",
        "what is the difference between is and ==?",
        "what is rich text?",
        "what is it?",
        "tell me about the with statement",
        "what version of Python introduced f-strings?",
        "what do I need to write an iterator?",
        "which statements use indentation?",
        "what uses indentation to delimit blocks?",
        "what depends on the order of evaluation?",
        "why is the sky blue?",
        "which packages need anyio and idna?",
        "what is a dependency?",
    ],
)
def test_any_other_question_is_searched_for(question: str) -> None:
    _, made = ask(question)
    assert made[0] == [("search", question)]


def test_a_question_is_answered_with_sentences_of_the_first_three_documents() -> None:
    hits = [
        {"title": name.title(), "url": f"u/{name}", "text": "…"} for name in ("gamma", "gamma", "alpha", "beta", "core")
    ]
    text, made = ask("who reads letters aloud?", {**WORLD, "search": lambda _: json.dumps(hits)})
    assert made[1] == [("fetch_document", "u/gamma"), ("fetch_document", "u/alpha"), ("fetch_document", "u/beta")]
    assert text == "“Gamma reads letters aloud.” [1]\n\nSources:\n[1] Gamma: u/gamma"


def test_nothing_found_is_said_so() -> None:
    assert "found nothing" in ask("what is a zebra?", {**WORLD, "search": lambda _: "[]"})[0]
    text, _ = ask("what is a zebra?")
    assert text == "I found nothing that answers that; I looked in: Core, alpha."


def test_a_search_that_fails_is_said_so() -> None:
    text, _ = ask("what is a zebra?", {**WORLD, "search": lambda _: "Error:\n\x1b[2J it broke " + "x" * 900})
    assert text.startswith("I cannot tell: `search` gave no list, it said “Error: [2J it broke xxx")
    assert len(text) < 300
    assert text.isprintable()


def test_the_found_piece_is_quoted_where_the_document_cannot_be_fetched() -> None:
    text, _ = ask("who is a tool for making letters?", {**WORLD, "fetch_document": lambda _: "timed out"})
    assert text.startswith("“Alpha is a tool for making letters.” [1]")
    assert "alpha: its document could not be read: `fetch_document` said “timed out”" in text


@pytest.mark.parametrize("question", ["what are decorators?", "what does `yield` do?", "compare lists and tuples"])
def test_words_that_turn_out_to_name_no_package_are_searched_for_in_the_next_turn(question: str) -> None:
    answer, made = ask(question)
    assert {tool for tool, _ in made[0]} == {"about"}
    assert made[1] == [("search", question)]
    without = {name: call for name, call in WORLD.items() if name != "about"}
    assert ask(question, without) == (answer, made[1:])


def test_one_package_among_the_words_is_enough_not_to_search() -> None:
    text, made = ask("what are alpha and yield?")
    assert made == [[("about", "alpha"), ("about", "yield")], [("fetch_document", "u/alpha")]]
    assert "- No installed package is called yield." in text


def test_a_word_that_could_not_be_looked_up_is_searched_for() -> None:
    text, made = ask("what is alpha?", {**WORLD, "about": lambda _: "timed out after 10 s"})
    assert made[1] == [("search", "what is alpha?")]
    assert "“Alpha is a tool for making letters.”" in text


def test_what_is_no_package_cannot_be_told_without_a_search() -> None:
    text, made = ask("what is recursion?", {name: call for name, call in WORLD.items() if name != "search"})
    assert made == [[("about", "recursion")]]
    assert text == "I cannot tell what the documents say about that: the tool `search` is not offered to me."


def test_when_no_tool_was_ever_allowed_it_says_so() -> None:
    assert ask("how does it work?", turns=1)[0].startswith("I cannot tell what the documents say about that")
