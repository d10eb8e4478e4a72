"""Guardrails at work.

Those of the input look at what the user said while the model is being asked already, so that they cost no time; what
they have not let pass yet starts no tool that does more than read, asks nobody for approval, and ends no run well. They
look again whenever a run is taken up: what they found is no fact. One that trips ends the group of the run's tasks, and
so the reply that is arriving and the calls that run. What is said into a run they see before the model does.

Those of the output look at the finished answer, before the run is a success.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from agentrt.errors import ToolError, Tripped
from agentrt.guardrails import Guardrail, On
from agentrt.messages import AssistantMessage, Message, UserMessage
from agentrt.runs.around import Wanted, in_thread, on_loop
from agentrt.runs.carried import Carried
from agentrt.toolbox.context import Context

logger = logging.getLogger(__name__)


def begin_screening(run: Carried, group: asyncio.TaskGroup) -> None:
    """Let the guardrails of the input look at what was asked."""
    if _those(run, "input"):
        work = check(run, "input", _asked(run.order.messages), run.record.state.messages)
        run.screen = group.create_task(work, name=f"guardrails {run.order.run_id}")


async def screened(run: Carried) -> None:
    """Return once the input has passed. If it does not, the run's group ends, and the caller is cancelled."""
    if run.screen is not None and not run.screen.done():
        await asyncio.shield(run.screen)


async def check_said(run: Carried, message: UserMessage) -> None:
    """See what is about to join the conversation.

    Raises:
        Tripped: it may not.
    """
    await check(run, "input", message.text, (*run.record.state.messages, message))


async def check(run: Carried, on: On, text: str, messages: Sequence[Message]) -> None:
    """Ask all guardrails, side by side.

    Raises:
        ExceptionGroup: of `Tripped`: one of them did, or failed.
    """
    guardrails = _those(run, on)
    if guardrails:
        async with asyncio.TaskGroup() as group:
            for guardrail in guardrails:
                group.create_task(_judge(run, guardrail, text if guardrail.reads_text else messages))


def _those(run: Carried, on: On) -> list[Guardrail[Any]]:
    """Those of the agent that was asked, and of the one that has been handed the conversation."""
    all_of_them = (*run.order.agent.guardrails, *run.role.agent.guardrails)
    return [guardrail for guardrail in dict.fromkeys(all_of_them) if guardrail.on == on]


def _asked(messages: Sequence[Message]) -> str:
    """What the user said since the last answer."""
    texts: list[str] = []
    for message in reversed(messages):
        if isinstance(message, AssistantMessage):
            break
        if isinstance(message, UserMessage):
            texts.append(message.text)
    return "\n".join(reversed(texts))


async def _judge(run: Carried, guardrail: Guardrail[Any], said: str | Sequence[Message]) -> None:
    order, function = run.order, guardrail.function
    context = Context(
        order.deps,
        run_id=order.run_id,
        metadata=order.metadata,
        principal=order.principal,
        deadline=asyncio.get_running_loop().time() + guardrail.timeout,
        clock=asyncio.get_running_loop().time,
    )

    async def work(_: Wanted) -> Any:
        return await function(said, context)

    try:
        if _runs_async(function):
            verdict = await on_loop(run, guardrail.name, work, timeout=guardrail.timeout)
        else:
            verdict = await in_thread(run, guardrail.name, partial(function, said, context), timeout=guardrail.timeout)
    except Tripped as tripped:
        verdict = tripped
    except ToolError as error:  # it took too long, or is one of the function's own
        raise Tripped(f"guardrail failed: {error}") from error
    except Exception as error:
        text = f'guardrail "{guardrail.name}" failed ({type(error).__name__}); the log of run {order.run_id} says more'
        logger.warning("guardrail %s of run %s failed", guardrail.name, order.run_id, exc_info=error)
        raise Tripped(text) from error
    if isinstance(verdict, Tripped):
        raise Tripped(f'guardrail "{guardrail.name}" tripped: {verdict}')
    if verdict is not None:
        raise Tripped(f'guardrail "{guardrail.name}" failed: expected None or Tripped, came {verdict!r:.80}')


def _runs_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
