"""One turn of the model, through its provider's gate.

The model room makes single attempts and knows no gate; the gate repeats whatever it is given and knows
no model. Here they meet: pieces become events, a cut attempt that had shown text is rewound, and the
reply becomes the fact `ModelReplied`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import count

from msgspec.structs import replace

from agentrt.errors import ProviderError
from agentrt.events import ArgumentsDelta, ModelReplied, Passing, ReasoningDelta, Rewound, TextDelta
from agentrt.gate.gate import Gate
from agentrt.gate.grant import Grant, Knock
from agentrt.messages import AssistantMessage, ToolCall, Usage
from agentrt.model.model import Model, ModelReply, ModelRequest, Piece, ReasoningPiece, TextPiece
from agentrt.model.tokens import count_reply, count_request

Tell = Callable[[Passing], None]


class Turn:
    """The attempts at one reply. `message_id` names the attempt that counts."""

    def __init__(self, turn_id: str, model: Model, request: ModelRequest, tell: Tell) -> None:
        self.message_id = turn_id
        self._turn_id = turn_id
        self._model = model
        self._request = request
        self._tell = tell
        self.shown: list[str] = []

    async def attempt(self, grant: Grant) -> ModelReply:
        """Ask once, and tell the gate what it cost."""
        if self.shown:
            replaced, self.message_id = self.message_id, f"{self._turn_id}.{grant.attempt}"
            self.shown = []
            self._tell(Rewound(message_id=replaced, replaced_by=self.message_id))
        try:
            reply = await self._model.reply(self._request, self._piece)
        except ProviderError as error:
            error.shown = bool(self.shown)
            raise
        if reply.usage is None:
            reply = replace(reply, usage=self._estimated(reply))
        usage = reply.usage or Usage()
        grant.report(
            status=reply.status,
            request_id=reply.request_id,
            first_byte=reply.first_byte,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
        )
        return reply

    def _piece(self, piece: Piece) -> None:
        if isinstance(piece, TextPiece):
            self.shown.append(piece.text)
            self._tell(TextDelta(message_id=self.message_id, text=piece.text))
        elif isinstance(piece, ReasoningPiece):
            self._tell(ReasoningDelta(message_id=self.message_id, text=piece.text))
        else:
            self._tell(
                ArgumentsDelta(message_id=self.message_id, call_id=piece.call_id, name=piece.name, text=piece.text)
            )

    def _estimated(self, reply: ModelReply) -> Usage:
        tokens_in, _ = count_request(self._request)
        tokens_out, _ = count_reply(reply.message, self._request.model)
        return Usage(input_tokens=tokens_in, output_tokens=tokens_out, requests=1, estimated=True)


async def ask(turn: Turn, gate: Gate, knock: Knock, taken: Collection[str]) -> ModelReplied:
    """The reply to one turn; `taken` are the ids of the conversation's earlier calls.

    Raises:
        ProviderError: the attempts are used up, or another would not help.
        GateTimeout: the gate cannot let us through in time.
    """
    reply = await gate.call(turn.attempt, knock)
    return ModelReplied(
        message_id=turn.message_id,
        message=_with_new_ids(reply.message, taken),
        finish=reply.finish,
        usage=reply.usage or Usage(requests=1),
        model=reply.model,
    )


def _with_new_ids(message: AssistantMessage, taken: Collection[str]) -> AssistantMessage:
    """Some providers count calls from zero in every reply; a transcript needs each id once."""
    if not any(call.id in taken for call in message.tool_calls):
        return message
    calls = tuple(_renamed(call, taken) if call.id in taken else call for call in message.tool_calls)
    return replace(message, tool_calls=calls)


def _renamed(call: ToolCall, taken: Collection[str]) -> ToolCall:
    return replace(call, id=next(new for n in count(2) if (new := f"{call.id}_{n}") not in taken))
