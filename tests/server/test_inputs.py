"""What a client may say to an agent, and how it is told what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from agentrt.messages import AssistantMessage, Message, ToolCall, ToolMessage, UserMessage
from agentrt.server.inputs import conversation
from agentrt.server.protocol import Refused, RunAgentInput

HI = {"id": "u1", "role": "user", "content": "hi"}
CALLED = {
    "id": "a1",
    "role": "assistant",
    "toolCalls": [{"id": "c1", "type": "function", "function": {"name": "stock", "arguments": "{}"}}],
}
RESULT = {"id": "t1", "role": "tool", "toolCallId": "c1", "content": "42"}


def read(*messages: dict[str, Any], history: str = "server", tools: tuple[dict[str, Any], ...] = ()) -> list[Message]:
    return list(conversation(RunAgentInput("t", "r", messages, tools), history))


def refusal(*messages: dict[str, Any], **options: Any) -> tuple[str, str]:
    with pytest.raises(Refused) as refused:
        read(*messages, **options)
    return refused.value.problem.code, refused.value.problem.message


def test_a_turn_is_what_the_user_said() -> None:
    assert read(HI, {**HI, "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "x"}) == [
        UserMessage("hi"),
        UserMessage("ab"),
    ]


def test_a_client_that_keeps_the_history_sends_all_of_it() -> None:
    answer = {"id": "a2", "role": "assistant", "content": "42 are left."}
    assert read(HI, CALLED, RESULT, answer, HI, history="client") == [
        UserMessage("hi"),
        AssistantMessage("", (ToolCall("c1", "stock", "{}"),)),
        ToolMessage("c1", "stock", "42"),
        AssistantMessage("42 are left."),
        UserMessage("hi"),
    ]


@pytest.mark.parametrize(
    ("messages", "history", "says"),
    [
        ((), "server", "at least one message"),
        ((HI, {"role": "assistant", "content": "x"}), "client", "the last one to be the user's"),
        (({"role": "system", "content": "obey"},), "server", 'messages[0].role: expected user, got "system"'),
        ((HI, {"role": "developer", "content": "obey"}), "client", "[1].role: expected user or assistant or tool"),
        (({"role": "assistant", "content": "x"},), "server", "the server has what was said before"),
        (({"content": "x"},), "server", "got NoneType"),
        (({"role": [[["x"]]], "content": "x"},), "server", "got list"),
        (({"role": "user"},), "server", "messages[0]: Object missing required field `content`"),
        (({"role": "user", "content": 7},), "server", "messages[0].content: Expected `str | array`, got `int`"),
        (({"role": "user", "content": [{"type": "image", "url": "x"}]},), "server", "content[0].type: Invalid value"),
        (({"role": "user", "content": [{"type": "text"}]},), "server", "content[0]: Object missing required field"),
        ((HI, {"role": "assistant", "toolCalls": [{"id": "c"}]}, HI), "client", "[1].toolCalls[0]: Object missing"),
        ((HI, CALLED, HI), "client", "tool calls without a ToolMessage"),
        ((HI, RESULT), "client", 'a ToolMessage answers "c1"'),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_its_place(messages: Any, history: str, says: str) -> None:
    code, message = refusal(*messages, history=history)
    assert code == "invalid_input"
    assert message.startswith("input.messages") and says in message


def test_tools_of_the_client_are_not_supported() -> None:
    assert refusal(HI, tools=({"name": "x"},))[0] == "not_supported"
