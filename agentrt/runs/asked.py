"""What a run may be asked, checked where it enters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import inf
from random import Random
from typing import Any, TypedDict, get_args

from agentrt.agent import Agent, Budget
from agentrt.errors import SettingInvalid
from agentrt.events import Priority, StopMode, When
from agentrt.messages import (
    AssistantMessage,
    ImagePart,
    Message,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)
from agentrt.runs.chain import as_fork
from agentrt.runs.order import Order
from agentrt.trace import child, correlation, is_traceparent

DEADLINE = 600.0
"""Seconds a run may take unless it says otherwise."""

_IMAGE = re.compile(r"image/[\w.+-]+")
_ADDRESS = re.compile(r"https?://\S+|data:image/\S+")
_KINDS = (SystemMessage, UserMessage, AssistantMessage, ToolMessage)


class RunOptions(TypedDict, total=False):
    """What every way to begin a run takes besides agent, input and deps.

    Attributes:
        thread: Name of the conversation to continue.
        messages: A conversation before this one, where the caller keeps it. Not with a thread.
        deadline: Seconds from now; by default 600, and in a tool no more than its run has left.
        budget: In place of the agent's.
        metadata: Kept in `RunStarted`, shown to tools.
        run_id: A name for the run, by default a random one. It must be new: if the journal has it already,
            that run stays as it is, and the answer of this one is `SettingInvalid`.
        principal: Who asks; kept in `RunStarted`. At a gate, principals have equal shares. In a tool, its run's.
        priority: "background" for what nobody waits for, and all its tools start: others have most of a busy gate.
        after: Go on behind this run instead of at the end of the thread: a branch, without a copy.
        trace: The W3C `traceparent` that this run belongs under, e.g. of the request that asks for it. See
            `agentrt.trace`.
        before: Go on where this run began: to ask again, or something else. What came behind is no longer the thread's
            history, and stays in the journal.
    """

    thread: str | None
    messages: Sequence[Message]
    deadline: float | None
    budget: Budget | None
    metadata: Mapping[str, str] | None
    run_id: str | None
    principal: str | None
    priority: Priority
    after: str | None
    before: str | None
    trace: str | None


def as_order(
    agent: Agent[Any],
    input: str | Sequence[Message],
    deps: Any,
    options: RunOptions,
    *,
    now: float,
    random: Random,
) -> Order:
    """The order for a run that begins now.

    Raises:
        SettingInvalid: something that makes no sense, by itself or together with another.
    """
    thread, messages = options.get("thread"), options.get("messages", ())
    fork = as_fork(options.get("after"), options.get("before"))
    if messages and (thread is not None or fork is not None):
        named = "thread=" if fork is None else str(fork)
        raise SettingInvalid(f"{named} and messages= together: a thread has its history already; give one of them")
    trace = options.get("trace")
    if trace is not None and not is_traceparent(trace):
        raise SettingInvalid(f'trace="{trace:.80}": expected a W3C traceparent, e.g. "00-<32 hex>-<16 hex>-01"')
    around = correlation()
    conversation, seconds = as_messages(input, messages), as_deadline(options.get("deadline"))
    return Order(
        run_id=options.get("run_id") or f"{random.getrandbits(128):032x}",
        agent=agent,
        messages=conversation,
        deps=deps,
        thread=thread,
        budget=options.get("budget") or agent.budget,
        ends_at=now + seconds,
        metadata=dict(options.get("metadata") or {}),
        principal=options.get("principal"),
        priority=as_priority(options.get("priority", "interactive")),
        trace=child(trace or (None if around is None else around.traceparent), random),
        fork=fork,
    )


def as_messages(input: str | Sequence[Message], before: Sequence[Message]) -> tuple[Message, ...]:
    """The conversation a run begins with: what came before, and what is asked now.

    Raises:
        SettingInvalid: nothing is asked, something is no message or no image, or a call has no result or more than one.
    """
    asked = (UserMessage(input),) if isinstance(input, str) else _all_messages(input, "input")
    if not asked or input == "":
        raise SettingInvalid("the input is empty: expected a question or at least one message")
    conversation = (*_all_messages(before, "messages"), *asked)
    open_calls: set[str] = set()
    for message in conversation:
        if isinstance(message, ToolMessage):
            if message.call_id not in open_calls:
                raise SettingInvalid(
                    f'a ToolMessage answers "{message.call_id}", which no message right before it called'
                )
            open_calls.remove(message.call_id)
        elif open_calls:
            break
        elif isinstance(message, AssistantMessage):
            open_calls = {call.id for call in message.tool_calls}
    if open_calls:
        raise SettingInvalid(f"tool calls without a ToolMessage behind them: {', '.join(sorted(open_calls))}")
    return conversation


def as_said(message: object, when: object) -> UserMessage:
    """What is said into a run.

    Raises:
        SettingInvalid: nothing, or nothing that a user can say; or at no time that there is.
    """
    if when not in get_args(When):
        raise SettingInvalid(f"steer: when={when!r:.80}; expected {' or '.join(map(repr, get_args(When)))}")
    said = UserMessage(message) if isinstance(message, str) else message
    if not isinstance(said, UserMessage) or not said.content:
        raise SettingInvalid(f"steer: expected a text or a UserMessage that is not empty, and got {message!r:.80}")
    (checked,) = as_messages([said], ())
    assert isinstance(checked, UserMessage)
    return checked


def as_mode(mode: object, reason: object) -> None:
    """See that a cancel says how, and why if it does.

    Raises:
        SettingInvalid: it does not.
    """
    if mode not in get_args(StopMode):
        raise SettingInvalid(f"cancel: mode={mode!r:.80}; expected {' or '.join(map(repr, get_args(StopMode)))}")
    if not isinstance(reason, str):
        raise SettingInvalid(f"cancel: reason={reason!r:.80}; expected a text")


def _all_messages(given: object, name: str) -> tuple[Message, ...]:
    """`given` as messages; annotations bind nobody at run time."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise SettingInvalid(f"{name}={given!r:.80}: expected a sequence of messages, e.g. [UserMessage(...)]")
    messages: list[Message] = []
    for message in given:  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(message, _KINDS):
            raise SettingInvalid(f"{name}: expected messages, e.g. UserMessage(...), and got {message!r:.80}")
        if isinstance(message, UserMessage) and not isinstance(message.content, str):
            _check_parts(message.content, name)
        messages.append(message)
    return tuple(messages)


def _check_parts(parts: object, name: str) -> None:
    """See that these are parts that a provider can be sent."""
    if not isinstance(parts, tuple) or not parts:
        raise SettingInvalid(f"{name}: a UserMessage holds a text or a tuple of parts, at least one, not {parts!r:.80}")
    for part in parts:  # pyright: ignore[reportUnknownVariableType]
        if isinstance(part, ImagePart):
            _check_image(part, name)
        elif not isinstance(part, TextPart):
            raise SettingInvalid(f"{name}: expected parts, TextPart(...) or ImagePart(...), and got {part!r:.80}")


def _check_image(image: ImagePart, name: str) -> None:
    if (image.data is None) == (image.url is None):
        count = "neither" if image.data is None else "both"
        raise SettingInvalid(f"{name}: an ImagePart holds either data or a url; here it has {count}")
    if image.data is not None:
        if not isinstance(image.data, bytes):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise SettingInvalid(f"{name}: ImagePart(data=...): expected bytes, came {type(image.data).__name__}")
        if not image.data:
            raise SettingInvalid(f"{name}: an ImagePart without a byte in its data")
        if not _IMAGE.fullmatch(image.media_type or ""):
            raise SettingInvalid(
                f'{name}: ImagePart(media_type={image.media_type!r:.80}): expected that of its data, e.g. "image/png"'
            )
    elif not _ADDRESS.fullmatch(image.url or ""):
        raise SettingInvalid(
            f'{name}: ImagePart(url={image.url!r:.80}): expected an address, e.g. "https://example.org/a.png"'
        )


def as_deadline(seconds: float | None) -> float:
    """Seconds from now.

    Raises:
        SettingInvalid: zero, less, or not a number of seconds.
    """
    seconds = DEADLINE if seconds is None else seconds
    if not 0 < seconds < inf:
        raise SettingInvalid(f"deadline={seconds}: expected more than 0 seconds from now, and not for ever")
    return seconds


def as_priority(priority: Priority) -> Priority:
    """See that it is one; annotations bind nobody at run time.

    Raises:
        SettingInvalid: it is not.
    """
    if priority not in get_args(Priority):
        raise SettingInvalid(f"priority={priority!r}: expected {' or '.join(map(repr, get_args(Priority)))}")
    return priority
