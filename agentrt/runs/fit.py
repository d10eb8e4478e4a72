"""A request made to fit its model's window, by trimming and, where that is not enough, by a summary.

What is counted is an estimate and what is known of a window may be out of date. So the provider has the last word:
where it finds a request too long, what it says of the window is remembered, and the turn is asked for once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from msgspec.structs import replace

from agentrt.errors import ContextTooLong
from agentrt.events import ContextTrimmed, ModelReplied, Summarised
from agentrt.gate.grant import Grant
from agentrt.messages import AssistantMessage, Message, SystemMessage, ToolMessage, UserMessage
from agentrt.model.model import ModelRequest
from agentrt.model.tokens import count_request
from agentrt.runs.carried import Carried
from agentrt.runs.context import Count, Plan, boundaries, covered, plan, summary_size, view
from agentrt.runs.order import Candidate
from agentrt.runs.state import Summary
from agentrt.runs.summary import ask_for_summary, fitting_record, summary_request
from agentrt.toolbox.results import READ_RESULT
from agentrt.windows import ContextWindow, known

T = TypeVar("T")
Attempt = Callable[[ModelRequest, Grant], Awaitable[ModelReplied]]
"""One attempt at the turn; the gate repeats it."""

_REPLY = 16_000
"""Tokens kept free for a reply that has no bound of its own, or an eighth of the window, if that is less."""


class Send(Protocol):
    """Has something done with a request by the candidate, through its gate."""

    def __call__(self, request: ModelRequest, work: Callable[[Grant], Awaitable[T]]) -> Awaitable[T]: ...


class _Room(NamedTuple):
    """How a window is divided, in tokens as we count them; `messages` is what is left for the conversation.

    None where nobody knows. `ratio` is how many tokens the provider counts for one of ours.
    """

    window: int | None
    reply: int
    beside: int
    ratio: float

    @property
    def messages(self) -> int | None:
        return None if self.window is None else self.window - self.reply - self.beside

    def theirs(self, ours: int | None) -> int:
        """As the provider counts them, about."""
        return round((ours or 0) * self.ratio)


class Fitting:
    """Asks one candidate for a turn, with as much of the conversation as it can read."""

    def __init__(self, run: Carried, candidate: Candidate, send: Send) -> None:
        self._record = run.record
        self._gauge = run.ports.gauge
        self._agent = run.role.agent
        self._name = candidate.name
        self._candidate = candidate
        self._send = send

    async def ask(self, request: ModelRequest, attempt: Attempt) -> ModelReplied:
        """Ask for the turn. `request` ends with all messages of the run's state, each as it is or as it is sent.

        Raises:
            ContextTooLong: what has to be sent does not fit. Nothing was sent then, or the provider has said so twice.
        """
        window = self._agent.window
        if window is None:
            return await self._send(request, partial(attempt, request))
        try:
            return await self._ask(request, window, attempt)
        except ContextTooLong as error:
            if not error.sent:
                raise
        return await self._ask(request, window, attempt)

    async def _ask(self, request: ModelRequest, window: ContextWindow, attempt: Attempt) -> ModelReplied:
        fitted = await self._fitted(request, window)
        replied = await self._sent(fitted, partial(attempt, fitted))
        if not replied.usage.estimated and not any(map(_shows_images, fitted.messages)):
            self._gauge.told(self._name, self._size(fitted), replied.usage.input_tokens)
        return replied

    async def _fitted(self, request: ModelRequest, window: ContextWindow) -> ModelRequest:
        """The request with what fits of the conversation. Summaries that it takes are asked for and kept."""
        state = self._record.state
        said = len(request.messages) - len(state.messages)
        lead, messages = request.messages[:said], request.messages[said:]
        reading = self._reading(request)
        fetch = any(tool is READ_RESULT for tool in reading.tools)
        room, count = self._room(reading, lead, window), self._gauge.counter(request.model)
        summed_up, asked = False, window.summarise
        while True:
            summary = self._record.state.summary
            now = plan(messages, count, room.messages, window, summary=summary, fetch=fetch)
            if now.covers is None or not asked:
                break
            asked = await self._sum_up(request, messages, now.covers, room)
            summed_up = summed_up or asked
        if not now.fits:
            raise self._too_long(now, room, count)
        if now.trimmed or summed_up:
            self._record.tell(
                ContextTrimmed(
                    before=room.theirs(room.beside + now.whole),
                    after=room.theirs(room.beside + now.tokens),
                    shortened=now.shortened,
                    summarised=covered(messages, summary),
                )
            )
        return replace(reading if now.shortened else request, messages=(*lead, *now.view))

    def _reading(self, request: ModelRequest) -> ModelRequest:
        """The request with a tool to read on in what was shortened, if it has tools and none of this name."""
        if not request.tools or any(tool.name == READ_RESULT.name for tool in request.tools):
            return request
        return replace(request, tools=(*request.tools, READ_RESULT))

    def _room(self, request: ModelRequest, lead: tuple[Message, ...], window: ContextWindow) -> _Room:
        told = window.tokens
        if told is not None and self._name != self._agent.model:
            told = min(told, known(self._name) or told)  # it was said of the agent's own model
        ratio = self._gauge.ratio(self._name)
        whole = self._gauge.windows.of(self._name, told, ratio)
        reply = int(request.max_output_tokens / ratio) if request.max_output_tokens else min(_REPLY, (whole or 0) // 8)
        return _Room(whole, reply, self._gauge.frame(request, lead), ratio)

    async def _sum_up(self, request: ModelRequest, messages: Sequence[Message], covers: int, room: _Room) -> bool:
        """Let the model sum up as much of the first `covers` messages as it can read at once; says whether it did."""
        assert room.window is not None and room.messages is not None
        limit, tokens = room.window - room.reply, summary_size(room.messages)
        start = covered(messages, self._record.state.summary)
        earlier = self._record.state.summary if start else None
        ask = partial(summary_request, request.model, tokens=tokens, max_output_tokens=request.max_output_tokens)
        ends = [end for end in boundaries(messages, start) if end <= covers]
        found = fitting_record(messages, earlier, ends, lambda text: count_request(ask(text)).tokens <= limit)
        if found is None:
            return False
        end, text = found
        asking = ask(text)
        reply = await self._sent(asking, partial(ask_for_summary, self._candidate.model, asking))
        summary = Summary(reply.text, end)
        count = self._gauge.counter(request.model)
        before, after = (sum(map(count, view(messages, one))) for one in (earlier, summary))
        useful = bool(reply.text) and after < before
        if not useful:  # it was paid for all the same
            summary = earlier or Summary("", 0)
        usage = self._candidate.priced(reply.usage)
        await self._record.keep(Summarised(text=summary.text, covers=summary.covers, usage=usage))
        return useful

    async def _sent(self, request: ModelRequest, work: Callable[[Grant], Awaitable[T]]) -> T:
        """Have it sent, and remember what its provider says of the window."""
        try:
            return await self._send(request, work)
        except ContextTooLong as error:
            self._gauge.windows.refused(self._name, str(error), self._size(request), request.max_output_tokens or 0)
            raise

    def _size(self, request: ModelRequest) -> int:
        """Tokens of the request, each message counted as in its view."""
        frame = self._gauge.frame(request)
        return frame + sum(map(self._gauge.counter(request.model), request.messages))

    def _too_long(self, now: Plan, room: _Room, count: Count) -> ContextTooLong:
        theirs = room.theirs
        longest = now.longest and f"; the longest part is {_name(now.longest)}, {theirs(count(now.longest))} tokens"
        return ContextTooLong(
            f"the conversation does not fit the window of {self._name}: expected at most {theirs(room.messages)} "
            f"tokens ({theirs(room.window)}, less {theirs(room.reply)} for the reply and {theirs(room.beside)} for "
            f"instructions and tools), and what has to be sent is {theirs(now.tokens)}{longest or ''}",
            sent=False,
        )


def _shows_images(message: Message) -> bool:
    """Whether its tokens are anybody's guess."""
    return isinstance(message, UserMessage) and not isinstance(message.content, str)


def _name(message: Message) -> str:
    match message:
        case UserMessage():
            return "what the user said"
        case ToolMessage():
            return f'a result of the tool "{message.name}"'
        case AssistantMessage():
            return "a reply of the model"
        case SystemMessage():
            return "an instruction"
