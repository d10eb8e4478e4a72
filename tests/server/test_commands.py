"""What a client may say, and what it is told when it says something else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentrt.server.commands import (
    ApprovalRespond,
    Cursor,
    Hello,
    Ping,
    RunAgentInput,
    RunAttach,
    RunCancel,
    RunDetach,
    RunStart,
    RunSteer,
    StartOptions,
    ToolCancel,
    ToolResult,
    Words,
    decode,
)
from agentrt.server.protocol import Reply, encode

INPUT = {"threadId": "t1", "runId": "r1", "messages": [{"id": "u1", "role": "user", "content": "hi"}]}


def said(**frame: Any) -> Any:
    return decode(json.dumps(frame))


def refused(text: str) -> tuple[str | None, str, str]:
    """Id, code and text of the reply to a frame that is none."""
    reply = decode(text)
    assert isinstance(reply, Reply) and not reply.ok and reply.error is not None
    return reply.id, reply.error.code, reply.error.message


def test_every_frame_of_a_client_is_read() -> None:
    hello = said(type="hello", protocol="1.0", auth={"token": "x"}, resume=[{"run_id": "r1", "epoch": 1, "after": 7}])
    assert isinstance(hello, Hello) and hello.auth is not None and hello.auth.token == "x"
    assert hello.resume == (Cursor("r1", 1, 7),)
    start = said(type="run.start", id="1", agent="a", input=INPUT, options={"history": "client"})
    assert start == RunStart(
        id="1",
        agent="a",
        input=RunAgentInput("t1", "r1", ({"id": "u1", "role": "user", "content": "hi"},)),
        options=StartOptions(history="client"),
    )
    assert said(type="run.attach", id="2", run_id="r1") == RunAttach("2", "r1", 0, 0)
    assert said(type="run.detach", id="3", run_id="r1") == RunDetach("3", "r1")
    assert said(type="run.cancel", id="4", run_id="r1") == RunCancel("4", "r1", "user", "now")
    of_r1: dict[str, Any] = {"id": "5", "run_id": "r1"}
    assert said(type="run.cancel", **of_r1, mode="after_turn") == RunCancel("5", "r1", "user", "after_turn")
    assert said(type="tool.cancel", **of_r1, tool_call_id="c", reason="slow") == ToolCancel("5", "r1", "c", "slow")
    approve = {"approval_id": "c", "decision": "approve", "edited_args": None}
    assert said(type="approval.respond", **of_r1, **approve) == ApprovalRespond("5", "r1", "c", "approve")
    result = {"tool_call_id": "c", "content": "42", "error": None}
    assert said(type="tool.result", **of_r1, **result) == ToolResult("5", "r1", "c", "42")
    words = {"id": "u2", "content": "And B?"}
    assert said(type="run.steer", **of_r1, message=words) == RunSteer("5", "r1", Words("u2", "And B?"))
    assert said(type="ping", t=3.5) == Ping(3.5)


def test_what_a_newer_client_adds_is_not_in_the_way() -> None:
    start = {"type": "run.start", "id": "1", "input": {**INPUT, "state": {}, "forwardedProps": {"a": 1}}, "colour": 1}
    assert isinstance(decode(json.dumps(start)), RunStart)
    assert refused('{"type": "run.hurry", "id": "8", "run_id": "r1"}')[:2] == ("8", "unknown_type")


@pytest.mark.parametrize(
    ("text", "id_", "says"),
    [
        ("", None, "not JSON"),
        ("{", None, "not JSON"),
        ("null", None, "expected a JSON object"),
        ("[]", None, "expected a JSON object: Expected `object`, got `array`"),
        ("7", None, "got `int`"),
        ('{"type": "run.start", "input": {"messages": [%s' % ('{"a":' * 50_000), None, "nested too deeply"),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, None, "nested too deeply"),
        ("{}", None, 'type: expected a text such as "run.start", got NoneType'),
        ('{"type": 7, "id": "1"}', "1", "got int"),
        ('{"type": "run.cancel", "id": "1"}', "1", "run.cancel: Object missing required field `run_id`"),
        ('{"type": "run.cancel", "id": 5, "run_id": "r"}', None, "Expected `str`, got `int` - at `$.id`"),
        ('{"type": "run.attach", "id": "1", "run_id": "r", "after": -1}', "1", "`int` >= 0 - at `$.after`"),
        ('{"type": "run.attach", "id": "1", "run_id": "r", "after": 1e99}', "1", "got `float` - at `$.after`"),
        ('{"type": "run.cancel", "id": "1", "run_id": ""}', "1", "run_id: expected 1 to 200 printable"),
        ('{"type": "run.cancel", "id": "1", "run_id": "a\\nb"}', "1", "got others"),
        ('{"type": "run.cancel", "id": "%s", "run_id": "r"}' % ("x" * 201), None, "id: expected 1 to 200"),
        ('{"type": "run.cancel", "id": "1", "run_id": "r", "mode": "soon"}', "1", "Invalid enum value 'soon'"),
        ('{"type": "tool.cancel", "id": "1", "run_id": "r", "tool_call_id": ""}', "1", "tool_call_id: expected"),
        ('{"type": "tool.result", "id": "1", "run_id": "r", "tool_call_id": "\\n"}', "1", "tool_call_id: expected"),
        ('{"type": "run.steer", "id": "1", "run_id": "r", "message": {"content": "x"}}', "1", "field `id` - at"),
        ('{"type": "run.steer", "id": "1", "run_id": "r", "message": {"id": "", "content": "x"}}', "1", "message.id"),
        ('{"type": "run.steer", "id": "1", "run_id": "r", "message": {"id": "u", "content": 7}}', "1", "`str | array`"),
        (
            '{"type": "approval.respond", "id": "1", "run_id": "r", "approval_id": "", "decision": "deny"}',
            "1",
            "approval_id: expected 1 to 200 printable",
        ),
        (
            '{"type": "approval.respond", "id": "1", "run_id": "r", "approval_id": "c", "decision": "perhaps"}',
            "1",
            "Invalid enum value 'perhaps'",
        ),
        ('{"type": "hello", "resume": [{"run_id": "\\u0000"}]}', None, "resume[0].run_id"),
        ('{"type": "run.start", "id": "1", "input": {"threadId": "", "runId": "r", "messages": []}}', "1", "threadId"),
        ('{"type": "run.start", "id": "1", "input": {"threadId": "t", "runId": "r"}}', "1", "`messages` - at"),
        ('{"type": "hello", "auth": {"scheme": "basic"}}', None, "Invalid enum value 'basic' - at `$.auth.scheme`"),
    ],
)  # fmt: skip
def test_a_bad_frame_is_answered_by_what_is_wrong_with_it(text: str, id_: str | None, says: str) -> None:
    answered, code, message = refused(text)
    assert (answered, code) == (id_, "invalid_frame")
    assert says in message


def test_a_hello_resumes_so_many_runs_and_no_more() -> None:
    runs = [{"run_id": f"r{n}"} for n in range(65)]
    assert refused(json.dumps({"type": "hello", "resume": runs}))[1] == "invalid_frame"
    assert isinstance(said(type="hello", resume=runs[:64]), Hello)


@pytest.mark.parametrize(
    "wrong", [{"type": "run.start", "options": {"history": "x" * 200_000}}, {"type": "x" * 200_000}]
)
def test_what_is_wrong_is_told_in_few_words_however_long_it_is(wrong: dict[str, Any]) -> None:
    answer = said(**{"id": "1", "input": INPUT, **wrong})
    assert isinstance(answer, Reply) and len(encode(answer)) < 700
