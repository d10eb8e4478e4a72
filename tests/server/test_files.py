"""The page as it is sent, and the headers around it."""

from __future__ import annotations

import json
from pathlib import Path

import agentrt.server
from agentrt.server.files import Page, page_files, page_headers

PAGE = Path(agentrt.server.__path__[0]) / "page"


def test_every_file_of_the_page_is_served_by_its_name_and_type() -> None:
    files = page_files(Page(), ["clerk"])
    for path in PAGE.iterdir():
        assert files[f"/{path.name}"].body == path.read_bytes()
    assert files["/"] == files["/index.html"]
    assert files["/"].type == "text/html; charset=utf-8"
    assert files["/client.js"].type == "text/javascript; charset=utf-8"


def test_the_page_is_told_what_to_say_before_anything_was_asked() -> None:
    def told(page: Page) -> object:
        return json.loads(page_files(page, ["clerk", "poet"])["/page.json"].body)

    assert told(Page()) == {"title": "clerk, poet", "examples": []}
    assert told(Page(title="Shop", examples=("Any left?",))) == {"title": "Shop", "examples": ["Any left?"]}


def test_nothing_of_a_request_gets_into_the_policy_but_a_plain_host() -> None:
    policy = "Content-Security-Policy"
    assert "connect-src 'self' ws://[::1]:8080 wss://[::1]:8080;" in page_headers("[::1]:8080")[policy]
    for host in (None, "", "a; script-src *", "a b", "'unsafe-inline'"):
        assert "connect-src 'self';" in page_headers(host)[policy]
