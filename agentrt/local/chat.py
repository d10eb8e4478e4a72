"""The Chat Completions format, from the provider's side: a body read and checked, a turn written.

Pure: bytes in, bytes out. What the format allows and this provider cannot do is refused by name rather
than ignored, except for what only shapes the sampling or limits the length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from agentrt.messages import AssistantMessage, Message, SystemMessage, ToolCall, ToolMessage, ToolSpec, UserMessage

FRAGMENT = 16
"""Characters of text, or of a call's arguments, in one chunk."""


class BadRequest(Exception):
    """A request the provider refuses; `body` is what it answers."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(message, "invalid_request_error", param=param, code=code)


def error_body(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> bytes:
    """The body of any answer that is not 200."""
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


# ---- what comes ------------------------------------------------------------------------------------


class ChatRequest(msgspec.Struct, frozen=True):
    """What was asked. `tools` is empty also where the caller said that none may be called."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...]
    stream: bool
    include_usage: bool


class _Part(msgspec.Struct):
    type: Literal["text", "refusal"]
    text: str = ""


_Content = str | list[_Part] | None


class _System(msgspec.Struct, tag_field="role", tag="system"):
    content: _Content


class _Developer(msgspec.Struct, tag_field="role", tag="developer"):
    content: _Content


class _User(msgspec.Struct, tag_field="role", tag="user"):
    content: _Content


class _Function(msgspec.Struct):
    name: str
    arguments: str


class _Call(msgspec.Struct):
    id: str
    function: _Function
    type: Literal["function"] = "function"


class _Assistant(msgspec.Struct, tag_field="role", tag="assistant"):
    content: _Content = None
    tool_calls: list[_Call] | None = None


class _Tool(msgspec.Struct, tag_field="role", tag="tool"):
    tool_call_id: str
    content: _Content


_AnyMessage = _System | _Developer | _User | _Assistant | _Tool


class _Schema(msgspec.Struct):
    name: str
    description: str = ""
    parameters: msgspec.Raw = msgspec.Raw(b"{}")


class _Offer(msgspec.Struct):
    function: _Schema
    type: Literal["function"] = "function"


class _StreamOptions(msgspec.Struct):
    include_usage: bool = False


class _Format(msgspec.Struct):
    type: str = "text"


class _Body(msgspec.Struct):
    model: str
    messages: list[_AnyMessage]
    tools: list[_Offer] | None = None
    tool_choice: Any = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None
    response_format: _Format | None = None


_DECODER = msgspec.json.Decoder(_Body)


def read_chat(body: bytes) -> ChatRequest:
    """The request in our own terms.

    Raises:
        BadRequest: it is no JSON, not of the form, or asks for what this provider cannot do.
    """
    try:
        asked = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest(f"invalid request: {error}", param=_place(str(error))) from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from None
    if not asked.messages:
        raise BadRequest("'messages' is empty; it needs at least one", param="messages", code="empty_array")
    if asked.n not in {None, 1}:
        raise BadRequest(f"n={asked.n} is not supported; only 1 is", param="n", code="unsupported_value")
    if asked.response_format is not None and asked.response_format.type != "text":
        raise _unsupported("response_format", asked.response_format.type, "text")
    if asked.tool_choice not in (None, "auto", "none"):  # It may be an object, which no set can hold.
        raise _unsupported("tool_choice", asked.tool_choice, "auto and none")
    tools = () if asked.tool_choice == "none" else tuple(offer.function for offer in asked.tools or ())
    return ChatRequest(
        model=asked.model,
        messages=_messages(asked.messages),
        tools=tuple(ToolSpec(tool.name, tool.description, tool.parameters) for tool in tools),
        stream=bool(asked.stream),
        include_usage=asked.stream_options is not None and asked.stream_options.include_usage,
    )


def _unsupported(name: str, value: object, known: str) -> BadRequest:
    return BadRequest(f"{name}={value!r} is not supported; {known} is", param=name, code="unsupported_value")


def _place(message: str) -> str | None:
    """The path in the body that msgspec complains about, as in `messages[0].content`."""
    _, found, path = message.partition(" - at `$.")
    return path.rstrip("`") if found else None


def _messages(said: Sequence[_AnyMessage]) -> tuple[Message, ...]:
    """In our terms. Every call must be answered by the messages right after it, and nothing else be answered."""
    messages: list[Message] = []
    unanswered: dict[str, str] = {}
    for place, message in enumerate(said):
        if unanswered and not isinstance(message, _Tool):
            raise _not_answered(unanswered)
        match message:
            case _System() | _Developer():
                messages.append(SystemMessage(_text(message.content)))
            case _User():
                messages.append(UserMessage(_text(message.content)))
            case _Assistant():
                calls = message.tool_calls or []
                unanswered = {call.id: call.function.name for call in calls}
                made = tuple(ToolCall(call.id, call.function.name, call.function.arguments) for call in calls)
                messages.append(AssistantMessage(_text(message.content), made))
            case _Tool():
                name = unanswered.pop(message.tool_call_id, None)
                if name is None:
                    text = f"the tool message answers {message.tool_call_id!r}, which no message before it called"
                    raise BadRequest(text, param=f"messages.[{place}].tool_call_id")
                messages.append(ToolMessage(message.tool_call_id, name, _text(message.content)))
    if unanswered:
        raise _not_answered(unanswered)
    return tuple(messages)


def _not_answered(unanswered: dict[str, str]) -> BadRequest:
    return BadRequest(f"tool calls without a tool message after them: {', '.join(unanswered)}", param="messages")


def _text(content: _Content) -> str:
    if isinstance(content, list):
        return "".join(part.text for part in content)
    return content or ""


# ---- what goes -------------------------------------------------------------------------------------


class Completion(msgspec.Struct, frozen=True):
    """A turn, ready to be written. Token counts are of the request and of the reply."""

    id: str
    created: int
    model: str
    reply: AssistantMessage
    prompt_tokens: int
    completion_tokens: int
    finish: str | None = None

    @property
    def finish_reason(self) -> str:
        return self.finish or ("tool_calls" if self.reply.tool_calls else "stop")

    @property
    def usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        }


def write_whole(completion: Completion) -> bytes:
    """The body of an answer that is not streamed."""
    reply = completion.reply
    message: dict[str, Any] = {"role": "assistant", "content": reply.content or None, "refusal": None}
    if reply.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.tool_calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": completion.finish_reason}
    return msgspec.json.encode({**_head(completion, "chat.completion"), "choices": [choice], "usage": completion.usage})


Fragment = Callable[[str], Iterable[str]]


def fragments(text: str) -> Iterator[str]:
    """Pieces of at most `FRAGMENT` characters, cut behind a blank where there is one."""
    start = 0
    while start < len(text):
        end = start + FRAGMENT
        if end < len(text):
            end = text.rfind(" ", start, end) + 1 or end
        yield text[start:end]
        start = end


def write_stream(completion: Completion, *, include_usage: bool, cut: Fragment = fragments) -> Iterator[bytes]:
    """The server-sent events of a streamed answer, one item each: the last one is `[DONE]`.

    `cut` says how text and arguments are cut into chunks.
    """
    head = _head(completion, "chat.completion.chunk")
    if include_usage:
        head["usage"] = None
    for delta in _deltas(completion.reply, cut):
        yield _event({**head, "choices": [_choice(delta, None)]})
    yield _event({**head, "choices": [_choice({}, completion.finish_reason)]})
    if include_usage:
        yield _event({**head, "choices": [], "usage": completion.usage})
    yield b"data: [DONE]\n\n"


def _deltas(reply: AssistantMessage, cut: Fragment) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": None if reply.tool_calls and not reply.content else ""}
    for text in cut(reply.content):
        yield {"content": text}
    for index, call in enumerate(reply.tool_calls):
        begun = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": begun}]}
        for text in cut(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": text}}]}


def _head(completion: Completion, kind: str) -> dict[str, Any]:
    return {"id": completion.id, "object": kind, "created": completion.created, "model": completion.model}


def _choice(delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"
