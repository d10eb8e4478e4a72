"""All rules together, and the one for any other question, asked with tools of a small made-up world."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

import msgspec
import pytest

from agentrt.local.plan import next_turn
from agentrt.local.rulebook import RULES
from agentrt.messages import AssistantMessage, Message, ToolCall, ToolMessage, ToolSpec, UserMessage

Tools = Mapping[str, Callable[[str], str]]

DOCS = {
    "u/alpha": "# Alpha\n\nAlpha is a tool for making letters.\n\nIt has many friends.\n",
    "u/beta": "Beta\n====\n\nThis is a library that sorts letters.\n\nBeta needs care.\n",
    "u/gamma": "Gamma\n=====\n\nGamma reads letters aloud.\n\nThat is all.\n",
    "u/core": "Core\n====\n\nCore is the framework below all letters.\n\nThat is all.\n",
}
HITS = [
    {"title": "Core", "url": "u/core", "text": "Core is the framework below all letters.", "score": 3.5},
    {"title": "alpha", "url": "u/alpha", "text": "Alpha is a tool for making letters.", "score": 2.0},
]
WORLD: dict[str, Callable[[str], str]] = {
    "dependents": lambda _: "[]",
    "requirements": lambda _: "[]",
    "about": lambda name: json.dumps(
        [{"name": "alpha", "version": "1.0", "url": "u/alpha"}] if name == "alpha" else []
    ),
    "search": lambda _question: json.dumps(HITS),
    "fetch_document": lambda url: DOCS[url],
}


def spec(name: str) -> ToolSpec:
    return ToolSpec(name, "", msgspec.Raw(b'{"properties": {"it": {"type": "string"}}, "required": ["it"]}'))


def ask(question: str, tools: Tools = WORLD, turns: int = 20) -> tuple[str, list[list[tuple[str, str]]]]:
    """The answer, and the calls turn by turn; in the last of `turns` the tools are withheld."""
    messages: list[Message] = [UserMessage(question)]
    made: list[list[tuple[str, str]]] = []
    while True:
        offered: Sequence[ToolSpec] = [spec(name) for name in tools] if len(made) < turns - 1 else []
        turn = next_turn(messages, offered, RULES)
        if not turn.calls:
            return turn.text, made
        values = [(name, json.loads(arguments)["it"]) for name, arguments in turn.calls]
        calls = [ToolCall(f"c{len(made)}.{n}", *call) for n, call in enumerate(turn.calls)]
        messages.append(AssistantMessage("", tuple(calls)))
        for call, (name, value) in zip(calls, values, strict=True):
            messages.append(ToolMessage(call.id, name, tools[name](value)))
        made.append(values)


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
