"""What a service is asked by without the `openai` package, and what it means that it fails."""

from __future__ import annotations

import httpx2
import pytest

from agentrt.errors import ProviderRefused, ProviderUnreachable, ReplyIncomplete
from agentrt.model.connections import Connections
from agentrt.model.settings import Settings
from agentrt.profiles import OPENAI, Profile


def connections(
    base_url: str | None = "http://x:8000/v1/", key: str = "hush-hush", profile: Profile = OPENAI
) -> Connections:
    return Connections(
        Settings(
            name="x",
            base_url=base_url,
            api_key=key,
            transport=httpx2.MockTransport(lambda _request: httpx2.Response(200)),
            connect_timeout=5.0,
            first_byte_timeout=60.0,
            idle_timeout=30.0,
            wall=lambda: 0.0,
            profile=profile,
        )
    )


def test_who_asks_is_said_by_key_and_to_openai_by_organization_and_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "")
    assert connections().signed() == {"Authorization": "Bearer hush-hush", "User-Agent": "agentrt"}
    assert connections(None).signed()["OpenAI-Organization"] == "org-1"
    assert "OpenAI-Project" not in connections(None).signed()


def test_what_the_environment_says_is_told_only_if_a_header_can_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", " org-1 ")
    assert connections(None).signed()["OpenAI-Organization"] == "org-1"
    for value in ("Zürich", "a\nb"):
        monkeypatch.setenv("OPENAI_ORG_ID", value)
        with pytest.raises(ProviderRefused, match="x: OPENAI_ORG_ID cannot be sent: expected ASCII"):
            connections(None).signed()
        assert connections().signed().keys() == {"Authorization", "User-Agent"}


def test_a_service_may_want_its_key_in_another_header_and_more_of_them() -> None:
    profile = Profile(key_header="api-key", headers={"X-Version": "1"})
    assert connections(profile=profile).signed() == {
        "api-key": "hush-hush",
        "User-Agent": "agentrt",
        "X-Version": "1",
    }


def test_an_address_may_end_in_a_slash_and_usual_ones_are_known() -> None:
    assert connections().base_url == "http://x:8000/v1"
    assert connections(None).base_url == "https://api.openai.com/v1"
    assert connections(None, profile=Profile(base_url="http://y/v1")).address("/embeddings") == "http://y/v1/embeddings"


def test_a_query_goes_behind_every_address() -> None:
    profile = Profile(query={"api-version": "2024-10-21", "x": "a b"})
    assert connections(profile=profile).address("/z") == "http://x:8000/v1/z?api-version=2024-10-21&x=a+b"


def test_a_connection_that_breaks_is_called_by_how_far_it_had_come() -> None:
    unsent = connections().broken(httpx2.ConnectError("refused"), None)
    assert isinstance(unsent, ProviderUnreachable)
    assert (str(unsent), unsent.sent) == ("x: no answer from x:8000 (ConnectError: refused)", False)
    sent = connections().broken(httpx2.ReadError(""), None)
    assert isinstance(sent, ProviderUnreachable)
    assert sent.sent
    assert isinstance(connections().broken(httpx2.ReadError(""), 200), ReplyIncomplete)


def test_a_key_is_taken_out_of_a_text_unless_it_is_a_placeholder() -> None:
    assert connections().without_key("wrong key hush-hush") == "wrong key ***"
    assert connections(key="none").without_key("none of it") == "none of it"


def test_no_half_of_a_key_is_shown_where_a_quotation_was_cut_within_it() -> None:
    key = "AIzaSyA-0123456789-abcdefghijklmnopqrst"
    mine = connections(key=key)
    assert mine.without_key(f"no: {key}; {key[:-1]}… {key[:20]}") == "no: ***; ***… ***"
    assert mine.without_key(f"{key}{key}.") == "******."
    assert mine.without_key("AIzaSyA-, in short") == "AIzaSyA-, in short"
