"""What a run's success comes to: its answer is of the form that the agent promises, and its guardrails let it pass.

Whether the answer is of its form follows from the state, so a run that was taken up finds the same. One that is not is
corrected once: the model is told each mistake and has another turn, if there is one left to it.
"""

from __future__ import annotations

from typing import Any

from agentrt.events import OutputRejected
from agentrt.forms import Form, Mismatch
from agentrt.messages import Message, SystemMessage
from agentrt.runs.carried import Carried
from agentrt.runs.guardrails import check, screened
from agentrt.runs.moves import AskModel, End, next_move
from agentrt.runs.state import apply


async def settled(run: Carried) -> End | None:
    """The end of a run whose model has answered; None if the model is to answer again.

    Raises:
        ExceptionGroup: of `Tripped`: a guardrail would not let the answer pass.
    """
    await screened(run)
    state, form = run.record.state, run.order.agent.form
    if form is not None:
        try:
            run.output = form.read(state.text)
        except Mismatch as mismatch:
            rejected = OutputRejected(message=mismatch.for_model, at=run.ports.now())
            if not _can_be_corrected(run, rejected):
                cut = " (it reached the bound of its length)" if state.finish == "length" else ""
                return End("failed", "output_invalid", f"{mismatch}{cut}")
            await run.record.keep(rejected)
            run.control._put_off(run.record.deadline)  # a run that was taken up at its end had none
            return None
    await check(run, "output", state.text, state.messages)
    return End("success")


def _can_be_corrected(run: Carried, rejected: OutputRejected) -> bool:
    """Whether the model has not been told before, and would be asked next."""
    state = run.record.state
    if state.corrections or state.finish == "length" or run.order.ledger.overdrawn():
        return False
    return isinstance(next_move(apply(state, rejected), run.order.budget, run.ports.now()), AskModel)


def with_form(messages: tuple[Message, ...], form: Form[Any]) -> tuple[Message, ...]:
    """The messages for a model that is not held to the form's schema: it is told of it by its instructions."""
    first = messages[0] if messages else None
    if isinstance(first, SystemMessage):
        return (SystemMessage(f"{first.content}\n\n{form.instructions}"), *messages[1:])
    return (SystemMessage(form.instructions), *messages)
