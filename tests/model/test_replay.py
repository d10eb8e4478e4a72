"""A call that was wrong once does not make every later request wrong."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrt.messages import AssistantMessage, ToolCall, ToolMessage, UserMessage
from agentrt.model.anthropic.dialect import AnthropicMessages
from agentrt.model.dialect import ChatCompletions, Dialect
from agentrt.model.model import ModelRequest
from agentrt.model.replay import replayed
from agentrt.model.responses.dialect import Responses


def test_a_call_that_may_be_sent_stays_as_it_is() -> None:
    call = ToolCall("c1", "stock", '{"sku": "A"}')
    assert replayed(call) is call


@given(st.text(max_size=100), st.text(max_size=20))
def test_any_other_becomes_one_that_may_be(name: str, arguments: str) -> None:
    sent = replayed(ToolCall("c1", name, arguments))
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", sent.name)
    assert isinstance(json.loads(sent.arguments), dict)
    assert sent.id == "c1"


@pytest.mark.parametrize("dialect", [ChatCompletions(), Responses(), AnthropicMessages()])
@pytest.mark.parametrize(("name", "sent"), [("", "unnamed"), ("look up!", "look_up_"), ("a" * 70, "a" * 64)])
def test_every_dialect_sends_a_name_that_a_tool_can_have(dialect: Dialect, name: str, sent: str) -> None:
    call = ToolCall("c1", name, "{}")
    messages = (UserMessage("?"), AssistantMessage("", (call,)), ToolMessage("c1", name, "no such tool"))
    body = json.loads(dialect.encode(ModelRequest("m", messages)))
    assert f'"name": "{sent}"' in json.dumps(body)
    assert f'"name": "{name}"' not in json.dumps(body)
