"""One turn of the model, through its provider's gate.

The model room makes single attempts and knows no gate; the gate repeats whatever it is given and knows
no model. Here they meet: pieces become events, a cut attempt that had shown something is rewound, and the
reply becomes the fact `ModelReplied`. A model whose gate turns us away, or lets us through in vain, is
followed by the agent's next one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from itertools import chain, count
from typing import TypeVar

from msgspec.structs import replace

from agentrt.errors import ContextTooLong, GateTimeout, ProviderError, ProviderExhausted
from agentrt.events import ArgumentsDelta, FellBack, ModelReplied, Passing, ReasoningDelta, Rewound, TextDelta
from agentrt.gate.grant import Grant, Knock
from agentrt.messages import AssistantMessage, Message, SystemMessage, ToolCall, ToolSpec, Usage, call_ids
from agentrt.model.model import Began, ModelReply, ModelRequest, ReasoningPiece, TextPiece, Told
from agentrt.model.tokens import count_reply, count_request
from agentrt.runs.around import around_model
from agentrt.runs.carried import Carried
from agentrt.runs.early import EarlyCalls
from agentrt.runs.fit import Fitting
from agentrt.runs.order import Candidate, Role
from agentrt.runs.output import with_form
from agentrt.toolbox.results import READ_RESULT, is_cut

Tell = Callable[[Passing], None]
T = TypeVar("T")

_ITS_OWN = frozenset({401, 403, 404})
"""Statuses by which a provider refuses who asks, or for which model: another may know both."""


async def ask_model(run: Carried, *, offer_tools: bool) -> None:
    """Let the model have its next turn, by the first of the candidates that gives one.

    Raises:
        ProviderError: the last candidate could not be asked, or one refused the request as such.
        GateTimeout: the last candidate's gate cannot let us through before the deadline.
        MiddlewareFailed: a middleware around the turn failed.
    """
    role, record = run.role, run.record
    state = record.state
    early = EarlyCalls(run) if offer_tools and role.reads_early else None
    turn = Turn(f"{run.order.run_id}:m{state.turns + 1}", record.tell, call_ids(state.messages), early)
    request = _request(run, offer_tools=offer_tools)
    if not role.agent.around_model:
        await record.keep(await _by_candidates(run, turn, request))
        return
    asked: list[ModelReplied] = []

    async def ask(request: ModelRequest) -> ModelReply:
        replied = await _by_candidates(run, turn, request)
        asked.append(replied)
        return ModelReply(replied.message, replied.finish, replied.usage, replied.model)

    await record.keep(turn.as_said(await around_model(run, request, ask), asked))


def _request(run: Carried, *, offer_tools: bool) -> ModelRequest:
    """What is asked of the first candidate."""
    role, messages, form = run.role, run.record.state.messages, run.order.agent.form
    tools = _offered(role, messages) if offer_tools else ()
    if role.instructions:
        messages = (SystemMessage(role.instructions), *messages)
    return ModelRequest(
        model=role.candidates[0].name.partition(":")[2],
        messages=messages if form is None or form.schema is not None else with_form(messages, form),
        tools=tools,
        max_output_tokens=role.agent.max_output_tokens,
        temperature=role.agent.temperature,
        schema=None if form is None else form.schema,
        options=role.agent.options,
    )


async def _by_candidates(run: Carried, turn: Turn, request: ModelRequest) -> ModelReplied:
    """The reply of the first candidate that gives one. The others are asked for the same by their own names."""
    candidates = run.role.candidates
    for place, candidate in enumerate(candidates, 1):
        last = place == len(candidates)
        try:
            await candidate.model.open()
            send = partial(_send, run, candidate, last)
            mine = request if place == 1 else _of_another(request, candidate, candidates[0])
            replied = await Fitting(run, candidate, send).ask(
                _as_sent_to(run, candidate, mine), partial(turn.attempt, candidate)
            )
        except (ProviderError, GateTimeout) as error:
            if last or not _helps_to_ask_another(error):
                raise
            run.record.tell(FellBack(model=candidates[place].name, instead_of=candidate.name, error=error.code))
        else:
            return replied if place == 1 else replace(replied, asked=candidate.name)
    raise AssertionError("an agent has a model")


def _of_another(request: ModelRequest, candidate: Candidate, first: Candidate) -> ModelRequest:
    provider, _, model = candidate.name.partition(":")
    options = request.options if provider == first.name.partition(":")[0] else None
    return replace(request, model=model, options=options)


def _offered(role: Role, messages: Iterable[Message]) -> tuple[ToolSpec, ...]:
    """The agent's tools, and one to read on in results that were cut once there are such."""
    reads = role.registry.get(READ_RESULT.name) is None and any(map(is_cut, messages))
    return (*role.specs, READ_RESULT) if reads else role.specs


async def _send(
    run: Carried, candidate: Candidate, last: bool, request: ModelRequest, work: Callable[[Grant], Awaitable[T]]
) -> T:
    """Through the candidate's gate."""
    return await run.ports.places.call(candidate.gate, work, _knock(run, candidate, request, last=last))


class Turn:
    """The attempts at one reply, by whichever model. `message_id` names the attempt that counts."""

    def __init__(self, turn_id: str, tell: Tell, taken: set[str], early: EarlyCalls | None = None) -> None:
        self.message_id = turn_id
        self._turn_id = turn_id
        self._tell = tell
        self._attempts = 0
        self.shown = False
        self._taken = taken
        self._early = early
        self._ids: dict[str, str] = {}

    async def attempt(self, candidate: Candidate, request: ModelRequest, grant: Grant) -> ModelReplied:
        """Ask once, and tell the gate what it cost: the work for `Gate.call`, which repeats it."""
        self._anew()
        try:
            reply = await candidate.model.reply(request, partial(self._piece, grant))
        except ProviderError as error:
            error.shown = self.shown
            raise
        usage = candidate.priced(reply.usage or _estimated(request, reply))
        grant.report(
            status=reply.status,
            request_id=reply.request_id,
            first_byte=reply.first_byte,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            received=reply.received,
        )
        message = replace(
            reply.message,
            tool_calls=tuple(replace(call, id=self._id_of(call.id)) for call in reply.message.tool_calls),
            provider=candidate.name.partition(":")[0] if reply.message.extra is not None else None,
        )
        return ModelReplied(
            message_id=self.message_id, message=message, finish=reply.finish, usage=usage, model=reply.model
        )

    def as_said(self, reply: ModelReply, asked: Sequence[ModelReplied]) -> ModelReplied:
        """The fact, as the agent's middleware will have it, which `asked` so often. What nobody has seen is shown."""
        usage = sum((one.usage for one in asked), Usage()) if asked else reply.usage or Usage()
        message, last = reply.message, asked[-1] if asked else None
        if last is None or message != last.message:
            self._anew()
            message = replace(message, tool_calls=self._named(message.tool_calls))
            if message.content:
                self.shown = True
                self._tell(TextDelta(message_id=self.message_id, text=message.content))
        return ModelReplied(
            message_id=self.message_id,
            message=message,
            finish=reply.finish,
            usage=usage,
            model=reply.model,
            asked=None if last is None else last.asked,
        )

    def _anew(self) -> None:
        """Another reply takes the place of the one that arrives, if one does."""
        self._attempts += 1
        if self._early is not None:
            self._early.forget()
        if self.shown:
            replaced, self.message_id = self.message_id, f"{self._turn_id}.{self._attempts}"
            self.shown = False
            self._tell(Rewound(message_id=replaced, replaced_by=self.message_id))

    def _named(self, calls: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
        """Calls of a reply that may be nobody's, each with an id that no other call has."""
        known, named = set(self._ids.values()), list[ToolCall]()
        for call in calls:
            ours = call.id in known
            known.discard(call.id)
            named.append(call if ours else replace(call, id=self._new_id(call.id or "call")))
        return tuple(named)

    def _piece(self, grant: Grant, piece: Told) -> None:
        if isinstance(piece, Began):
            grant.report(status=piece.status, request_id=piece.request_id, headers=piece.headers)
            return
        self.shown = True
        if isinstance(piece, TextPiece):
            self._tell(TextDelta(message_id=self.message_id, text=piece.text))
        elif isinstance(piece, ReasoningPiece):
            self._tell(ReasoningDelta(message_id=self.message_id, text=piece.text))
        else:
            call_id = self._id_of(piece.call_id)
            self._tell(ArgumentsDelta(message_id=self.message_id, call_id=call_id, name=piece.name, text=piece.text))
            if self._early is not None:
                self._early.piece(call_id, piece.name, piece.text)

    def _id_of(self, given: str) -> str:
        """A call's id in the conversation: some providers count from zero in every reply, and each is needed once."""
        if given not in self._ids:
            self._ids[given] = self._new_id(given)
        return self._ids[given]

    def _new_id(self, wanted: str) -> str:
        names = chain((wanted,), (f"{wanted}_{n}" for n in count(2)))
        name = next(name for name in names if name not in self._taken)
        self._taken.add(name)
        return name


def _knock(run: Carried, candidate: Candidate, request: ModelRequest, *, last: bool) -> Knock:
    order = run.order
    counts = candidate.gate.counts_tokens(request.model)
    return Knock(
        tokens=count_request(request).tokens if counts else 0,
        output=request.max_output_tokens,
        deadline=run.record.deadline,
        watch=run.record.tell,
        model=request.model,
        priority=order.priority,
        tenant=order.principal or "",
        run=order.run_id,
        spare=order.spare,
        turn_away=not last,
    )


def _helps_to_ask_another(error: ProviderError | GateTimeout) -> bool:
    """Whether it is this provider's trouble, and not the request's or the clock's."""
    if isinstance(error, GateTimeout):
        return error.reason != "deadline"
    if isinstance(error, ContextTooLong):
        return True  # the next may have a larger window
    return isinstance(error, ProviderExhausted) or error.retry != "never" or error.status in _ITS_OWN


def _as_sent_to(run: Carried, candidate: Candidate, request: ModelRequest) -> ModelRequest:
    """The request without what another provider said for itself alone, and without what this one would refuse."""
    provider = candidate.name.partition(":")[0]
    messages = tuple(
        replace(message, extra=None)
        if isinstance(message, AssistantMessage) and message.provider not in (None, provider)
        else message
        for message in request.messages
    )
    form = run.order.agent.form
    if form is None or request.schema is None or candidate.takes_schema(beside_tools=bool(request.tools)):
        return replace(request, messages=messages)
    return replace(request, messages=with_form(messages, form), schema=None)


def _estimated(request: ModelRequest, reply: ModelReply) -> Usage:
    tokens_in, _ = count_request(request)
    tokens_out, _ = count_reply(reply.message, request.model)
    return Usage(input_tokens=tokens_in, output_tokens=tokens_out, requests=1, estimated=True)
