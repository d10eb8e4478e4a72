"""What every assembler of every dialect promises, whatever comes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from agentrt.errors import ProviderError
from agentrt.model.assemble import Assembled
from agentrt.model.calls import MOST_ARGUMENTS, MOST_CALLS
from agentrt.model.dialect import Assembling
from agentrt.model.model import ArgumentsPiece, Piece, TextPiece

Make = Callable[[], Assembling]


class Outcome:
    """What became of a reply: `done` with the `pieces` told, or the `error`."""

    def __init__(self, make: Make, parts: list[bytes]) -> None:
        self.pieces: list[Piece] = []
        self.done: Assembled | None = None
        self.error: tuple[type[ProviderError], str] | None = None
        assembler = make()
        try:
            for part in parts:
                self.pieces += assembler.feed(part)
            self.done = assembler.finish()
            self.pieces += self.done.pieces
        except ProviderError as error:
            self.error = (type(error), str(error))


def same(make: Make, data: bytes, parts: list[bytes]) -> Outcome:
    """The outcome of these bytes, which does not hang on how they were cut. A promise broken is an AssertionError."""
    outcome, other = Outcome(make, [data]), Outcome(make, parts)
    assert outcome.error == other.error
    assert outcome.done == other.done
    if outcome.done is not None:
        assert outcome.pieces == other.pieces
        can_be_kept(outcome.done)
    else:
        assert outcome.error is not None
        assert outcome.error[1]
        outcome.error[1].encode()
    return outcome


def can_be_kept(done: Assembled, most_calls: int = MOST_CALLS) -> None:
    """Calls have ids of their own, and a journal can write all of it down."""
    ids = [call.id for call in done.message.tool_calls]
    assert all(ids)
    assert len(set(ids)) == len(ids) <= most_calls
    assert done.usage is None or 0 <= done.usage.input_tokens + done.usage.output_tokens < 2**63
    msgspec.json.encode(done.message)
    msgspec.json.encode(done.usage)


def adds_up(outcome: Outcome, most: int = MOST_ARGUMENTS) -> None:
    """What was told is what results, and no more than is kept."""
    assert outcome.done is not None
    message = outcome.done.message
    assert "".join(piece.text for piece in outcome.pieces if isinstance(piece, TextPiece)) == message.content
    told: dict[str, str] = {}
    names: dict[str, str] = {}
    for piece in outcome.pieces:
        if isinstance(piece, ArgumentsPiece):
            told[piece.call_id] = told.get(piece.call_id, "") + piece.text
            names[piece.call_id] = piece.name
    assert sum(map(len, told.values())) <= most
    for call in message.tool_calls:
        text = told.pop(call.id)
        assert call.arguments.startswith(text) or text.strip() in ("", "null")
        assert names[call.id] == call.name
    assert not told or outcome.done.finish in ("content_filter", "refusal")
