"""One client's conversation, without a socket and without a clock."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.server.commands import RunAttach, RunCancel
from agentrt.server.protocol import Heartbeat, Limits, Pong, Reply, Welcome
from agentrt.server.session import Close, Greet, Order, Resume, Send, Session
from agentrt.server.settings import ServeSettings

SETTINGS = ServeSettings()
WELCOME = Welcome(
    session_id="s1", heartbeat_s=15, server="x", principal=None, agents=("a",), limits=Limits(), capabilities={}
)
HELLO: dict[str, Any] = {"type": "hello"}
ATTACH = {"type": "run.attach", "id": "1", "run_id": "r1"}


def say(session: Session, frame: dict[str, Any] | str | bytes, now: float = 0.0) -> list[Order]:
    return session.receive(json.dumps(frame) if isinstance(frame, dict) else frame, now)


def opened(settings: ServeSettings = SETTINGS, hello: dict[str, Any] = HELLO) -> Session:
    session = Session(settings, 0.0)
    assert isinstance(say(session, hello)[0], Greet)
    session.welcome(WELCOME)
    return session


def code(orders: list[Order]) -> str | int:
    """What the last order says no with: a close code, or a reply's."""
    match orders[-1]:
        case Close(code=number):
            return number
        case Send(frame=Reply(error=problem)) if problem is not None:
            return problem.code
        case other:
            raise AssertionError(other)


def test_a_client_says_hello_and_is_welcomed_with_its_runs() -> None:
    session = Session(SETTINGS, 0.0)
    cursor = {"run_id": "r1", "epoch": 1, "after": 7}
    (greet,) = say(session, {**HELLO, "resume": [{"run_id": "r1"}, {"run_id": "r2"}, cursor]})
    assert isinstance(greet, Greet)
    assert not session.is_open
    welcome, *resumed = session.welcome(WELCOME)
    assert welcome == Send(WELCOME)
    assert [(r.cursor.run_id, r.cursor.after) for r in resumed if isinstance(r, Resume)] == [("r1", 7), ("r2", 0)]
    assert session.is_open


def test_commands_come_out_as_they_are_and_a_ping_is_answered() -> None:
    session = opened()
    assert say(session, ATTACH) == [RunAttach("1", "r1")]
    assert say(session, {"type": "run.cancel", "id": "2", "run_id": "r1"}) == [RunCancel("2", "r1")]
    assert say(session, {"type": "ping", "t": 12}) == [Send(Pong(12))]


@pytest.mark.parametrize("frame", [ATTACH, {"type": "ping"}])
def test_nothing_is_done_before_hello(frame: dict[str, Any]) -> None:
    assert code(say(Session(SETTINGS, 0.0), frame)) == 4400


def test_whoever_is_not_known_is_closed_out() -> None:
    session = Session(SETTINGS, 0.0)
    say(session, HELLO)
    assert session.refuse() == [Close(4401, "not authorized")]
    assert say(session, ATTACH) == []
    assert session.welcome(WELCOME) == []


def test_hello_has_to_come_in_time_and_so_has_the_welcome() -> None:
    for greeted in (False, True):
        session = Session(SETTINGS, 100.0)
        if greeted:
            say(session, HELLO, 101.0)
        assert session.due == 105.0
        assert session.tick(104.9) == []
        assert code(session.tick(105.0)) == 4408


def test_a_second_hello_and_one_of_another_major_are_refused() -> None:
    assert code(say(opened(), HELLO)) == "invalid_frame"
    assert code(say(Session(SETTINGS, 0.0), {**HELLO, "protocol": "2.0"})) == 4406
    assert isinstance(say(Session(SETTINGS, 0.0), {**HELLO, "protocol": "1.7"})[0], Greet)


def test_a_binary_frame_closes() -> None:
    assert code(opened().receive(b"{}", 0.0)) == 1003


def test_bad_frames_are_answered_until_there_are_three_in_a_row() -> None:
    session = opened()
    assert code(say(session, "{")) == "invalid_frame"
    assert code(say(session, "[]")) == "invalid_frame"
    say(session, {"type": "ping"})
    assert [code(say(session, "{")) for _ in range(3)] == ["invalid_frame", "invalid_frame", 4400]
    assert say(session, ATTACH) == []


def test_a_type_of_a_newer_client_is_no_bad_frame() -> None:
    session = opened()
    assert {code(say(session, {"type": "run.hurry", "id": "1"})) for _ in range(10)} == {"unknown_type"}


def test_too_many_commands_are_refused_and_the_third_refusal_closes() -> None:
    session = Session(ServeSettings(commands=5), 0.0)
    say(session, HELLO)
    session.welcome(WELCOME)
    assert [say(session, ATTACH) for _ in range(4)] == [[RunAttach("1", "r1")]] * 4
    (refused,) = say(session, ATTACH)
    assert isinstance(refused, Send) and isinstance(refused.frame, Reply) and refused.frame.error is not None
    assert (refused.frame.id, refused.frame.error.code) == ("1", "rate_limited")
    assert refused.frame.error.retry_after_ms == 200
    assert say(session, ATTACH, 0.2) == [RunAttach("1", "r1")]
    assert code(say(session, ATTACH, 0.2)) == "rate_limited"
    assert code(say(session, ATTACH, 0.2)) == 4429


def test_quiet_forgives_strikes() -> None:
    session = opened(ServeSettings(commands=2))
    for now in (10.0, 20.0, 30.0):
        assert [say(session, ATTACH, now) for _ in range(2)] == [[RunAttach("1", "r1")]] * 2
        assert [code(say(session, ATTACH, now)) for _ in range(2)] == ["rate_limited"] * 2


@given(st.lists(st.floats(0, 0.3), max_size=200))
def test_no_more_than_the_rate_and_one_burst_gets_through(pauses: list[float]) -> None:
    session, now, through = opened(ServeSettings(commands=10)), 0.0, 0
    for pause in pauses:
        now += pause
        orders = say(session, ATTACH, now)
        through += orders == [RunAttach("1", "r1")]
    assert through <= 10 + 10 * now


def test_a_heartbeat_comes_after_silence_and_tells_what_was_shown() -> None:
    session = opened()
    session.sent(10.0)
    session.shown["r1"] = 64
    assert session.due == 25.0
    assert session.tick(24.9) == []
    assert session.tick(25.0) == [Send(Heartbeat(t=25_000, runs={"r1": 64}))]
    assert session.tick(25.1) == []
    session.sent(26.0)
    assert session.due == 41.0
