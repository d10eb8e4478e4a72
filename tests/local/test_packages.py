"""The rules about packages, asked with tools of a small made-up world."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from agentrt.local.packages import PACKAGE_RULES
from tests.local.world import DOCS, HITS, Tools, converse

ROWS = [
    {"name": "beta", "version": "2.0", "condition": 'python_version < "3.15"', "extra": None, "url": "u/beta"},
    {"name": "alpha", "version": "1.0", "condition": "", "extra": None, "url": "u/alpha"},
    {"name": "gamma", "version": "3.0", "condition": "", "extra": "loud", "url": "u/gamma"},
]
REQUIRED = [
    {"name": "gamma", "specifier": ">=3", "condition": 'os_name == "nt"', "extra": None},
    {"name": "delta", "specifier": "", "condition": "", "extra": None},
    {"name": "beta", "specifier": "", "condition": "", "extra": "loud"},
    {"name": "alpha", "specifier": ">=1", "condition": "", "extra": "all"},
    {"name": "beta", "specifier": "", "condition": "", "extra": "all"},
]
INSTALLED = {
    "core": {"name": "core", "version": "9.1", "summary": "The framework.", "url": "u/core"},
    "alpha": {"name": "alpha", "version": "1.0", "summary": "Makes letters.", "url": "u/alpha"},
    "gamma": {"name": "gamma", "version": "3.0", "summary": "Reads\x1b[2J aloud.", "url": ""},
}
WORLD: dict[str, Callable[[str], str]] = {
    "dependents": lambda name: json.dumps(ROWS if name == "core" else []),
    "requirements": lambda name: json.dumps(REQUIRED if name == "core" else []),
    "about": lambda name: json.dumps([INSTALLED[name]] if name in INSTALLED else []),
    "search": lambda _question: json.dumps(HITS),
    "fetch_document": lambda url: DOCS[url],
}


def ask(question: str, tools: Tools = WORLD, turns: int = 20) -> tuple[str, list[list[tuple[str, str]]]]:
    return converse(question, PACKAGE_RULES, tools, turns)


def without(*names: str) -> Tools:
    return {name: call for name, call in WORLD.items() if name not in names}


def saying(**said: str) -> Tools:
    """The world in which these tools say this."""

    def tool(text: str) -> Callable[[str], str]:
        return lambda _: text

    return {**WORLD, **{name: tool(text) for name, text in said.items()}}


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


def test_rows_of_one_package_become_one_line() -> None:
    def row(name: str, condition: str, extra: str | None) -> dict[str, str | None]:
        return {"name": name, "condition": condition, "extra": extra}

    rows = [
        row("a", "x", None), row("a", "y", None), row("b", "x", None), row("b", "", None),
        row("c", "", "one"), row("c", "", "two"), row("a", "", "more"),
    ]  # fmt: skip
    text, _ = ask("what needs core?", saying(dependents=json.dumps(rows)))
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    unknown = "no document of it is known"
    assert lines == [f"- a (given x or y): {unknown}", f"- b: {unknown}", f"- c, extra one, two: {unknown}"]


def test_nobody_needs_it() -> None:
    assert ask("what needs nothing?")[0].startswith("No installed package needs nothing.")
    optional = saying(dependents=json.dumps(ROWS[2:]))
    assert ask("what needs core?", optional)[0].startswith("No installed package needs core without an extra.\n")


@pytest.mark.parametrize("said", ["OSError: the disk is gone", "", "[1]", '{"rows": []}', '[{"version": "1"}]'])
def test_a_list_that_cannot_be_read_is_said_so_in_the_tools_own_words(said: str) -> None:
    text, made = ask("what needs core?", saying(dependents=said))
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
    text, _ = ask("what needs core?", saying(fetch_document="Bugs\n====\n\nReport a bug.\n"))
    assert "- alpha 1.0: its document has no sentence that says what it does [1]" in text


@pytest.mark.parametrize(("missing", "told"), [("dependents", False), ("search", True), ("fetch_document", True)])
def test_what_a_missing_tool_would_have_told_is_not_made_up(missing: str, told: bool) -> None:
    text, _ = ask("what needs core?", without(missing))
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
    assert ask("what does core need?", turns=1)[0] == "I cannot tell what core needs: I may call no tools."


# ---- what a package needs --------------------------------------------------------------------------


NEEDED = (
    "core 9.1 needs 2 other packages:\n"
    '\n- gamma >=3 (given os_name == "nt")'
    "\n- delta"
    "\n\nOptional, only with an extra:\n"
    "\n- all: alpha, beta"
    "\n- loud: beta"
)


def test_what_a_package_needs_takes_one_turn_and_its_extras_stand_apart() -> None:
    text, made = ask("what does core need?")
    assert made == [[("requirements", "core"), ("about", "core")]]
    assert text == NEEDED


def test_several_packages_are_told_one_after_the_other() -> None:
    text, made = ask("what do core, alpha and omega depend on?")
    assert [name for name in made[0] if name[0] == "about"] == [("about", n) for n in ("core", "alpha", "omega")]
    assert text == NEEDED + "\n\nalpha 1.0 needs no other package.\n\nNo installed package is called omega."


def test_asked_what_each_of_them_does_it_looks_them_up_too() -> None:
    text, made = ask("what does core need, and what does each of them do?")
    assert made[1:] == [[("about", "gamma"), ("about", "delta")]]
    assert '- gamma >=3 (given os_name == "nt"): no document of it is known; its summary is “Reads [2J aloud.”' in text
    assert "- delta. No installed package is called delta." in text


def test_an_extra_of_many_packages_stays_short() -> None:
    rows = [{"name": f"p{n:02}", "extra": "all"} for n in range(15)]
    rows[-1]["(note)"] = "cut here after 15 rows"
    text, _ = ask("what does core need?", saying(requirements=json.dumps(rows)))
    assert text.startswith("core 9.1 needs no other package without an extra.\n")
    assert "\n- all: p00, p01, p02, p03, p04, p05, p06, p07, p08, p09, p10, p11 and 3 more\n" in text
    assert text.endswith("`requirements` adds: “cut here after 15 rows”")


def test_without_requirements_it_cannot_tell_and_without_about_it_tells_the_rows() -> None:
    text, made = ask("what does core need?", without("requirements"))
    assert (text, made) == ("I cannot tell what core needs: the tool `requirements` is not offered to me.", [])
    assert ask("what does core need?", without("about"))[0] == NEEDED.replace("core 9.1", "core")
    text = ask("what does omega need?", without("about"))[0]
    assert text == "`requirements` has nothing that omega needs; whether it is installed I cannot tell."


def test_requirements_that_cannot_be_read_are_said_so_and_an_error_of_about_costs_only_the_version() -> None:
    text, _ = ask("what does core need?", saying(requirements="the disk\nis gone"))
    assert text == "I cannot tell what core needs: `requirements` gave no list, it said “the disk is gone”."
    assert ask("what does core need?", saying(about="timed out"))[0] == NEEDED.replace("core 9.1", "core")


def test_whether_it_needs_another_is_answered_by_the_list_unless_the_words_name_no_package() -> None:
    assert ask("does core need delta?")[0] == NEEDED
    text, made = ask("does yield need parentheses?")
    assert made == [[("requirements", "yield"), ("about", "yield")]]
    assert text == "I was asked nothing that I have a rule for."


# ---- what a package is -----------------------------------------------------------------------------


def test_what_a_package_is_takes_two_turns_and_one_line() -> None:
    text, made = ask("what is alpha?")
    assert made == [[("about", "alpha")], [("fetch_document", "u/alpha")]]
    assert text == "alpha 1.0: “Alpha is a tool for making letters.” [1]\n\nSources:\n[1] alpha: u/alpha"


def test_several_packages_are_looked_up_and_fetched_in_parallel() -> None:
    text, made = ask("what do alpha, omega and core do?")
    assert made == [
        [("about", "alpha"), ("about", "omega"), ("about", "core")],
        [("fetch_document", "u/alpha"), ("fetch_document", "u/core")],
    ]
    assert text == (
        "- alpha 1.0: “Alpha is a tool for making letters.” [1]"
        "\n- No installed package is called omega."
        "\n- core 9.1: “Core is the framework below all letters.” [2]"
        "\n\nSources:\n[1] alpha: u/alpha\n[2] core: u/core"
    )


def test_where_the_document_says_nothing_the_summary_is_quoted_and_the_reason_told() -> None:
    text, _ = ask("what is alpha?", saying(fetch_document="the server answered 404"))
    reason = "its document could not be read: `fetch_document` said “the server answered 404”"
    assert text == f"alpha 1.0: {reason}; its summary is “Makes letters.”"
    text, _ = ask("what is alpha?", without("fetch_document"))
    assert "for I may not call `fetch_document`; its summary is “Makes letters.”" in text


def test_whether_something_is_installed_is_answered_even_if_it_is_not() -> None:
    assert ask("is omega installed?")[0] == "No installed package is called omega."
    assert ask("which version of core do I have?")[0].startswith("core 9.1: “")
    text, _ = ask("is core installed?", without("about"))
    assert text == "I cannot tell whether core is installed: the tool `about` is not offered to me."
    text, _ = ask("is core installed?", saying(about="timed out"))
    assert text == "core: it could not be looked up: `about` gave no list, it said “timed out”."


def test_words_that_name_no_package_are_left_to_other_rules() -> None:
    text, made = ask("what is recursion?")
    assert made == [[("about", "recursion")]]
    assert text == "I was asked nothing that I have a rule for."
    assert ask("what is recursion?", without("about")) == (text, [])
