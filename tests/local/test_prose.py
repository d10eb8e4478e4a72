from __future__ import annotations

import re
import time
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.local.prose import LONGEST, Sentence, sentences


def texts(document: str) -> list[str]:
    return [sentence.text for sentence in sentences(dedent(document))]


def test_markdown_leaves_its_prose() -> None:
    assert texts(
        """\
        [![Build](https://x.example/b.svg)](https://x.example)  ![Logo][logo]
        <h1 align="center">A Heading of the Page</h1>
        <!-- A comment that nobody is to see. -->

        # Widget

        <p align="center"><em>A widget for every one of us.</em></p>

        **Widget** is a [small](https://x.example "so small") library for
        `Gadget` owners, _really_. It was made long ago.[^1] Read [the manual][m] or <b>ask</b> us.

        > [!NOTE]
        > This note is not part of the text.

        ```python
        This is no sentence, although it looks like one.
        ```

        | A table | has rows that end in a stop. |
        |---------|------------------------------|

        Setext headings are headings as well
        ------------------------------------

        [m]: https://x.example/manual
        """
    ) == [
        "A widget for every one of us.",
        "Widget is a small library for `Gadget` owners, really.",
        "It was made long ago.",
        "Read the manual or ask us.",
    ]


def test_restructured_text_leaves_its_prose() -> None:
    assert texts(
        """\
        ======
        Widget
        ======

        .. image:: https://x.example/b.svg
           :alt: This text belongs to the image.

        |licence| |version|

        .. |licence| image:: https://x.example/l.svg

        Widget works with `Gadget <https://x.example>`_, :mod:`trio` and asyncio_ [1]_.
        Use ``widget.run()`` like this::

            This would run the widget at once.

        .. note:: This note is not part of the text.

           Nor is this second part of it.

        ========  =====================================
        A column  Another column with words in its head
        ========  =====================================
        One row   It has a sentence that ends in a stop.
        ========  =====================================

        .. _asyncio: https://x.example/asyncio
        """
    ) == ["Widget works with Gadget, trio and asyncio."]


def test_the_language_reference_leaves_its_prose() -> None:
    assert texts(
        """\
        The "with" statement
        ********************

        The "with" statement is used to wrap the execution of a block.

           with_stmt ::= "with" with_item ":" suite

        object.__enter__(self)

           Enter the runtime context related to this object.

           value = manager.__enter__()

        Note:

          Nobody is to quote this note.

        Changed in version 3.1: Support for multiple context expressions.
        """
    ) == [
        'The "with" statement is used to wrap the execution of a block.',
        "Enter the runtime context related to this object.",
    ]


def test_a_sentence_ends_at_its_stop_and_not_at_an_abbreviation() -> None:
    assert texts(
        "Some tools, e.g. Widget by A. Smith, are small. widget is\none of them. "
        "Are you? Yes, everybody really is (“indeed.”) Fine!"
    ) == [
        "Some tools, e.g. Widget by A. Smith, are small. widget is one of them.",
        "Yes, everybody really is (“indeed.”)",
    ]


def test_a_small_letter_begins_a_sentence_on_a_new_line() -> None:
    assert texts("widget is a fine tool.\nwidget brings many things to you.") == ["widget is a fine tool."]
    assert texts("widget is a fine tool.\nwidget brings many things:\n\n- The first of all things.\n") == [
        "widget is a fine tool.",
        "The first of all things.",
        "widget brings many things: The first of all things.",
    ]


def test_a_sentence_that_announces_a_list_takes_its_items_along() -> None:
    document = (
        "A run has three steps:\n\n1. It is begun at last.\n\n2. it goes on\n   for a while\n\nThen it is over again."
    )
    assert list(sentences(document)) == [
        Sentence("It is begun at last.", listed=True),
        Sentence("A run has three steps: It is begun at last. it goes on for a while", leads=True),
        Sentence("Then it is over again."),
    ]


def test_a_long_list_is_cut_and_says_so() -> None:
    items = "".join(f"- Item number {word} of the long list.\n" for word in ("one", "two", "three", "four") * 5)
    text = texts("There are very many items:\n\n" + items)[-1]
    assert text.startswith("There are very many items: Item number one of the long list. Item")
    assert text.endswith(" …")
    assert len(text) <= LONGEST


def test_an_announcement_without_a_list_is_not_quoted() -> None:
    assert texts("You use it in this way:\n\n    run()\n\nThat is all of it.") == ["That is all of it."]


def test_a_tag_that_is_never_closed_swallows_nothing() -> None:
    assert texts("A <table> is begun here.\n\nThe text goes on after it.")[-1] == "The text goes on after it."


def test_only_paragraphs_that_mention_it_are_read() -> None:
    document = "This one is about apples.\n\nThis one is about pears.\n\nWhat else there is: nothing."
    found = sentences(document, re.compile("PEAR", re.IGNORECASE))
    assert [sentence.text for sentence in found] == ["This one is about pears."]


def test_what_would_steer_a_terminal_is_never_quoted() -> None:
    assert texts("This sentence is \x1b[31mred and evil.\n\nThis one \u202eruns backwards here.") == []


@given(st.text(alphabet=st.sampled_from(list("ab A.:_*`[]()<>|\n-=#\\\"'1&!/")), max_size=300))
def test_any_text_gives_clean_sentences(text: str) -> None:
    for sentence in sentences(text):
        assert 0 < len(sentence.text) <= LONGEST
        assert "\n" not in sentence.text


@pytest.mark.parametrize(
    "unit",
    [
        "[",
        "![",
        "[a](",
        "<table>",
        "<!--",
        "`",
        "``",
        ":a",
        ":::",
        "a-",
        "A. ",
        "*a ",
        "_a ",
        "|a",
        "<http://",
        "&",
        "= ",
        "x\n-",
    ],
)
def test_hostile_text_costs_no_more_than_its_length(unit: str) -> None:
    began = time.process_time()
    for _ in sentences("A word. " + unit * (60_000 // len(unit))):
        pass
    assert time.process_time() - began < 1.0
