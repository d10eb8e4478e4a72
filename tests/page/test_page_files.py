"""The page's files: small, whole, and nothing in them that its Content-Security-Policy would forbid."""

from __future__ import annotations

import gzip
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import agentrt

PAGE = Path(agentrt.__file__).parent / "server" / "page"  # as installed
FILES = sorted(PAGE.iterdir())
SCRIPTS = [file for file in FILES if file.suffix == ".js"]
KB = 1024


@pytest.mark.smoke
def test_the_page_is_small() -> None:
    assert sum(file.stat().st_size for file in FILES) < 60 * KB


def test_the_client_is_small_and_stands_alone() -> None:
    text = (PAGE / "client.js").read_bytes()
    assert len(gzip.compress(text, 9)) <= 5 * KB
    assert b"import" not in text


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_no_script_makes_html_or_code_of_text(file: Path) -> None:
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|new Function|setAttribute\("
    assert re.findall(forbidden, file.read_text()) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_is_fetched_from_elsewhere(file: Path) -> None:
    text = file.read_text()
    addresses = set(re.findall(r"(?:https?|wss?)://[\w.]+", text))
    # The name of SVG's vocabulary, and an address in the client's example.
    assert addresses <= {"http://www.w3.org", "ws://127.0.0.1"}
    assert re.findall(r"url\(|@import|src=\"//|href=\"//", text) == []


def test_imports_name_files_that_are_there() -> None:
    for file in SCRIPTS:
        for name in re.findall(r'from "\./([^"]+)"', file.read_text()):
            assert (PAGE / name).is_file(), f"{file.name} imports {name}"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def _tags() -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed((PAGE / "index.html").read_text())
    return parser.tags


def test_no_script_style_or_handler_stands_in_the_html() -> None:
    for tag, attributes in _tags():
        assert tag != "style"
        assert tag != "script" or "src" in attributes
        assert "style" not in attributes
        assert [name for name in attributes if name.startswith("on")] == []


def test_what_the_html_names_is_there() -> None:
    loaded = [attributes for tag, attributes in _tags() if tag in {"script", "link"}]
    named = [attributes.get("src") or attributes.get("href") for attributes in loaded]
    assert "page.js" in named
    for name in named:
        assert name is not None and (PAGE / name).is_file(), name


def test_every_button_and_field_has_a_name() -> None:
    for tag, attributes in _tags():
        if tag in {"button", "textarea", "select"}:
            assert attributes.get("aria-label") or attributes.get("title"), attributes


def test_every_element_that_a_script_looks_for_is_in_the_html() -> None:
    ids = {attributes["id"] for _, attributes in _tags() if "id" in attributes}
    found = re.search(r"const \{([^}]+)\} =\s+Object.fromEntries", (PAGE / "page.js").read_text())
    assert found is not None
    looked_for = set(found[1].replace(" ", "").split(","))
    for file in SCRIPTS:
        looked_for |= set(re.findall(r'getElementById\("([\w-]+)"\)', file.read_text()))
    assert len(looked_for) > 12
    assert looked_for <= ids
