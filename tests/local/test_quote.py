from __future__ import annotations

from importlib.metadata import metadata

import pytest

from agentrt.local.quote import MOST, OF_ONE, about, answering, same_name

WITH = """\
The "with" statement
********************

The "with" statement is used to wrap the execution of a block.

The execution of the "with" statement proceeds as follows:

1. The context expression is evaluated.

2. The suite of the statement is executed.

It is a mistake to forget the colon.
"""


def test_the_sentence_that_names_the_package_and_a_verb_is_taken() -> None:
    readme = (
        "Fast and small for everyone.\n\nDocumentation is found elsewhere.\n\nThe Wid-Get library is a tool for all."
    )
    assert about(readme, "wid.get") == "The Wid-Get library is a tool for all."


def test_without_such_a_sentence_the_first_good_one_is_taken() -> None:
    assert about("# W\n\nA tool for each of us.\n\nIt is maintained with care.", "w") == "A tool for each of us."


def test_a_readme_that_says_nothing_of_the_kind_gives_nothing() -> None:
    assert about("Please report bugs to us.\n\nIt is available as part of a subscription.", "w") is None
    assert about("", "w") is None


def test_a_piece_of_a_readme_is_quoted_only_where_it_speaks_of_the_package() -> None:
    piece = "and so on and so forth.\n\nSome sentence about something else.\n"
    assert about(piece, "widget") == "and so on and so forth."
    assert about(piece, "widget", certain=True) is None
    assert about(piece + "\nwidget lets you do it.", "widget", certain=True) == "widget lets you do it."


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("h11", "This is a little HTTP/1.1 library written from scratch in Python"),
        ("httpx2", "HTTPX2 is a fully featured HTTP client library for Python."),
        ("msgspec", "`msgspec` is a fast serialization and validation library"),
        ("openai", "The OpenAI Python library provides convenient access to the OpenAI REST API"),
        ("rich", "Rich is a Python library for rich text and beautiful formatting in the terminal."),
        ("tiktoken", "tiktoken is a fast BPE tokeniser for use with OpenAI's models."),
    ],
)
def test_the_readmes_of_what_agentrt_needs_are_quoted_well(name: str, begins: str) -> None:
    assert (about(metadata(name)["Description"], name) or "").startswith(begins)


def test_spellings_of_one_package_are_the_same_name() -> None:
    assert same_name("typing_extensions", "Typing Extensions")
    assert same_name("ruamel.yaml", "ruamel-yaml")
    assert not same_name("rich", "richer")


def test_a_question_is_answered_by_sentences_that_share_its_telling_words() -> None:
    quotes = answering(
        "How does the with statement work?", [("Other", "A statement of the account.\n"), ("With", WITH)]
    )
    steps = "The context expression is evaluated. The suite of the statement is executed."
    assert [(quote.document, quote.text) for quote in quotes] == [
        (1, 'The "with" statement is used to wrap the execution of a block.'),
        (1, f'The execution of the "with" statement proceeds as follows: {steps}'),
    ]


@pytest.mark.parametrize("question", ["how does `with` work?", 'What does "with" do?', "Explain the with statement"])
def test_a_small_word_counts_where_it_is_named_as_code(question: str) -> None:
    assert answering(question, [("With", WITH), ("Other", "I go with you to town.")])[0].document == 0


def test_a_small_word_alone_is_not_looked_for() -> None:
    assert answering("how does it work with you?", [("With", WITH)]) == []


def test_endings_do_not_count() -> None:
    (quote,) = answering(
        "what are coroutines?", [("C", "A coroutine can be suspended.\n\nNothing of that kind is here.")]
    )
    assert quote.text == "A coroutine can be suspended."


def test_a_question_about_something_else_is_not_answered() -> None:
    assert answering("what is the capital of France?", [("With", WITH), ("S", "These are the capital letters.")]) == []
    assert answering("", [("With", WITH)]) == []
    assert answering("anything?", []) == []


def test_the_document_with_the_best_sentence_comes_first_and_keeps_its_own_order() -> None:
    weak = "Some gates are closed.\n\nOther words altogether are here."
    strong = "Gates and permits belong together.\n\nOther words are here.\n\nA gate grants a permit to us."
    quotes = answering("which gate grants a permit?", [("Weak", weak), ("Strong", strong), ("Gate permits", strong)])
    assert [quote.document for quote in quotes[:2]] == [2, 2]
    assert quotes[0].text == "Gates and permits belong together."


def test_few_sentences_are_quoted_and_none_twice() -> None:
    many = "\n\n".join(f"The gate number {word} holds a permit." for word in ("one", "two", "three", "four", "five"))
    quotes = answering("which gate holds a permit?", [("A", many), ("B", many), ("C", many)])
    assert len(quotes) == MOST
    assert max(sum(quote.document == n for quote in quotes) for n in range(3)) == OF_ONE
    assert len({quote.text for quote in quotes}) == MOST
