"""What the server says, in frames."""

from __future__ import annotations

import json

from agentrt.server.protocol import RETRYABLE, Heartbeat, Refused, Reply, encode


def test_a_refusal_says_whether_and_when_to_ask_again() -> None:
    reply = Refused("too_many_runs", "full", wait=1.5).reply("1", "r1")
    assert json.loads(encode(reply)) == {
        "type": "reply",
        "id": "1",
        "ok": False,
        "run_id": "r1",
        "error": {"code": "too_many_runs", "message": "full", "retryable": True, "retry_after_ms": 1500},
    }
    assert "retryable" not in encode(Refused("no_such_run", "none").reply("1"))
    assert "no_such_run" not in RETRYABLE


def test_a_frame_is_sent_with_its_type() -> None:
    assert json.loads(encode(Heartbeat(t=5, runs={"r1": 3}))) == {"type": "heartbeat", "t": 5, "runs": {"r1": 3}}
    assert json.loads(encode(Reply(id=None, ok=True)))["ok"] is True
