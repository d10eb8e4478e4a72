"""The embedded default provider: an OpenAI-compatible service without a language model.

It answers by rules (`rulebook.py`) out of what the request holds and streams the answer as a model would,
so that client, loop, limits, cancellation and pages are the real ones.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import time
from collections.abc import AsyncIterator, Callable
from itertools import count as numbers

import msgspec

from agentrt.local.chat import (
    BadRequest,
    ChatRequest,
    Completion,
    read_chat,
    write_stream,
    write_whole,
)
from agentrt.local.handler import Request, Response, whole
from agentrt.local.plan import next_turn
from agentrt.local.rulebook import RULES
from agentrt.messages import AssistantMessage, Message, ToolCall, ToolMessage, text_of

MODEL = "rules"
"""The one model it serves."""

Count = Callable[[str], int]

_WORD = re.compile(r"\w+|[^\w\s]")


def estimate(text: str) -> int:
    """Tokens of a text, by its words and signs: about 1.3 tokens each, some tenths off for any tokeniser."""
    return math.ceil(1.3 * len(_WORD.findall(text)))


class RulesProvider:
    """A `Handler` of `POST /v1/chat/completions` and `GET /v1/models`.

    A streamed answer leaves in chunks `interval` seconds apart, the first at once. `count` gives the tokens
    of a text, for `usage`; `clock` the seconds since 1970, for `created`.
    """

    def __init__(
        self, *, interval: float = 0.015, count: Count = estimate, clock: Callable[[], float] = time.time
    ) -> None:
        self._interval = interval
        self._count = count
        self._clock = clock
        self._serial = numbers(1)

    async def __call__(self, request: Request) -> Response:
        headers = {"x-request-id": f"req_{next(self._serial)}"}
        try:
            match request.method, request.path:
                case "POST", "/v1/chat/completions":
                    return self._chat(request.body, headers)
                case "GET", "/v1/models":
                    return whole(200, _models(), "application/json", headers)
                case method, ("/v1/chat/completions" | "/v1/models") as path:
                    raise BadRequest(f"{method} is not allowed at {path}", status=405)
                case method, path:
                    raise BadRequest(f"there is nothing at {method} {path}", status=404)
        except BadRequest as refused:
            return whole(refused.status, refused.body, "application/json", headers)

    def _chat(self, body: bytes, headers: dict[str, str]) -> Response:
        asked = read_chat(body)
        if asked.model != MODEL:
            text = f"the model {asked.model!r} does not exist here; {MODEL!r} does"
            raise BadRequest(text, status=404, param="model", code="model_not_found")
        # Ids follow from the request, so the same request has the same answer, to the byte.
        mark = hashlib.sha256(body).hexdigest()[:24]
        reply = _reply(asked, mark)
        completion = Completion(
            id=f"chatcmpl-{mark}",
            created=int(self._clock()),
            model=MODEL,
            reply=reply,
            prompt_tokens=sum(map(self._count, _texts(asked))),
            completion_tokens=sum(map(self._count, _said(reply))),
        )
        if not asked.stream:
            return whole(200, write_whole(completion), "application/json", headers)
        headers |= {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        return Response(200, headers, self._paced(completion, asked.include_usage))

    async def _paced(self, completion: Completion, include_usage: bool) -> AsyncIterator[bytes]:
        for place, event in enumerate(write_stream(completion, include_usage=include_usage)):
            if place:
                await asyncio.sleep(self._interval)
            yield event


def _reply(asked: ChatRequest, mark: str) -> AssistantMessage:
    turn = next_turn(asked.messages, asked.tools, RULES)
    calls = tuple(ToolCall(f"call_{mark}_{n}", name, arguments) for n, (name, arguments) in enumerate(turn.calls))
    return AssistantMessage(turn.text, calls)


def _texts(asked: ChatRequest) -> list[str]:
    """Everything the request holds that costs tokens."""
    tools = [text for tool in asked.tools for text in (tool.name, tool.description, bytes(tool.parameters).decode())]
    return tools + [text for message in asked.messages for text in _said(message)]


def _said(message: Message) -> list[str]:
    match message:
        case AssistantMessage(content, calls):
            return [content, *(text for call in calls for text in (call.name, call.arguments))]
        case ToolMessage(content=content):
            return [content]
        case _:
            return [text_of(message)]


def _models() -> bytes:
    models = [{"id": MODEL, "object": "model", "created": 0, "owned_by": "agentrt"}]
    return msgspec.json.encode({"object": "list", "data": models})
