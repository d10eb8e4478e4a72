"""The two rules, asked with tools of a small made-up world."""

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
ROWS = [
    {"name": "beta", "version": "2.0", "condition": 'python_version < "3.15"', "extra": None, "url": "u/beta"},
    {"name": "alpha", "version": "1.0", "condition": "", "extra": None, "url": "u/alpha"},
    {"name": "gamma", "version": "3.0", "condition": "", "extra": "loud", "url": "u/gamma"},
]
HITS = [
    {"title": "Core", "url": "u/core", "text": "Core is the framework below all letters.", "score": 3.5},
    {"title": "alpha", "url": "u/alpha", "text": "Alpha is a tool for making letters.", "score": 2.0},
]
WORLD: dict[str, Callable[[str], str]] = {
    "dependents": lambda name: json.dumps(ROWS if name == "core" else []),
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


def test_who_needs_a_package_takes_two_turns_of_parallel_calls_and_cites_each_document() -> None:
    question = "which installed packages need core, and what does each do?"
    text, made = ask(question)
    assert made == [
        [("dependents", "core"), ("search", question)],
        [("fetch_document", "u/beta"), ("fetch_document", "u/alpha"), ("fetch_document", "u/gamma")],
    ]
    assert text == (
        "2 installed packages need core:\n"
        "\n- alpha 1.0: “Alpha is a tool for making letters.” [1]"
        '\n- beta 2.0 (given python_version < "3.15"): “This is a library that sorts letters.” [2]'
        "\n\nOptional, only with an extra:\n"
        "\n- gamma 3.0, extra loud: “Gamma reads letters aloud.” [3]"
        "\n\nCore itself: “Core is the framework below all letters.” [4]"
        "\n\nSources:\n[1] alpha: u/alpha\n[2] beta: u/beta\n[3] gamma: u/gamma\n[4] Core: u/core"
    )


@pytest.mark.parametrize(
    "question",
    [
        "which installed packages need core, and what does each do?",
        "which installed packages need anyio, and what does each of them do?",
        "Which packages here depend on `anyio`?",
        "what depends on anyio?",
        "What needs anyio",
        "who uses anyio?",
        "which libraries use 'anyio' right now?",
        "list all packages that require the package anyio.",
        "Does anything rely on anyio in this environment?",
        "show me the dependents of anyio, please",
        "reverse dependencies of typing_extensions?",
        "why is anyio installed?",
        "what pulls in ruamel.yaml and why?",
    ],
)
def test_the_question_for_dependents_is_understood_as_people_put_it(question: str) -> None:
    _, made = ask(question)
    assert made[0][0][0] == "dependents"
    assert made[0][0][1] in {"core", "anyio", "typing_extensions", "ruamel.yaml"}


@pytest.mark.parametrize(
    "question",
    [
        "how does `with` work?",
        "what does anyio need?",
        "which packages does openai need?",
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


def test_rows_of_one_package_become_one_line() -> None:
    def row(name: str, condition: str, extra: str | None) -> dict[str, str | None]:
        return {"name": name, "condition": condition, "extra": extra}

    rows = [
        row("a", "x", None), row("a", "y", None), row("b", "x", None), row("b", "", None),
        row("c", "", "one"), row("c", "", "two"), row("a", "", "more"),
    ]  # fmt: skip
    text, _ = ask("what needs core?", {**WORLD, "dependents": lambda _: json.dumps(rows)})
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    unknown = "no document of it is known"
    assert lines == [f"- a (given x or y): {unknown}", f"- b: {unknown}", f"- c, extra one, two: {unknown}"]


def test_nobody_needs_it() -> None:
    assert ask("what needs nothing?")[0].startswith("No installed package needs nothing.")
    optional = {**WORLD, "dependents": lambda _: json.dumps(ROWS[2:])}
    assert ask("what needs core?", optional)[0].startswith("No installed package needs core without an extra.\n")


@pytest.mark.parametrize("said", ["OSError: the disk is gone", "", "[1]", '{"rows": []}', '[{"version": "1"}]'])
def test_a_list_that_cannot_be_read_is_said_so_in_the_tools_own_words(said: str) -> None:
    text, made = ask("what needs core?", {**WORLD, "dependents": lambda _: said})
    assert text == f"I cannot tell which installed packages need core: `dependents` gave no list, it said “{said}”."
    assert len(made) == 1


def test_a_document_that_cannot_be_fetched_costs_its_own_line_only() -> None:
    def fetch(url: str) -> str:
        return "the server answered 404" if url == "u/beta" else DOCS[url]

    text, _ = ask("what needs core?", {**WORLD, "fetch_document": fetch})
    assert "- alpha 1.0: “Alpha is a tool for making letters.” [1]" in text
    assert "its document could not be read: `fetch_document` said “the server answered 404”" in text
    assert "u/beta" not in text


def test_a_document_without_a_sentence_for_it_is_cited_all_the_same() -> None:
    text, _ = ask("what needs core?", {**WORLD, "fetch_document": lambda _: "Bugs\n====\n\nReport a bug.\n"})
    assert "- alpha 1.0: its document has no sentence that says what it does [1]" in text


@pytest.mark.parametrize(("missing", "told"), [("dependents", False), ("search", True), ("fetch_document", True)])
def test_what_a_missing_tool_would_have_told_is_not_made_up(missing: str, told: bool) -> None:
    text, _ = ask("what needs core?", {name: call for name, call in WORLD.items() if name != missing})
    assert ("alpha 1.0" in text) == told
    if missing == "dependents":
        assert "cannot tell" in text
        assert "`dependents` is not offered to me" in text
    if missing == "fetch_document":
        assert "its document was not read, for I may not call `fetch_document`" in text


def test_when_tools_are_withheld_the_rows_are_listed_without_quotes() -> None:
    text, made = ask("what needs core?", turns=2)
    assert len(made) == 1
    assert "- alpha 1.0: its document was not read, for I may not call `fetch_document`" in text


def test_when_no_tool_was_ever_allowed_it_says_so() -> None:
    assert ask("what needs core?", turns=1)[0].endswith("I may call no tools.")
    assert ask("how does it work?", turns=1)[0].startswith("I cannot tell what the documents say about that")


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
