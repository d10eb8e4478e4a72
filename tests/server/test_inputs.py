"""What a client may say to an agent, and how it is told what it may not."""

from __future__ import annotations

from typing import Any

import pytest
from ag_ui.core import UserMessage as TheirUserMessage

from agentrt.messages import AssistantMessage, ImagePart, Message, TextPart, ToolCall, ToolMessage, UserMessage
from agentrt.server.commands import RunAgentInput, Words
from agentrt.server.inputs import conversation, said
from agentrt.server.protocol import Refused

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


def image(**source: str) -> dict[str, Any]:
    message = {**HI, "content": [{"type": "text", "text": "Which?"}, {"type": "image", "source": source}]}
    TheirUserMessage.model_validate(message)
    return message


def test_a_turn_may_hold_images() -> None:
    data, url = {"type": "data", "value": "iVBORw==", "mimeType": "image/png"}, {"type": "url", "value": "https://x/a"}
    assert read(image(**data), image(**url)) == [
        UserMessage((TextPart("Which?"), ImagePart(data=b"\x89PNG", media_type="image/png"))),
        UserMessage((TextPart("Which?"), ImagePart(url="https://x/a"))),
    ]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"type": "data", "value": "no base64!", "mimeType": "image/png"}, "content[1].source.value: Invalid base64"),
        ({"type": "data", "value": "eA==", "mimeType": "text/html"}, "media_type='text/html'"),
        ({"type": "data", "value": "", "mimeType": "image/png"}, "without a byte"),
        ({"type": "url", "value": "javascript:x"}, "expected an address"),
        ({"type": "file", "value": "f1"}, "[0].content[1].source.type: Invalid value"),
    ],
)
def test_an_image_that_cannot_be_used_is_refused(source: dict[str, str], says: str) -> None:
    code, message = refusal(image(**source))
    assert code == "invalid_input"
    assert message.startswith("input.messages") and says in message


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
        (({"role": "user", "content": [{"type": "audio", "url": "x"}]},), "server", "content[0].type: Invalid value"),
        (({"role": "user", "content": [{"type": "image", "url": "x"}]},), "server", "missing required field `source`"),
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


def test_what_is_said_into_a_run_is_read_as_a_turn_is() -> None:
    assert said(Words("u1", "And B?")) == UserMessage("And B?")
    assert said(Words("u1", ({"type": "text", "text": "a"}, {"type": "text", "text": "b"}))) == UserMessage("ab")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "message.content: expected a text, and it is empty"),
        ((), "message.content: expected a text, and it is empty"),
        (({"type": "audio"},), "message.content[0].type: Invalid value"),
        (({"type": "image", "source": {"type": "url", "value": "javascript:x"}},), "expected an address"),
    ],
)
def test_words_that_cannot_be_used_are_refused_by_their_place(content: Any, says: str) -> None:
    with pytest.raises(Refused) as refused:
        said(Words("u1", content))
    assert refused.value.problem.code == "invalid_input"
    assert says in refused.value.problem.message
