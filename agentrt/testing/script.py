"""A model that says what a test wants said, through the real client.

`ScriptedModel` stands behind the provider's wire, not in front of it: requests are encoded, replies are
bytes of a stream, and client, gate and loop are the ones that run in production.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import msgspec

from agentrt.gate.limits import Limits
from agentrt.local.chat import Completion, error_body, write_stream
from agentrt.local.handler import Request, Response, whole
from agentrt.messages import AssistantMessage, ToolCall
from agentrt.providers import Provider
from agentrt.testing.faults import Faults
from agentrt.testing.transport import InMemoryTransport


class Reply(msgspec.Struct, frozen=True):
    """One turn to be said; made by `reply`."""

    message: AssistantMessage
    pieces: int
    pause: float
    finish: str | None
    usage: tuple[int, int] | None


Script = Sequence[Reply | str] | Callable[[dict[str, Any]], Reply]


def call(name: str, /, *, call_id: str = "", **arguments: Any) -> ToolCall:
    """A tool call for `reply(calls=[...])`; without a `call_id` it gets one of its own."""
    return ToolCall(call_id, name, msgspec.json.encode(arguments).decode())


def reply(
    text: str = "",
    *,
    calls: Iterable[ToolCall] = (),
    pieces: int = 1,
    pause: float = 0.0,
    finish: str | None = None,
    usage: tuple[int, int] | None = (10, 5),
) -> Reply:
    """A turn of the model.

    Args:
        pieces: Into how many chunks text and arguments are cut, at most.
        pause: Seconds between two chunks.
        finish: The finish reason; by default "tool_calls" or "stop".
        usage: Input and output tokens the provider reports; None if it reports none.
    """
    return Reply(AssistantMessage(text, tuple(calls)), pieces, pause, finish, usage)


class ScriptedModel:
    """A provider that gives the scripted replies, one a request.

    Args:
        script: The replies in order, a text being `reply(text)`, or a function of the request's decoded
            body. A request beyond the last reply is an error that says so.

    Attributes:
        requests: Bodies of the requests so far, decoded.
        cut: How many replies the client did not wait out.
        faults: Stands before it and is what answers HTTP: `model.faults.then(status(503))`, or
            `serve(model.faults)` to put it on a socket.
    """

    def __init__(self, script: Script) -> None:
        self.requests: list[dict[str, Any]] = []
        self.cut = 0
        self.faults = Faults(self._handle)
        self._script = script
        self._calls = 0

    def provider(self, name: str, *, limits: Limits | None = None) -> Provider:
        """This model as the provider of that name, without a network: `Runtime(providers=[...])`."""
        return Provider(
            name=name,
            base_url="http://scripted.invalid/v1",
            limits=limits or Limits(),
            profile="openai",
            transport=InMemoryTransport(self.faults),
        )

    async def _handle(self, request: Request) -> Response:
        asked: dict[str, Any] = msgspec.json.decode(request.body)
        self.requests.append(asked)
        if callable(self._script):
            turn = self._script(asked)
        elif len(self.requests) <= len(self._script):
            said = self._script[len(self.requests) - 1]
            turn = reply(said) if isinstance(said, str) else said
        else:
            text = f"the script has {len(self._script)} replies and this is request {len(self.requests)}"
            return whole(400, error_body(text, "invalid_request_error"), "application/json")
        return Response(200, {"content-type": "text/event-stream"}, self._said(turn, str(asked.get("model"))))

    async def _said(self, turn: Reply, model: str) -> AsyncIterator[bytes]:
        tokens_in, tokens_out = turn.usage or (0, 0)
        completion = Completion(
            id=f"scripted-{len(self.requests)}",
            created=0,
            model=model,
            reply=AssistantMessage(turn.message.content, tuple(map(self._with_id, turn.message.tool_calls))),
            prompt_tokens=tokens_in,
            completion_tokens=tokens_out,
            finish=turn.finish,
        )
        events = write_stream(completion, include_usage=turn.usage is not None, cut=_into(turn.pieces))
        whole_reply = False
        try:
            for n, event in enumerate(events):
                if n and turn.pause:
                    await asyncio.sleep(turn.pause)
                yield event
            whole_reply = True
        finally:
            self.cut += not whole_reply

    def _with_id(self, wanted: ToolCall) -> ToolCall:
        self._calls += 1
        return ToolCall(wanted.id or f"call_{self._calls}", wanted.name, wanted.arguments)


def _into(pieces: int) -> Callable[[str], Iterable[str]]:
    def cut(text: str) -> Iterable[str]:
        size = max(1, -(-len(text) // pieces))
        return (text[start : start + size] for start in range(0, len(text), size))

    return cut
