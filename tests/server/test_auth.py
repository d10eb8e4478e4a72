"""Who may come in, and what is whose: the rules by themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.errors import SettingInvalid
from agentrt.server.auth import (
    ConnectionInfo,
    bearer,
    check_binding,
    host_allowed,
    is_loopback,
    origin_allowed,
    scoped,
    unscoped,
)


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "may"),
    [
        (None, "127.0.0.1:8080", (), True),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", (), True),
        ("http://LOCALHOST:8080", "localhost:8080", (), True),
        ("http://[::1]:8080", "[::1]:8080", (), True),
        ("https://chat.example.org", "chat.example.org", (), True),
        ("https://chat.example.org", "chat.example.org:443", (), True),
        ("https://chat.example.org:8443", "chat.example.org", (), False),
        ("http://localhost:8080", "127.0.0.1:8080", (), False),
        ("http://127.0.0.1:3000", "127.0.0.1:8080", (), False),
        ("https://evil.example", "127.0.0.1:8080", (), False),
        ("https://chat.example.org.evil.example", "chat.example.org", (), False),
        ("https://evil.example/chat.example.org", "chat.example.org", (), False),
        ("https://chat.example.org@evil.example", "chat.example.org", (), False),
        ("https://evil.example@chat.example.org", "chat.example.org", (), False),
        ("null", "127.0.0.1:8080", (), False),
        ("", "127.0.0.1:8080", (), False),
        ("file://", "", (), False),
        ("http://", "", (), False),
        ("http://127.0.0.1:x", "127.0.0.1:x", (), False),
        ("http://a", None, (), False),
        ("https://app.example.org", "chat.example.org", ("https://app.example.org",), True),
        ("https://app.example.org", "chat.example.org", ("https://APP.example.org/",), True),
        ("http://app.example.org", "chat.example.org", ("https://app.example.org",), False),
        ("https://evil.example", "chat.example.org", ("*",), True),
        ("null", "chat.example.org", ("null",), True),
    ],
)
def test_a_page_may_connect_to_its_own_server_and_others_if_they_are_listed(
    origin: str | None, host: str | None, allowed: tuple[str, ...], may: bool
) -> None:
    assert origin_allowed(origin, host, allowed) is may


@pytest.mark.parametrize(
    ("host", "bound", "allowed", "may"),
    [
        ("localhost", "127.0.0.1", (), True),
        ("LocalHost:8080", "127.0.0.1", (), True),
        ("127.0.0.1:1", "127.0.0.1", (), True),
        ("[::1]:8080", "127.0.0.1", (), True),
        ("127.0.0.5:8080", "127.0.0.5", (), True),
        ("127.0.0.1.evil.example:8080", "127.0.0.1", (), False),
        ("evil.example", "localhost", (), False),
        ("evil.example", "::1", (), False),
        ("localhost@evil.example", "127.0.0.1", (), False),
        ("localhost/evil", "127.0.0.1", (), False),
        ("localhost:x", "127.0.0.1", (), False),
        ("", "127.0.0.1", (), False),
        (None, "127.0.0.1", (), False),
        ("chat.example.org", "127.0.0.1", ("Chat.example.org",), True),
        ("evil.example", "127.0.0.1", ("chat.example.org",), False),
        ("evil.example", "127.0.0.1", ("*",), True),
        ("evil.example", "0.0.0.0", (), True),
        (None, "10.0.0.1", (), True),
    ],
)
def test_a_server_on_loopback_answers_to_its_own_names(
    host: str | None, bound: str, allowed: tuple[str, ...], may: bool
) -> None:
    assert host_allowed(host, bound, allowed) is may


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "10.1.2.3", "example.org", "localhost.example.org", "1.2.3"])
def test_what_others_can_reach_needs_somebody_who_asks_who_they_are(host: str) -> None:
    async def anybody(info: ConnectionInfo, token: str | None) -> str | None:
        return "x"

    assert not is_loopback(host)
    with pytest.raises(SettingInvalid, match="authenticate"):
        check_binding(host, None)
    check_binding(host, anybody)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "[::1]"])
def test_loopback_needs_nobody(host: str) -> None:
    check_binding(host, None)


def test_a_token_is_what_stands_behind_bearer() -> None:
    assert bearer("Bearer abc") == bearer("bearer  abc ") == "abc"
    assert bearer("Basic abc") is None
    assert bearer("Bearer") is None
    assert bearer("Bearer ") is None
    assert bearer("") is None


def test_nobodys_ids_stand_for_themselves() -> None:
    assert scoped(None, "0198c1b2-7a") == "0198c1b2-7a"
    assert scoped("alice", "r1") == "alice/r1"
    assert scoped("a/b", "c") != scoped("a", "b/c") != scoped(None, "a/b/c")


PRINCIPALS = st.none() | st.text(max_size=6) | st.text("a/%2F", max_size=4)
IDS = st.text(min_size=1, max_size=6) | st.text("a/%2F", min_size=1, max_size=4)


@given(PRINCIPALS, IDS, PRINCIPALS, IDS)
def test_no_two_ids_of_different_principals_meet(one: str | None, its: str, other: str | None, theirs: str) -> None:
    assert (scoped(one, its) == scoped(other, theirs)) == ((one, its) == (other, theirs))
    assert unscoped(one, scoped(one, its)) == its
