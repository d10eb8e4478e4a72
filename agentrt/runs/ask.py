"""One turn of the model, through its provider's gate.

The model room makes single attempts and knows no gate; the gate repeats whatever it is given and knows
no model. Here they meet: pieces become events, a cut attempt that had shown something is rewound, and the
reply becomes the fact `ModelReplied`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain, count

from msgspec.structs import replace

from agentrt.errors import ProviderError
from agentrt.events import ArgumentsDelta, ModelReplied, Passing, ReasoningDelta, Rewound, TextDelta
from agentrt.gate.grant import Grant
from agentrt.messages import Usage
from agentrt.model.model import Began, Model, ModelReply, ModelRequest, ReasoningPiece, TextPiece, Told
from agentrt.model.tokens import count_reply, count_request

Tell = Callable[[Passing], None]


class Turn:
    """The attempts at one reply. `message_id` names the attempt that counts."""

    def __init__(self, turn_id: str, model: Model, request: ModelRequest, tell: Tell, taken: set[str]) -> None:
        self.message_id = turn_id
        self._turn_id = turn_id
        self._model = model
        self._request = request
        self._tell = tell
        self.shown = False
        self._taken = taken
        self._ids: dict[str, str] = {}

    async def attempt(self, grant: Grant) -> ModelReplied:
        """Ask once, and tell the gate what it cost: the work for `Gate.call`, which repeats it."""
        if self.shown:
            replaced, self.message_id = self.message_id, f"{self._turn_id}.{grant.attempt}"
            self.shown = False
            self._tell(Rewound(message_id=replaced, replaced_by=self.message_id))
        try:
            reply = await self._model.reply(self._request, partial(self._piece, grant))
        except ProviderError as error:
            error.shown = self.shown
            raise
        usage = reply.usage or self._estimated(reply)
        grant.report(
            status=reply.status,
            request_id=reply.request_id,
            first_byte=reply.first_byte,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            received=reply.received,
        )
        calls = tuple(replace(call, id=self._id_of(call.id)) for call in reply.message.tool_calls)
        return ModelReplied(
            message_id=self.message_id,
            message=replace(reply.message, tool_calls=calls),
            finish=reply.finish,
            usage=usage,
            model=reply.model,
        )

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

    def _id_of(self, given: str) -> str:
        """A call's id in the conversation: some providers count from zero in every reply, and each is needed once."""
        if given not in self._ids:
            names = chain((given,), (f"{given}_{n}" for n in count(2)))
            self._ids[given] = next(name for name in names if name not in self._taken)
            self._taken.add(self._ids[given])
        return self._ids[given]

    def _estimated(self, reply: ModelReply) -> Usage:
        tokens_in, _ = count_request(self._request)
        tokens_out, _ = count_reply(reply.message, self._request.model)
        return Usage(input_tokens=tokens_in, output_tokens=tokens_out, requests=1, estimated=True)
