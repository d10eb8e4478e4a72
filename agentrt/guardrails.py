"""Guardrails: functions that look at what is asked, or at the answer, and may end the run."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeAlias, get_args, overload

from typing_extensions import TypeVar

from agentrt.errors import SettingInvalid, Tripped
from agentrt.messages import Message
from agentrt.toolbox.context import Context

D = TypeVar("D")
D_contra = TypeVar("D_contra", contravariant=True, default=object)

On = Literal["input", "output"]
"""What a guardrail looks at: what the user says, or the finished answer."""

Verdict: TypeAlias = Tripped | Awaitable[Tripped | None] | None


@dataclass(frozen=True, eq=False)
class Guardrail(Generic[D_contra]):
    """A function that may end a run. Made by `@guardrail`.

    Attributes:
        function: Gets what it looks at, and the run's `Context`. It returns None, or returns or raises `Tripped`.
        on: "input" looks at what the user says, "output" at the answer of a run that would be a success.
        timeout: Seconds it may take. One that takes longer, or fails, has tripped.
        reads_text: It gets the text alone; otherwise the messages of the conversation.
    """

    name: str
    function: Callable[..., Any]
    on: On
    timeout: float
    reads_text: bool

    def __post_init__(self) -> None:
        if self.on not in get_args(On):
            raise SettingInvalid(f'guardrail "{self.name}": on="{self.on}"; it is "input" or "output"')
        if not self.timeout > 0:
            raise SettingInvalid(f'guardrail "{self.name}": timeout={self.timeout}; it needs more than 0 seconds')

    def __call__(self, said: str | Sequence[Message], context: Context[D_contra]) -> Any:
        """Call the function itself: no timeout, no thread."""
        return self.function(said, context)


class GuardrailDecorator(Protocol):
    """What `@guardrail(...)` returns."""

    @overload
    def __call__(self, function: Callable[[str, Context[D]], Verdict], /) -> Guardrail[D]: ...
    @overload
    def __call__(self, function: Callable[[Sequence[Message], Context[D]], Verdict], /) -> Guardrail[D]: ...


def guardrail(*, on: On, timeout: float = 30.0) -> GuardrailDecorator:
    """Make a guardrail of a function, async or plain; a plain one runs in a thread.

    Its first parameter is annotated `str`, and it gets the text, or `Sequence[Message]`, and it gets the conversation.
    The text of an input is that of the user's messages since the last answer.

    Args:
        on: "input" or "output".
        timeout: Seconds it may take.

    Raises:
        SettingInvalid: a function that does not say what it looks at, or an option that makes no sense.
    """

    def decorate(function: Callable[..., Any], /) -> Guardrail[Any]:
        name = getattr(function, "__name__", type(function).__name__)
        parameters = list(inspect.signature(function).parameters.values())
        if len(parameters) < 2 or parameters[0].annotation is inspect.Parameter.empty:
            raise SettingInvalid(
                f'guardrail "{name}": expected two parameters, the first of them annotated: '
                f"(text: str, context: Context), or (messages: Sequence[Message], context: Context)"
            )
        return Guardrail(name, function, on, timeout, parameters[0].annotation in (str, "str"))

    return decorate
